"""Applications by page: who decides, and what an applicant sees."""

import pytest

from accounts.actors import Actor
from joining import services as joining
from joining.models import Application, ApplicationStatus
from spaces.models import SpaceUser
from tests.factories import make_space
from tests.people.conftest import Acme

pytestmark = pytest.mark.django_db


@pytest.fixture
def application(acme: Acme) -> Application:
    """bob wants to join Sales, which is alice's."""
    sales = make_space("Sales", {acme.people["alice"]: 1}, acme.enterprise)
    return joining.apply_to_join(sales, by=Actor(acme.people["bob"]))


@pytest.mark.parametrize(
    ("who", "deed", "said", "status"),
    [
        ("alice", "approve", "bob is a member of Sales now.", ApplicationStatus.APPROVED),
        ("alice", "reject", "The application of bob is rejected.", ApplicationStatus.REJECTED),
        ("bob", "approve", None, ApplicationStatus.PENDING),
        ("charlie", "reject", None, ApplicationStatus.PENDING),
        ("dora", "approve", None, ApplicationStatus.PENDING),
    ],
)
def test_the_owner_decides(
    acme: Acme,
    application: Application,
    who: str,
    deed: str,
    said: str | None,
    status: ApplicationStatus,
) -> None:
    inbox = acme.get(who, "/applications/")
    assert ("Approve bob" in inbox) == (who == "alice")
    answer = acme.said(who, f"/applications/{application.pk}/{deed}/", next="/applications/?all=1")
    assert answer == ((200, said) if said else (404, ""))
    application.refresh_from_db()
    assert application.status == status
    member = SpaceUser.objects.filter(space=application.space, user=acme.people["bob"])
    assert member.exists() == (status == ApplicationStatus.APPROVED)
    assert str(status.label) in acme.get("bob", "/applications/mine/")
    if said:
        assert str(status.label) in acme.get(who, "/applications/?all=1")
        again = acme.said(who, f"/applications/{application.pk}/{deed}/")
        assert "has been decided already" in again[1]


def test_the_inbox_is_of_one_space_where_one_is_asked_for(
    acme: Acme, application: Application
) -> None:
    inbox = f"/applications/?space={application.space_id}"
    assert "Approve bob" in acme.get("alice", inbox)
    assert "Approve bob" not in acme.get("alice", f"/applications/?space={acme.space.pk}")
    for who in ("bob", "charlie", "dora"):
        assert acme.get(who, inbox) == "404"
