"""Members by page: who sees them, roles, removing."""

import pytest

from enterprises.models import EnterpriseUser
from spaces.models import SpaceUser
from tests.factories import make_user
from tests.people.conftest import Acme

pytestmark = pytest.mark.django_db


@pytest.fixture
def staffed(acme: Acme) -> Acme:
    """Acme with erin, a governor of the enterprise and an admin of Orders."""
    erin = acme.people["erin"] = make_user("erin", first_name="Erin", last_name="Gray")
    EnterpriseUser.objects.create(enterprise=acme.enterprise, user=erin, role=2)
    SpaceUser.objects.create(space=acme.space, user=erin, role=2, nickname="Boss")
    return acme


def test_they_are_listed_searched_and_filtered(staffed: Acme) -> None:
    page = staffed.get("bob", staffed.inside("members/"))
    assert all(name in page for name in ("alice", "erin", "bob", "Boss"))
    assert "Remove" not in page
    assert "Make " not in page
    for query, names in (("q=BO", {"bob", "erin"}), ("role=1", {"alice"}), ("q=zz", set())):
        page = staffed.get("alice", f"{staffed.inside('members/')}?{query}")
        main = page.partition('id="main"')[2]
        found = {name for name in ("alice", "bob", "erin") if f">{name}</span>" in main}
        assert found == names, query
    # Staff list the members of the enterprise as well, and change none.
    page = staffed.get("bob", staffed.at("members/"))
    assert all(name in page for name in ("alice", "bob"))
    assert "Remove" not in page


def test_ten_pages_of_them_are_walked(staffed: Acme) -> None:
    for number in range(120):
        SpaceUser.objects.create(space=staffed.space, user=make_user(f"guest-{number:03}"), role=3)
    path, seen = staffed.inside("members/"), set[str]()
    client = staffed.browser("alice")
    while path:
        answer = client.get(path)
        seen |= {each.user.username for each in answer.context["page"]}
        following = answer.context["next_url"]
        path = following and f"{staffed.inside('members/')}{following}"
    assert len(seen) == 123


@pytest.mark.parametrize(
    ("who", "whom", "role", "said", "becomes"),
    [
        ("alice", "bob", 2, "The role is now: Admin.", 2),
        ("erin", "bob", 2, "The role is now: Admin.", 2),
        ("erin", "alice", 3, "Your role is below that of alice.", 1),
        ("alice", "bob", 1, "There is one owner: hand the ownership over instead.", 3),
        ("alice", "bob", "x", "Choose a role.", 3),
        ("bob", "erin", 3, "does not allow this (member.change_role).", 2),
        ("alice", "dora", 3, "That user is no member of Orders.", None),
    ],
)
def test_a_role_is_given_by_who_may(
    staffed: Acme, who: str, whom: str, role: object, said: str, becomes: int | None
) -> None:
    path = staffed.inside(f"members/{staffed.uid(whom)}/role/")
    status, told = staffed.said(who, path, role=role)
    assert status == 200
    assert said in told
    assert staffed.space_roles().get(whom) == becomes


def test_buttons_are_shown_to_whom_they_work_for(staffed: Acme) -> None:
    client = staffed.browser("erin")
    rows = {
        each.user.username: (each.can_change_role, each.can_remove)
        for each in client.get(staffed.inside("members/")).context["page"]
    }
    assert rows == {"alice": (False, False), "erin": (True, True), "bob": (True, True)}
    page = client.get(staffed.inside("members/")).content.decode()
    assert "Remove bob…" in page
    assert "Remove erin…" not in page  # leaving is another button
    assert "Hand over" not in page
    assert "Hand over to bob…" in staffed.get("alice", staffed.inside("members/"))


@pytest.mark.parametrize(
    ("who", "whom", "asked", "said", "stays"),
    [
        ("alice", "bob", 200, "They are no member of Acme any more.", False),
        ("erin", "bob", 200, "They are no member of Acme any more.", False),
        ("erin", "alice", 200, "Your role is below that of alice.", True),
        ("bob", "erin", 403, "", True),
    ],
)
def test_who_is_removed_leaves_the_spaces_too(
    staffed: Acme, who: str, whom: str, asked: int, said: str, stays: bool
) -> None:
    path = staffed.at(f"members/{staffed.uid(whom)}/remove/")
    question = staffed.browser(who).get(path)
    assert question.status_code == asked
    assert ("You cannot remove" in question.content.decode()) == (asked == 200 and stays)
    _status, told = staffed.said(who, path)
    assert said in told
    assert (whom in staffed.roles()) == stays
    assert (whom in staffed.space_roles()) == stays


def test_strangers_do_not_see_that_there_are_members(staffed: Acme) -> None:
    for who in ("charlie", "dora"):
        for path in (staffed.inside("members/"), staffed.at("members/")):
            assert staffed.get(who, path) == "404"
            for deed in ("role", "remove"):
                target = f"{path}{staffed.uid('bob')}/{deed}/"
                assert staffed.said(who, target, role=2)[0] == 404
    assert staffed.roles()["bob"] == 3
    assert staffed.get("alice", staffed.inside("members/nobody/remove/")) == "404"
