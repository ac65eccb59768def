"""The lists of enterprises and spaces, their overviews, making them, and working in them."""

from typing import Any, TypeVar, cast

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.actors import actor_of
from accounts.pagination import page_of
from audit.choices import Outcome
from audit.models import Entry
from enterprises import services as enterprise_services
from enterprises.access import enterprises_allowing
from enterprises.api import shown_to as enterprises_shown_to
from enterprises.models import Enterprise, EnterpriseRole
from enterprises.services import officer_of
from joining.models import Application, ApplicationStatus
from joining.seats import seats_of
from people.answers import attempt, back, fill_in, page, status_of
from people.forms import NewEnterpriseForm, NewSpaceForm
from people.frames import SPACE, Frame, frame_of
from people.lists import listed, searched
from spaces import services
from spaces.access import known_spaces, spaces_allowing
from spaces.api import shown_to
from spaces.limits import most_spaces, type_of
from spaces.models import Space, SpaceRole
from spaces.working import work_everywhere, work_in

Q = TypeVar("Q", bound=QuerySet[Any])
#: How many of its changes a place shows.
_RECENT = 10


def _named(found: Q, wanted: str) -> Q:
    return found.filter(name__icontains=wanted) if wanted else found


@page("GET")
def spaces(request: HttpRequest) -> HttpResponse:
    """The spaces that the reader is in; for operators all that there are."""
    actor = actor_of(request)
    wanted = searched(request)
    mine = _named(spaces_allowing(actor, "space.view"), wanted)
    found = page_of(shown_to(mine, actor).select_related("enterprise"), request.GET)
    for each in found.items:
        each.role_name = SpaceRole(each.my_role).label if each.my_role else ""
    context = {**listed(found), "q": wanted, "current": "spaces"}
    return render(request, "people/spaces.html", context)


@page("GET")
def deleted_spaces(request: HttpRequest) -> HttpResponse:
    """Those that the reader may show again."""
    restorable = services.restorable_spaces(actor_of(request)).select_related("enterprise")
    context = {**listed(page_of(restorable, request.GET)), "kind": SPACE}
    return render(request, "people/deleted.html", context)


@page("POST")
def restore_space(request: HttpRequest, pk: int) -> HttpResponse:
    actor = actor_of(request)
    space = get_object_or_404(services.restorable_spaces(actor).select_related("enterprise"), pk=pk)
    done = _("%(name)s is back, with all that was in it.") % {"name": space.name}
    if attempt(request, lambda: services.restore_space(space, by=actor), done):
        return redirect("people:space", pk)
    return redirect("people:spaces-deleted")


@page("GET")
def enterprises(request: HttpRequest) -> HttpResponse:
    """The enterprises that the reader belongs to; for operators all that there are."""
    actor = actor_of(request)
    wanted = searched(request)
    mine = _named(enterprises_allowing(actor, "enterprise.view"), wanted)
    found = page_of(enterprises_shown_to(mine, actor), request.GET)
    for each in found.items:
        each.role_name = EnterpriseRole(each.my_role).label if each.my_role else ""
    context = {**listed(found), "q": wanted, "current": "enterprises"}
    return render(request, "people/enterprises.html", context)


@page("GET")
def deleted_enterprises(request: HttpRequest) -> HttpResponse:
    """Those that the reader may show again."""
    restorable = enterprise_services.restorable_enterprises(actor_of(request))
    context = {**listed(page_of(restorable, request.GET)), "kind": "enterprise"}
    return render(request, "people/deleted.html", context)


@page("POST")
def restore_enterprise(request: HttpRequest, pk: int) -> HttpResponse:
    actor = actor_of(request)
    enterprise = get_object_or_404(enterprise_services.restorable_enterprises(actor), pk=pk)
    done = _("%(name)s is back, with all that was in it.") % {"name": enterprise.name}

    def restore() -> None:
        enterprise_services.restore_enterprise(enterprise, by=actor)

    if attempt(request, restore, done):
        return redirect("people:enterprise", pk)
    return redirect("people:enterprises-deleted")


@page("GET", "POST")
def new_enterprise(request: HttpRequest) -> HttpResponse:
    """Found one. Its founder is its officer."""
    form = NewEnterpriseForm(request.POST or None)
    made: list[Enterprise] = []

    def create() -> None:
        actor = actor_of(request)
        made.append(enterprise_services.create_enterprise(by=actor, **form.cleaned_data))

    if form.is_valid() and fill_in(form, create):
        return redirect("people:enterprise", made[0].pk)
    return render(request, "people/enterprise_new.html", {"form": form}, status=status_of(form))


