"""Enterprises and spaces by page: founding, making, looking, and working in one."""

from datetime import timedelta

import pytest
from django.utils import timezone

from enterprises.models import Enterprise, EnterpriseUser
from joining.models import Application
from spaces.models import Space, SpaceUser
from tests.factories import make_execution, make_robot, make_space
from tests.people.conftest import Acme

pytestmark = pytest.mark.django_db


def expire(enterprise: Enterprise) -> None:
    late = timezone.now() - timedelta(hours=1)
    Enterprise.objects.filter(pk=enterprise.pk).update(expire_time=late)


def test_whoever_founds_an_enterprise_is_its_officer(acme: Acme) -> None:
    answer = acme.post("charlie", "/enterprises/new/", name="  Charlie   & Co ", service_type=2)
    made = Enterprise.objects.get(name="Charlie & Co")
    assert answer.request["PATH_INFO"] == f"/enterprises/{made.pk}/"
    assert "Officer" in answer.content.decode()
    assert made.service_type == 2
    member = EnterpriseUser.objects.get(enterprise=made)
    assert (member.user.username, member.role) == ("charlie", 1)


def test_a_refusal_keeps_what_was_typed(acme: Acme) -> None:
    answer = acme.post("charlie", "/enterprises/new/", name="Acme", service_type=2)
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "There is an enterprise named Acme already." in page
    assert 'value="Acme"' in page
    assert '<option value="2" selected>' in page
    assert answer.context["form"].errors.keys() == {"name"}


@pytest.mark.parametrize(("who", "made"), [("alice", True), ("bob", False), ("dora", False)])
def test_a_space_of_an_enterprise_is_made_by_who_may(acme: Acme, who: str, made: bool) -> None:
    page = acme.get(who, "/spaces/new/")
    assert (">Acme</option>" in page) == made
    answer = acme.post(who, "/spaces/new/", name="Sales", enterprise=acme.enterprise.pk)
    assert answer.status_code == (200 if made else 422)
    spaces = Space.objects.filter(name="Sales")
    assert [each.enterprise for each in spaces] == ([acme.enterprise] if made else [])


def test_a_personal_space_up_to_the_limit(acme: Acme) -> None:
    assert acme.post("bob", "/spaces/new/", name="Bob's").status_code == 200
    answer = acme.post("bob", "/spaces/new/", name="Another", description="for trying out")
    assert answer.status_code == 422
    assert "the limit is 1" in answer.content.decode()
    assert "for trying out" in answer.content.decode()


@pytest.mark.parametrize(
    ("who", "spaces", "enterprises"),
    [
        ("alice", {"Orders"}, {"Acme"}),
        ("bob", {"Orders"}, {"Acme"}),
        ("charlie", {"Charlie&#x27;s"}, set()),
        ("dora", {"Dora&#x27;s"}, {"Other"}),
    ],
)
def test_lists_show_ones_own(acme: Acme, who: str, spaces: set[str], enterprises: set[str]) -> None:
    for path, own, every in (
        ("/spaces/", spaces, {"Orders", "Charlie&#x27;s", "Dora&#x27;s"}),
        ("/enterprises/", enterprises, {"Acme", "Other"}),
    ):
        page = acme.get(who, path)
        assert {name for name in every if f">{name}</a>" in page} == own
    assert "No space matches" in acme.get(who, "/spaces/?q=nothing")


@pytest.mark.parametrize(
    ("who", "shown", "hidden"),
    [
        (
            "alice",
            ["Officer", "of 10000 seats", "Invites", "Settings", "Invite people", "New space"],
            ["Leave…"],
        ),
        ("bob", ["Staff", "Members", "Leave…"], ["seats", "Settings", "Invite", "New space"]),
        ("charlie", ["404"], []),
        ("dora", ["404"], []),
    ],
)
def test_an_enterprise_shows_each_what_they_may(
    acme: Acme, who: str, shown: list[str], hidden: list[str]
) -> None:
    page = acme.get(who, acme.at())
    assert [text for text in shown if text not in page] == []
    assert [text for text in hidden if text in page] == []


@pytest.mark.parametrize(
    ("who", "shown", "hidden"),
    [
        ("alice", ["Owner", "of 10000 seats", "Settings", "Its robots", "Applications"], ["Apply"]),
        ("bob", ["Member", "Members", "Leave…", "Its robots"], ["seats", "Settings", "Apply to"]),
        ("charlie", ["404"], []),
        ("dora", ["404"], []),
    ],
)
def test_a_space_shows_each_what_they_may(
    acme: Acme, who: str, shown: list[str], hidden: list[str]
) -> None:
    page = acme.get(who, acme.inside())
    assert [text for text in shown if text not in page] == []
    assert [text for text in hidden if text in page] == []


