"""The invites that the reader has got, and their answers."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from accounts.actors import Actor, actor_of
from accounts.pagination import page_of
from accounts.refusals import NotFound
from enterprises.models import EnterpriseRole
from joining import services
from joining.models import Invite, InviteStatus, InviteType, key_in
from people.answers import attempt, page
from people.lists import listed
from spaces.models import Space, SpaceRole


def _received(request: HttpRequest) -> Any:
    mine = Invite.objects.to_living_places().filter(invitee=actor_of(request).user)
    return mine.select_related("space__enterprise", "enterprise", "inviter")


def _shown(invite: Any) -> Any:
    """With what a page says of it."""
    of_space = invite.type == InviteType.SPACE
    invite.place = services.place_of(invite)
    invite.role_name = (SpaceRole if of_space else EnterpriseRole)(invite.role).label
    invite.is_open = invite.state == InviteStatus.INITIAL
    return invite


def _named(request: HttpRequest, token: str) -> Any:
    """The invite of that link; NotFound for everybody but the invitee."""
    key = key_in(token)
    found = _received(request).filter(pk=key).first() if key is not None else None
    if found is None:
        raise NotFound(_("Not found."))
    return _shown(found)


@page("GET")
def invitations(request: HttpRequest) -> HttpResponse:
    """Those that wait for an answer; `?all=1` all of them."""
    found = _received(request)
    everything = bool(request.GET.get("all"))
    cut = page_of(found if everything else found.open(), request.GET)
    context = {**listed(cut), "everything": everything}
    for each in cut.items:
        _shown(each)
    return render(request, "people/invitations.html", context)


@page("GET")
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """What the link of an invite opens: for the invitee, once they are signed in."""
    return render(request, "people/invitation.html", {"invite": _named(request, token)})


@page("POST")
def accept(request: HttpRequest, token: str) -> HttpResponse:
    invite = _named(request, token)
    done = _("You are a member of %(name)s now.") % {"name": invite.place.name}
    if not attempt(request, _answer(services.accept_invite, invite, request), done):
        return redirect("people:invitation", token)
    kind = "space" if isinstance(invite.place, Space) else "enterprise"
    return redirect(f"people:{kind}", invite.place.pk)


@page("POST")
def refuse(request: HttpRequest, token: str) -> HttpResponse:
    invite = _named(request, token)
    done = _("You have refused the invite to %(name)s.") % {"name": invite.place.name}
    attempt(request, _answer(services.refuse_invite, invite, request), done)
    return redirect("people:invitations")


def _answer(deed: Any, invite: Invite, request: HttpRequest) -> Callable[[], Any]:
    by: Actor = actor_of(request)
    return lambda: deed(invite, by=by)