@page("GET", "POST")
def new_space(request: HttpRequest) -> HttpResponse:
    """Make one: of an enterprise, or a personal one. Its maker owns it."""
    actor = actor_of(request)
    initial = {"enterprise": request.GET.get("enterprise")}
    form = NewSpaceForm(request.POST or None, initial=initial)
    chooser = cast("forms.ModelChoiceField[Enterprise]", form.fields["enterprise"])
    chooser.queryset = enterprises_allowing(actor, "space.create").order_by("name")
    made: list[Space] = []
    if form.is_valid() and fill_in(
        form, lambda: made.append(services.create_space(by=actor, **form.cleaned_data))
    ):
        return redirect("people:space", made[0].pk)
    return render(request, "people/space_new.html", {"form": form}, status=status_of(form))


@page("GET")
def overview(request: HttpRequest, kind: str, pk: int) -> HttpResponse:
    """What the place is, what the reader is there, and how much of it there is."""
    frame = frame_of(request, kind, pk)
    context: dict[str, Any] = {"frame": frame, "changes": _changes(frame)}
    if frame.can_see_limits:
        context["seats"] = seats_of(frame.place)
    if isinstance(frame.place, Space):
        context |= _of_space(frame, frame.place)
    else:
        context |= _of_enterprise(frame, frame.place)
    return render(request, f"people/{kind}.html", context)


def _changes(frame: Frame) -> list[Entry]:
    """What was done to the place of late, for those who manage it."""
    if not frame.can_see_changes:
        return []
    return list(Entry.objects.about(frame.place).filter(outcome=Outcome.DONE)[:_RECENT])


def _of_space(frame: Frame, space: Space) -> dict[str, Any]:
    if frame.role is None:
        return {"applied": _applied(frame, [space.pk]), "owner": None}
    owner = space.members.filter(role=SpaceRole.OWNER).select_related("user").first()
    return {"owner": owner.user if owner else None, "applied": set()}


def _of_enterprise(frame: Frame, enterprise: Enterprise) -> dict[str, Any]:
    context: dict[str, Any] = {"officer": officer_of(enterprise), "most_spaces": None}
    if "space.count" in frame.allowed:
        living = Space.objects.filter(enterprise=enterprise, deleted=False)
        context["spaces"] = living.count()
        context["mine"] = living.filter(members__user=frame.actor.user).count()
    if frame.can_see_limits:
        context["most_spaces"] = most_spaces(type_of(enterprise))
    return context


def _applied(frame: Frame, spaces: list[int]) -> set[int]:
    """Those of the spaces that the reader has asked to join, and waits for."""
    waiting = Application.objects.filter(
        applicant=frame.actor.user, space__in=spaces, status=ApplicationStatus.PENDING
    )
    return set(waiting.values_list("space", flat=True))


@page("GET")
def enterprise_spaces(request: HttpRequest, pk: int) -> HttpResponse:
    """All of an enterprise's spaces, with those to be applied for; only one's own where the role lists no others."""
    frame = frame_of(request, "enterprise", pk)
    if "space.list_all" in frame.allowed:
        found = Space.objects.filter(deleted=False)
    else:
        frame.require("space.list_mine")
        found = spaces_allowing(frame.actor, "space.view")
    wanted = searched(request)
    found = _named(found.filter(enterprise=frame.place.pk), wanted)
    cut = page_of(shown_to(found, frame.actor), request.GET)
    applied = _applied(frame, [each.pk for each in cut.items if each.my_role is None])
    for each in cut.items:
        each.role_name = SpaceRole(each.my_role).label if each.my_role else ""
        each.applied = each.pk in applied
    context = {**listed(cut), "frame": frame, "q": wanted}
    return render(request, "people/enterprise_spaces.html", context)


@page("POST")
def visit(request: HttpRequest, pk: int) -> HttpResponse:
    """Work in a space from now on."""
    actor = actor_of(request)
    space = get_object_or_404(known_spaces(actor).select_related("enterprise"), pk=pk)
    work_in(request, space)
    if not space.members.filter(user=actor.user).exists():
        messages.warning(request, _("Only its members work in a space."))
    return back(request, reverse("people:space", args=[pk]))


@page("POST")
def everywhere(request: HttpRequest) -> HttpResponse:
    """See the things of all spaces again."""
    work_everywhere(request)
    return back(request, "home")
