"""The members of an enterprise or a space: who they are, their roles, and the end of a membership."""

from typing import Any

from django.contrib import messages
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from accounts.pagination import page_of
from enterprises import services as enterprise_services
from enterprises.models import Enterprise, EnterpriseRole
from people.answers import attempt, back, page
from people.frames import FIRST, Frame, frame_of
from people.lists import listed, searched
from spaces import services
from spaces.models import SpaceRole


@page("GET")
def members(request: HttpRequest, kind: str, pk: int) -> HttpResponse:
    frame = frame_of(request, kind, pk)
    frame.require("member.list")
    wanted, role = searched(request), request.GET.get("role", "")
    found: Any = frame.place.members.select_related("user")
    if wanted:
        found = found.filter(Q(user__username__icontains=wanted) | Q(nickname__icontains=wanted))
    if role in {str(each) for each in frame.roles.values}:
        found = found.filter(role=int(role))
    cut = page_of(found, request.GET)
    for each in cut.items:
        each.own = each.user == frame.actor.user
        for deed in ("change_role", "remove"):
            setattr(each, f"can_{deed}", _may_touch(frame, each, f"member.{deed}"))
        each.other_role = _other_role(frame, each.role)
    context = {**listed(cut), "frame": frame, "q": wanted, "role": role}
    return render(request, "people/members.html", context)


def _may_touch(frame: Frame, member: Any, permission: str) -> bool:
    """Whether the service would do it: to nobody above the reader, and never to the first of the place."""
    return permission in frame.allowed and frame.rank <= member.role and member.role != FIRST


def _other_role(frame: Frame, role: int) -> tuple[int, str] | None:
    """That of the two roles to give which a member has not; None where the reader may not give it."""
    return next((each for each in frame.given_roles if each[0] != role), None)


@page("POST")
def change_role(request: HttpRequest, kind: str, pk: int, member: str) -> HttpResponse:
    frame = frame_of(request, kind, pk)
    wanted = request.POST.get("role", "")
    if wanted not in {str(each) for each in frame.roles.values}:
        messages.error(request, _("Choose a role."))
        return back(request, frame.urls["members"])

    def change() -> None:
        if isinstance(frame.place, Enterprise):
            enterprise_services.change_member_role(
                frame.place, member, EnterpriseRole(int(wanted)), by=frame.actor
            )
        else:
            services.change_member_role(frame.place, member, SpaceRole(int(wanted)), by=frame.actor)

    label = frame.roles(int(wanted)).label
    attempt(request, change, _("The role is now: %(role)s.") % {"role": label})
    return back(request, frame.urls["members"])


@page("GET", "POST")
def remove(request: HttpRequest, kind: str, pk: int, member: str) -> HttpResponse:
    """Asks once more, and says what goes with it."""
    frame = frame_of(request, kind, pk)
    if request.method == "POST":
        end = enterprise_services if isinstance(frame.place, Enterprise) else services
        remove_member: Any = end.remove_member
        done = _("They are no member of %(name)s any more.") % {"name": frame.place.name}
        attempt(request, lambda: remove_member(frame.place, member, by=frame.actor), done)
        return redirect(frame.urls["members"])
    frame.require("member.remove")
    found: Any = frame.place.members.select_related("user")
    them = found.filter(user__uid=member).first()
    if them is None:
        raise Http404
    context = {"frame": frame, "member": them, "allowed": _may_touch(frame, them, "member.remove")}
    return render(request, "people/member_remove.html", context)