def test_a_space_that_one_is_not_in_can_be_applied_for(acme: Acme) -> None:
    sales = make_space("Sales", {acme.people["alice"]: 1}, acme.enterprise)
    listed = acme.get("bob", acme.at("spaces/"))
    assert "Apply to join Sales" in listed
    assert "Apply to join Orders" not in listed
    path = f"/spaces/{sales.pk}/"
    page = acme.get("bob", path)
    assert "Apply to join" in page
    assert "?space=" not in page
    said = acme.said("bob", f"{path}apply/", next=acme.at("spaces/"))
    assert said == (200, "You have applied to join Sales. Its owner and admins decide.")
    assert "Applied" in acme.get("bob", acme.at("spaces/"))
    assert "You have applied" in acme.get("bob", path)
    assert acme.said("bob", f"{path}apply/") == (200, "You have applied already.")
    assert Application.objects.count() == 1
    assert acme.said("dora", f"{path}apply/")[0] == 404


def test_an_expired_enterprise_can_be_read_and_says_so(acme: Acme) -> None:
    robot = make_robot(acme.space)
    expire(acme.enterprise)
    for path in (acme.at(), acme.inside(), acme.at("spaces/")):
        page = acme.get("alice", path)
        assert "The enterprise Acme has expired." in page
        assert "Invite" not in page.replace("Invitations", "")
        assert "Settings" not in page
    answer = acme.browser("alice").get(acme.at("settings/"))
    assert answer.status_code == 403
    assert "read-only until it is renewed" in answer.content.decode()
    said = acme.said("alice", acme.at(f"members/{acme.uid('bob')}/role/"), role=2)
    assert "read-only until it is renewed" in said[1]
    assert "Share…" not in acme.get("alice", f"/robots/{robot.uid}/")
    assert acme.roles() == {"alice": 1, "bob": 3}


def test_lists_follow_the_space_that_one_works_in(acme: Acme) -> None:
    bob = acme.people["bob"]
    sales = make_space("Sales", {bob: 1}, acme.enterprise)
    for space, name in ((acme.space, "packer"), (sales, "caller")):
        make_execution(make_robot(space, name=name), by=bob)
    client = acme.browser("bob")

    def seen(path: str) -> set[str]:
        page = client.get(path).content.decode()
        assert page.count('data-space="') <= 1
        return {name for name in ("packer", "caller") if name in page}

    for path in ("/", "/robots/", "/executions/"):
        assert seen(path) == {"packer", "caller"}
    assert client.post(f"/spaces/{sales.pk}/visit/", {"next": "/robots/"}).url == "/robots/"
    for path in ("/", "/robots/", "/executions/"):
        assert seen(path) == {"caller"}
        assert seen(f"{path}?space=") == {"packer", "caller"}
        assert seen(f"{path}?space={acme.space.pk}") == {"packer"}
    page = client.get("/").content.decode()
    assert 'aria-label="Space: Sales"' in page
    assert f'data-space="{sales.pk}"' in page
    # The next time, somewhere else, it is still the one visited last; all of them are a click away.
    assert "packer" not in acme.get("bob", "/robots/")
    client.post("/spaces/all/")
    assert seen("/robots/") == {"packer", "caller"}
    client.post(acme.inside("visit/"))
    assert seen("/robots/") == {"packer"}
    SpaceUser.objects.filter(space=acme.space, user=bob).delete()
    assert seen("/robots/") == {"caller"}  # the one before


def test_a_robots_runs_are_shown_whichever_space_one_works_in(acme: Acme) -> None:
    bob = acme.people["bob"]
    robot = make_robot(acme.space, name="packer")
    run = make_execution(robot, by=bob)
    sales = make_space("Sales", {bob: 1}, acme.enterprise)
    client = acme.browser("bob")
    client.post(f"/spaces/{sales.pk}/visit/")
    assert str(run.uid) in client.get(f"/executions/?robot={robot.uid}").content.decode()


@pytest.mark.parametrize("wanted", ["999999", "x", "9" * 30, "-1", "٣"])
def test_a_space_that_is_not_ones_own_narrows_nothing(acme: Acme, wanted: str) -> None:
    for path in ("/", "/robots/", "/executions/", "/applications/"):
        assert acme.get("alice", f"{path}?space={wanted}") == "404"
        assert acme.get("charlie", f"{path}?space={acme.space.pk}") == "404"


def test_a_form_leads_back_to_this_site_alone(acme: Acme) -> None:
    for elsewhere in ("https://evil.example/", "//evil.example/", "javascript:alert(1)"):
        answer = acme.browser("bob").post(acme.inside("visit/"), {"next": elsewhere})
        assert answer.headers["Location"] == acme.inside()
