"""The space that somebody works in: the one that they visited last, unless they want to see all of them."""

from typing import Any, cast

from django.http import Http404, HttpRequest

from accounts.actors import actor_of
from accounts.pagination import key_of
from spaces import services
from spaces.access import spaces_allowing
from spaces.models import Space

#: How many of the spaces visited lately are offered.
RECENT = 6
_EVERY = "every_space"


def recent_spaces(request: HttpRequest) -> list[Space]:
    """Those that the reader visited last, the latest first: one query a request, however often it is asked."""
    shared = cast("Any", request)
    if not hasattr(shared, "recent_spaces"):
        actor = actor_of(request)
        visited = spaces_allowing(actor, "space.view").filter(
            members__user=actor.user, members__last_visit_time__isnull=False
        )
        latest = visited.select_related("enterprise").order_by("-members__last_visit_time", "-pk")
        shared.recent_spaces = list(latest[:RECENT])
    found: list[Space] = shared.recent_spaces
    return found


def working_space(request: HttpRequest) -> Space | None:
    """The space that pages are about; None is all that the reader sees."""
    if request.session.get(_EVERY):
        return None
    return next(iter(recent_spaces(request)), None)


def work_in(request: HttpRequest, space: Space) -> None:
    """Visit it, from now on and at the next sign-in too."""
    services.visit_space(space, by=actor_of(request))
    request.session.pop(_EVERY, None)


def work_everywhere(request: HttpRequest) -> None:
    """Until the session ends or a space is visited."""
    request.session[_EVERY] = True


def focus_of(request: HttpRequest) -> Space | None:
    """The space whose things a list shows: the one of `?space=`, else the one worked in. `?space=` alone is all."""
    if "space" not in request.GET:
        return working_space(request)
    return space_asked(request, "space.view")


def space_asked(request: HttpRequest, permission: str) -> Space | None:
    """The space of `?space=`; 404 for one in which the reader may not do `permission`, as for an absent one."""
    wanted = request.GET.get("space", "")
    if wanted == "":
        return None
    key = key_of(wanted)
    allowing = spaces_allowing(actor_of(request), permission).select_related("enterprise")
    space = None if key is None else allowing.filter(pk=key).first()
    if space is None:
        raise Http404
    return space
