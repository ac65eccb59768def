"""Asking to join a space of one's enterprise, and deciding who may."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _

from accounts.actors import actor_of
from accounts.pagination import page_of
from joining import services
from joining.models import Application, ApplicationStatus
from people.answers import attempt, back, page
from people.frames import SPACE, frame_of
from people.lists import listed
from spaces.access import spaces_allowing
from spaces.working import space_asked


def _to_decide(request: HttpRequest) -> Any:
    """The applications that the reader may list."""
    spaces = spaces_allowing(actor_of(request), "apply.list")
    found = Application.objects.filter(space__in=spaces)
    return found.select_related("space__enterprise", "applicant")


@page("GET")
def inbox(request: HttpRequest) -> HttpResponse:
    """Those that wait for a decision of the reader's, of all their spaces or of one; `?all=1` the decided ones too."""
    found = _to_decide(request)
    space = space_asked(request, "apply.list")
    if space is not None:
        found = found.filter(space=space)
    everything = bool(request.GET.get("all"))
    if not everything:
        found = found.filter(status=ApplicationStatus.PENDING)
    cut = page_of(found, request.GET)
    asked = {each.space_id for each in cut.items}
    deciding = {
        deed: set(
            spaces_allowing(actor_of(request), f"apply.{deed}")
            .filter(pk__in=asked)
            .values_list("pk", flat=True)
        )
        for deed in ("approve", "reject")
    }
    for each in cut.items:
        pending = each.status == ApplicationStatus.PENDING
        for deed, spaces in deciding.items():
            setattr(each, f"can_{deed}", pending and each.space_id in spaces)
    context = {**listed(cut), "space": space, "everything": everything}
    return render(request, "people/applications.html", context)


@page("GET")
def mine(request: HttpRequest) -> HttpResponse:
    """What the reader has asked for, and what became of it."""
    found = Application.objects.filter(
        applicant=actor_of(request).user, space__deleted=False, enterprise__deleted=False
    )
    cut = page_of(found.select_related("space__enterprise", "auditor"), request.GET)
    return render(request, "people/my_applications.html", listed(cut))


@page("POST")
def apply(request: HttpRequest, pk: int) -> HttpResponse:
    frame = frame_of(request, SPACE, pk)
    place: Any = frame.place
    done = _("You have applied to join %(name)s. Its owner and admins decide.")
    attempt(
        request,
        lambda: services.apply_to_join(place, by=frame.actor),
        done % {"name": place.name},
    )
    return back(request, frame.urls["overview"])


@page("POST")
def approve(request: HttpRequest, application: int) -> HttpResponse:
    asked = get_object_or_404(_to_decide(request), pk=application)
    done = _("%(user)s is a member of %(name)s now.")
    attempt(
        request,
        lambda: services.approve_application(asked, by=actor_of(request)),
        done % {"user": asked.applicant, "name": asked.space.name},
    )
    return back(request, "people:applications")


@page("POST")
def reject(request: HttpRequest, application: int) -> HttpResponse:
    asked = get_object_or_404(_to_decide(request), pk=application)
    done = _("The application of %(user)s is rejected.") % {"user": asked.applicant}
    attempt(request, lambda: services.reject_application(asked, by=actor_of(request)), done)
    return back(request, "people:applications")
