"""Bringing people into a place: looking for them, inviting or adding them one by one or by a table, and the invites."""

from base64 import b64encode
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.pagination import page_of
from accounts.refusals import NotFound, Refused
from accounts.tables import as_csv
from enterprises.models import EnterpriseUser
from joining import services
from joining.batch import invite_all
from joining.models import Invite, InviteRole, InviteStatus, key_in
from joining.pace import TooOften, require_pace
from joining.search import Found, search_users
from joining.tables import read_accounts
from people.answers import attempt, fill_in, page
from people.forms import TableForm
from people.frames import Frame, frame_of, link_to
from people.lists import listed
from spaces.models import Space, SpaceRole

_INVITED = "invited"


@dataclass(frozen=True)
class Candidate:
    """Somebody who was found: `state` is what they are to the place, `colleague` whether they are of its enterprise."""

    user: User
    name: str
    state: str
    colleague: bool


@page("GET", "POST")
def invite(request: HttpRequest, kind: str, pk: int) -> HttpResponse:
    """Look for somebody, then invite them; or, in a space of an enterprise, add a colleague without asking."""
    frame = frame_of(request, kind, pk)
    frame.refuse_unless("invite.create" in frame.allowed or frame.can_add, "invite.create")
    given = request.POST if request.method == "POST" else request.GET
    wanted = given.get("q", "").strip()
    failure: Refused | None = None
    if request.method == "POST":
        try:
            messages.success(request, _brought(frame, request))
            return redirect(frame.urls["members" if _adds(request) else "invites"])
        except Refused as error:
            if error.code == NotFound.code:
                raise
            failure = error
    candidates: list[Candidate] = []
    if wanted:
        try:
            require_pace(request)
            candidates = _candidates(frame, search_users(frame.place, wanted, by=frame.actor))
        except Refused as error:
            failure = failure or error
    context = {
        "frame": frame,
        "q": wanted,
        "candidates": candidates,
        "failure": failure,
        "roles": frame.given_roles,
        "role": given.get("role", ""),
        "table": TableForm(frame.given_roles),
    }
    return render(request, "people/invite.html", context, status=_status(failure))


def _status(failure: Refused | None) -> int:
    if failure is None:
        return HTTPStatus.OK
    return failure.status if isinstance(failure, TooOften) else HTTPStatus.UNPROCESSABLE_ENTITY


def _adds(request: HttpRequest) -> bool:
    return request.POST.get("how") == "add"


def _brought(frame: Frame, request: HttpRequest) -> str:
    """Invite or add whom the form names, and say so."""
    uid, role = request.POST.get("user", ""), request.POST.get("role", "")
    chosen = InviteRole(int(role)) if role in {str(each.value) for each in InviteRole} else None
    if chosen is None:
        raise Refused(_("Choose a role."))
    if _adds(request) and isinstance(frame.place, Space):
        added = services.add_member(frame.place, uid, SpaceRole(int(chosen)), by=frame.actor)
        said = _("%(user)s is a member of %(name)s now.")
        return said % {"user": added.user, "name": frame.place.name}
    sent = services.invite_user(frame.place, uid, chosen, by=frame.actor)
    said = _("%(user)s is invited. They find it on their page, or by the link of the invite.")
    return said % {"user": sent.invitee}


def _candidates(frame: Frame, found: list[Found]) -> list[Candidate]:
    colleagues: set[str] = set()
    if frame.can_add:
        known = EnterpriseUser.objects.filter(
            enterprise=frame.enterprise, user__uid__in=[each.user.uid for each in found]
        )
        colleagues = set(known.values_list("user__uid", flat=True))
    return [
        Candidate(
            each.user,
            each.user.get_full_name(),
            each.state,
            each.user.uid in colleagues,
        )
        for each in found
    ]


@page("GET", "POST")
def invite_table(request: HttpRequest, kind: str, pk: int) -> HttpResponse:
    """Invite everybody of a table, and show row by row what came of it."""
    frame = frame_of(request, kind, pk)
    frame.require("invite.create")
    if request.method != "POST":
        return redirect(frame.urls["invite"])  # who chooses another language there comes back here
    form = TableForm(frame.given_roles, request.POST, request.FILES)
    outcomes: list[Any] = []
    failures: list[Refused] = []

    def send() -> None:
        try:
            require_pace(request)
            file = form.cleaned_data["file"]
            role = InviteRole(form.cleaned_data["role"])
            asked = read_accounts(file, file.name)
            outcomes.extend(invite_all(frame.place, asked, role, by=frame.actor))
        except Refused as error:
            failures.append(error)
            raise

    context: dict[str, Any] = {"frame": frame, "table": form, "roles": frame.given_roles}
    if not (form.is_valid() and fill_in(form, send)):
        context |= {"q": "", "candidates": [], "failure": None, "role": ""}
        late = any(isinstance(each, TooOften) for each in failures)
        status = HTTPStatus.TOO_MANY_REQUESTS if late else HTTPStatus.UNPROCESSABLE_ENTITY
        return render(request, "people/invite.html", context, status=status)
    rows = [[str(each.row.number), each.row.account, each.code, each.message] for each in outcomes]
    file = as_csv(["row", "account", "result", "message"], rows)
    context |= {
        "outcomes": outcomes,
        "invited": sum(each.code == _INVITED for each in outcomes),
        # As it is shown once and kept nowhere, the page itself holds the file.
        "result": f"data:text/csv;charset=utf-8;base64,{b64encode(file).decode()}",
    }
    return render(request, "people/invite_result.html", context)


@page("GET")
def invites(request: HttpRequest, kind: str, pk: int) -> HttpResponse:
    """The invites that were sent: the open ones, unless others are asked for."""
    frame = frame_of(request, kind, pk)
    frame.require("invite.list")
    status = request.GET.get("status", str(InviteStatus.INITIAL.value))
    found = Invite.objects.to(frame.place).select_related("invitee", "inviter")
    if status in {str(each.value) for each in InviteStatus}:
        found = found.in_state(int(status))
    cut = page_of(found, request.GET)
    for each in cut.items:
        shown: Any = each
        shown.role_name = frame.roles(each.role).label
        shown.is_open = each.state == InviteStatus.INITIAL
        shown.link = link_to("people:invitation", each.token)
    context = {
        **listed(cut),
        "frame": frame,
        "status": status,
        "statuses": [(str(value), label) for value, label in InviteStatus.choices],
    }
    return render(request, "people/invites.html", context)


@page("POST")
def withdraw(request: HttpRequest, token: str) -> HttpResponse:
    """Take an invite back, where it was sent from."""
    key = key_in(token)
    sent = Invite.objects.to_living_places().select_related("space__enterprise", "enterprise")
    found = sent.filter(pk=key).first() if key is not None else None
    if found is None:
        raise NotFound(_("Not found."))
    place = services.place_of(found)
    frame = frame_of(request, "space" if isinstance(place, Space) else "enterprise", place.pk)
    done = _("The invite is withdrawn.")
    attempt(request, lambda: services.withdraw_invite(found, by=frame.actor), done)
    return redirect(frame.urls["invites"])
