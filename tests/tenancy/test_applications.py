"""Applications to join a space: who applies, who decides, and that it is decided once."""

from datetime import timedelta

import pytest
from django.utils import timezone

from enterprises.models import Enterprise
from joining.models import Application, ApplicationStatus, Invite, InviteStatus
from tests.tenancy.firm import Firm

pytestmark = pytest.mark.django_db
MINE = "/api/v1/applications/"


def applied(firm: Firm, who: str = "gary") -> str:
    """The address of a fresh application."""
    path = firm.in_space("applications/")
    made = firm.ask(who, "post", path)
    assert made.status_code == 201, made.content
    assert made.json()["status"] == ApplicationStatus.PENDING
    return f"{path}{made.json()['id']}/"


def test_who_may_apply(firm: Firm) -> None:
    path = firm.in_space("applications/")
    assert firm.said("zoe", "post", path) == "404 not_found"
    assert firm.said("sue", "post", path) == "409 already_member"
    assert firm.said("root", "post", path) == "409 not_in_enterprise"
    applied(firm)
    assert firm.said("gary", "post", path) == "409 already_applied"
    assert [each["applicant_name"] for each in firm.ask("gary", "get", MINE).json()["results"]] == [
        "gary"
    ]
    assert firm.ask("sue", "get", MINE).json()["results"] == []


def test_the_officer_joins_at_once_as_admin(firm: Firm) -> None:
    made = firm.ask("olga", "post", firm.in_space("applications/")).json()
    assert (made["status"], made["auditor"]) == (ApplicationStatus.APPROVED, firm.uid("olga"))
    assert firm.space_roles()["olga"] == 2


def test_approving_makes_a_member_once(firm: Firm) -> None:
    firm.ask("stan", "post", firm.in_space("invites/"), {"user": firm.uid("gary")})
    path = applied(firm)
    for who, said in {
        "zoe": "404 not_found",
        "gary": "403 forbidden",
        "olga": "403 forbidden",
    }.items():
        assert firm.said(who, "post", f"{path}approve/") == said
    approved = firm.ask("sue", "post", f"{path}approve/").json()
    assert (approved["status"], approved["auditor"]) == (2, firm.uid("sue"))
    assert firm.space_roles()["gary"] == 3
    assert Invite.objects.get().status == InviteStatus.WITHDRAWN
    for deed in ("approve/", "reject/"):
        assert firm.said("stan", "post", path + deed) == "409 application_closed"


def test_rejecting_ends_it_and_another_may_follow(firm: Firm) -> None:
    path = applied(firm)
    assert firm.said("stan", "post", f"{path}reject/") == "200"
    assert firm.said("stan", "post", f"{path}approve/") == "409 application_closed"
    assert "gary" not in firm.space_roles()
    applied(firm)
    found = firm.ask(
        "stan", "get", firm.in_space("applications/"), {"status": 1}, format=None
    ).json()
    assert [each["applicant_name"] for each in found["results"]] == ["gary"]
    assert Application.objects.count() == 2
    assert firm.said("gary", "get", firm.in_space("applications/")) == "403 forbidden"


def test_who_has_left_or_finds_no_seat_is_not_approved(firm: Firm, settings: object) -> None:
    settings.RPA_TEAM_USERS = 2  # type: ignore[attr-defined]
    path = applied(firm)
    assert firm.said("stan", "post", f"{path}approve/") == "409 too_many_users"
    assert Application.objects.get().status == ApplicationStatus.PENDING
    assert firm.said("olga", "delete", firm.at(f"members/{firm.uid('gary')}/")) == "204"
    assert firm.said("stan", "post", f"{path}approve/") == "409 application_closed"


def test_an_application_is_reached_through_its_own_space_only(firm: Firm) -> None:
    path = applied(firm)
    own = firm.ask("stan", "post", "/api/v1/spaces/", {"name": "Own"}).json()["id"]
    wrong = f"/api/v1/spaces/{own}/applications/{path.rstrip('/').rsplit('/', 1)[1]}/"
    assert firm.said("stan", "post", f"{wrong}approve/") == "404 not_found"
    assert firm.said("stan", "post", f"/api/v1/spaces/{own}/applications/") == "404 not_found"


def test_nothing_is_decided_in_an_expired_enterprise(firm: Firm) -> None:
    path = applied(firm)
    Enterprise.objects.update(expire_time=timezone.now() - timedelta(hours=1))
    assert firm.said("stan", "post", f"{path}approve/") == "403 enterprise_expired"
    assert firm.said("gary", "post", firm.in_space("applications/")) == "403 enterprise_expired"
