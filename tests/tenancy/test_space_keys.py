"""API keys of a space: who makes, sees and ends them, and that each opens its own space and nothing else."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.actors import Actor
from accounts.models import ApiKey, KeyState, User
from accounts.refusals import Forbidden, NotFound
from audit.models import Entry
from enterprises.models import Enterprise
from executions.models import Execution
from sharing import services as sharing
from spaces import keys
from spaces.access import permissions_in
from spaces.models import Space, SpaceKey, SpaceRole, SpaceUser
from spaces.purging import purge_space
from spaces.services import delete_space
from tests.api.helpers import pages, problem_of
from tests.factories import make_execution, make_robot, make_space, make_user, owner_of
from tests.pages.admin_pages import act

pytestmark = pytest.mark.django_db
Api = Callable[[User | None], APIClient]


def client_of(secret: str) -> APIClient:
    return APIClient(headers={"Authorization": f"Bearer {secret}"})


def made(space: Space, **wanted: Any) -> tuple[SpaceKey, APIClient]:
    """A key of its owner's, and a program that has it."""
    held, secret = keys.make_key(space, by=owner_of(space), name="ci", **wanted)
    return held, client_of(secret)


def at(space: Space, page: str = "") -> str:
    return f"/api/v1/spaces/{space.pk}/api-keys/{page}"


@pytest.fixture
def bob_admin(people: dict[str, User], space: Space) -> User:
    SpaceUser.objects.filter(space=space, user=people["bob"]).update(role=SpaceRole.ADMIN)
    return people["bob"]


# Making, seeing, ending ---------------------------------------------------------------------------


def test_a_key_is_made_and_shown_once(people: dict[str, User], space: Space, api: Api) -> None:
    alice = api(people["alice"])
    answer = alice.post(at(space), {"name": " ci ", "scopes": ["robot.view"], "days": 7})
    assert answer.status_code == 201
    assert answer["Cache-Control"] == "no-store"
    body = answer.json()
    key = ApiKey.objects.get()
    assert (body["name"], body["prefix"]) == ("ci", body["secret"][:8])
    assert (body["scopes"], body["state"]) == (["robot.view"], "valid")
    assert (body["user"], body["username"]) == (people["alice"].uid, "alice")
    assert ApiKey.objects.find(body["secret"]) == key
    assert key.bound
    assert key.expires_at is not None
    assert timedelta(days=6) < key.expires_at - timezone.now() <= timedelta(days=7)
    (listed,) = alice.get(at(space)).json()["results"]
    assert listed == {name: value for name, value in body.items() if name != "secret"}
    assert body["secret"] not in alice.get(at(space)).content.decode()


def test_whoever_manages_keys_ends_those_of_others(
    people: dict[str, User], space: Space, api: Api, bob_admin: User
) -> None:
    held, program = made(space)
    assert program.get("/api/v1/robots/").status_code == 200
    answer = api(bob_admin).post(at(space, f"{held.pk}/revoke/"))
    assert (answer.status_code, answer.json()["state"]) == (200, "revoked")
    problem_of(program.get("/api/v1/robots/"), 401, "authentication_failed")
    again = api(people["alice"]).post(at(space, f"{held.pk}/revoke/"))
    assert again.json()["revoked_at"] == answer.json()["revoked_at"]


@pytest.mark.parametrize(
    ("who", "status", "code"),
    [("bob", 403, "forbidden"), ("charlie", 404, "not_found"), ("dora", 404, "not_found")],
)
def test_others_see_and_end_none(
    people: dict[str, User], space: Space, api: Api, who: str, status: int, code: str
) -> None:
    held, _program = made(space)
    client = api(people[who])
    problem_of(client.get(at(space)), status, code)
    problem_of(client.post(at(space), {"name": "mine"}), status, code)
    problem_of(client.post(at(space, f"{held.pk}/revoke/")), status, code)
    with pytest.raises(Forbidden if status == 403 else NotFound):
        keys.revoke_key(held, by=Actor(people[who]))
    held.key.refresh_from_db()
    assert (ApiKey.objects.count(), held.key.state) == (1, KeyState.VALID)


def test_a_key_of_another_space_is_not_there(
    people: dict[str, User], space: Space, api: Api
) -> None:
    other = make_space("Other orders", {people["alice"]: SpaceRole.OWNER}, space.enterprise)
    held, _program = made(other)
    problem_of(api(people["alice"]).post(at(space, f"{held.pk}/revoke/")), 404, "not_found")
    assert api(people["alice"]).get(at(space)).json()["results"] == []


def test_the_list_is_read_in_pages(people: dict[str, User], space: Space, api: Api) -> None:
    numbers = [made(space)[0].pk for _each in range(5)]
    read = list(pages(api(people["alice"]), at(space), limit=2))
    assert [len(each) for each in read] == [2, 2, 1]
    assert [row["id"] for each in read for row in each] == numbers[::-1]


@pytest.mark.parametrize(
    ("wanted", "where", "status"),
    [
        ({}, "name", 400),
        ({"name": "x" * 101}, "name", 400),
        ({"name": "a\u200bb"}, "name", 422),
        ({"name": "ci", "scopes": []}, "scopes", 422),
        ({"name": "ci", "scopes": ["robot.explode"]}, "scopes", 422),
        ({"name": "ci", "scopes": ["enterprise.view"]}, "scopes", 422),
        ({"name": "ci", "days": 0}, "days", 400),
        ({"name": "ci", "days": 3651}, "days", 400),
    ],
)
def test_a_key_that_makes_no_sense_is_refused(
    people: dict[str, User], space: Space, api: Api, wanted: dict[str, Any], where: str, status: int
) -> None:
    body = problem_of(api(people["alice"]).post(at(space), wanted), status, "invalid")
    assert body["errors"][0]["where"] == where
    assert not ApiKey.objects.exists()


def test_there_are_only_so_many(
    people: dict[str, User], space: Space, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "MOST_KEYS", 2)
    held, _program = made(space)
    made(space)
    alice = api(people["alice"])
    body = problem_of(alice.post(at(space), {"name": "third"}), 409, "too_many_keys")
    assert body["limit"] == 2
    keys.revoke_key(held, by=owner_of(space))
    assert alice.post(at(space), {"name": "third"}).status_code == 201


def test_an_operator_who_is_no_member_makes_none(space: Space, api: Api) -> None:
    root = make_user("root", is_superuser=True)
    problem_of(api(root).post(at(space), {"name": "ci"}), 404, "not_a_member")


@pytest.mark.parametrize(
    ("scopes", "days", "wanted", "status"),
    [
        (["space.view", "api_key.manage", "robot.view"], None, {"scopes": ["robot.view"]}, 201),
        (["space.view", "api_key.manage", "robot.view"], None, {"scopes": ["robot.delete"]}, 403),
        (["space.view", "api_key.manage", "robot.view"], None, {}, 403),
        (["space.view", "robot.view"], None, {"scopes": ["robot.view"]}, 403),
        (["*"], None, {}, 201),
        (["*"], 30, {"days": 29}, 201),
        (["*"], 30, {"days": 31}, 403),
        (["*"], 30, {}, 403),
    ],
)
def test_a_key_makes_none_that_can_do_more(
    people: dict[str, User],
    space: Space,
    scopes: list[str],
    days: int | None,
    wanted: dict[str, Any],
    status: int,
) -> None:
    ends = timezone.now() + timedelta(days=days) if days else None
    _key, secret = ApiKey.issue(user=people["alice"], name="own", scopes=scopes, expires_at=ends)
    answer = client_of(secret).post(at(space), {"name": "ci"} | wanted)
    assert answer.status_code == status
    assert SpaceKey.objects.count() == (status == 201)


def test_a_key_of_a_space_makes_no_further_keys(space: Space) -> None:
    _held, program = made(space)
    problem_of(program.post(at(space), {"name": "child"}), 403, "forbidden")
    assert ApiKey.objects.count() == 1


def test_the_audit_tells_who_and_which_but_no_secret(people: dict[str, User], space: Space) -> None:
    held, secret = keys.make_key(space, by=owner_of(space), name="ci")
    keys.revoke_key(held, by=owner_of(space))
    ended, begun = Entry.objects.about(space)[:2]
    assert (begun.action, ended.action) == ("space.key_make", "space.key_revoke")
    assert begun.actor == ended.actor == "alice"
    told = [each["after"].get("prefix") for each in begun.details["changes"]]
    assert secret[:8] in told
    assert secret not in str(begun.details)
    assert held.key.digest not in str(begun.details)
    held.key.delete()  # past the services
    assert Entry.objects.about(space)[0].action == "spacekey.delete"
    client_of(keys.make_key(space, by=owner_of(space), name="robots")[1]).post(
        "/api/v1/robots/", {"name": "by key", "space": space.pk}
    )
    assert Entry.objects.latest("number").key_prefix == ApiKey.objects.latest("pk").prefix


# What it opens ------------------------------------------------------------------------------------


def test_it_acts_in_its_space_as_its_maker(
    people: dict[str, User], space: Space, bob_admin: User
) -> None:
    robot, run = make_robot(space), None
    held, secret = keys.make_key(space, by=Actor(bob_admin), name="ci")
    program = client_of(secret)
    answer = program.post("/api/v1/executions/", {"robot": str(robot.uid)})
    assert answer.status_code == 201
    run = Execution.objects.get()
    assert (run.requested_by, run.api_key) == (bob_admin, held.key)
    assert [each["id"] for each in program.get("/api/v1/spaces/").json()["results"]] == [space.pk]
    assert program.delete(f"/api/v1/robots/{robot.uid}/").status_code == 204
    # The role is that of the moment.
    SpaceUser.objects.filter(space=space, user=bob_admin).update(role=SpaceRole.MEMBER)
    spare = make_robot(space, "spare")
    problem_of(program.delete(f"/api/v1/robots/{spare.uid}/"), 403, "forbidden")
    assert program.get(f"/api/v1/robots/{spare.uid}/").status_code == 200


def test_its_scopes_narrow_it(space: Space) -> None:
    robot = make_robot(space)
    _held, program = made(space, scopes=["space.view", "robot.view"])
    assert program.get(f"/api/v1/robots/{robot.uid}/").status_code == 200
    problem_of(program.post("/api/v1/executions/", {"robot": str(robot.uid)}), 403, "forbidden")


def test_another_space_of_its_maker_is_not_there(people: dict[str, User], space: Space) -> None:
    other = make_space("Other orders", {people["alice"]: SpaceRole.OWNER}, space.enterprise)
    robot = make_robot(other)
    run = make_execution(robot)
    _held, program = made(space)
    for path in (
        f"/api/v1/spaces/{other.pk}/",
        f"/api/v1/spaces/{other.pk}/members/",
        f"/api/v1/robots/{robot.uid}/",
        f"/api/v1/executions/{run.uid}/",
        f"/api/v1/executions/{run.uid}/stream",
    ):
        problem_of(program.get(path), 404, "not_found")
    problem_of(program.post("/api/v1/executions/", {"robot": str(robot.uid)}), 404, "not_found")
    problem_of(program.post("/api/v1/robots/", {"name": "x", "space": other.pk}), 404, "not_found")
    for listed in ("robots", "executions"):
        assert program.get(f"/api/v1/{listed}/").json()["results"] == []


def test_the_enterprise_is_not_there(people: dict[str, User], space: Space) -> None:
    _held, program = made(space)
    assert space.enterprise is not None
    house = f"/api/v1/enterprises/{space.enterprise.pk}/"
    assert program.get("/api/v1/enterprises/").json()["results"] == []
    for path in (house, f"{house}members/", f"{house}limits/", f"{house}permissions/"):
        problem_of(program.get(path), 404, "not_found")
    problem_of(program.patch(house, {"name": "Mine"}), 404, "not_found")
    problem_of(program.delete(f"/api/v1/spaces/{space.pk}/"), 403, "forbidden")
    answer = program.get(f"/api/v1/spaces/{space.pk}/permissions/").json()
    assert not any(answer["enterprise_permissions"].values())
    assert answer["permissions"]["robot.delete"]


def test_what_it_may_is_told_of_its_space_alone(people: dict[str, User], space: Space) -> None:
    other = make_space("Other orders", {people["alice"]: SpaceRole.OWNER}, space.enterprise)
    held, _program = made(space, scopes=["robot.view", "robot.edit"])
    program = Actor(people["alice"], held.key)
    assert permissions_in(program, space) == {"robot.view", "robot.edit"}
    assert permissions_in(program, other) == frozenset()


def test_what_is_its_makers_alone_is_not_its_own(people: dict[str, User], space: Space) -> None:
    other = make_space("Other orders", {people["alice"]: SpaceRole.OWNER}, space.enterprise)
    shared = sharing.share(make_robot(other), by=owner_of(other))
    _held, program = made(space)
    problem_of(program.post("/api/v1/enterprises/", {"name": "New"}), 403, "forbidden")
    problem_of(program.post("/api/v1/spaces/", {"name": "New"}), 403, "forbidden")
    for listed in ("shares", "invites", "applications"):
        assert program.get(f"/api/v1/{listed}/").json()["results"] == []
    problem_of(program.post(f"/api/v1/shares/{shared.share_key}/off/"), 404, "not_found")
    shared.refresh_from_db()
    assert shared.is_act


def test_in_its_space_it_ends_what_its_maker_has_shared(space: Space) -> None:
    shared = sharing.share(make_robot(space), by=owner_of(space))
    _held, program = made(space)
    assert program.post(f"/api/v1/shares/{shared.share_key}/off/").status_code == 200


def test_that_of_an_operator_is_no_operators(people: dict[str, User], space: Space) -> None:
    User.objects.filter(pk=people["alice"].pk).update(is_superuser=True)
    _held, program = made(space)
    assert program.get(f"/api/v1/spaces/{space.pk}/").status_code == 200
    stranger = Space.objects.get(name="Charlie's")
    problem_of(program.get(f"/api/v1/spaces/{stranger.pk}/"), 404, "not_found")


# When it ends -------------------------------------------------------------------------------------


def _membership_ends(space: Space) -> None:
    SpaceUser.objects.filter(space=space, role=SpaceRole.OWNER).delete()


def _space_is_deleted(space: Space) -> None:
    delete_space(space, by=owner_of(space))


def _enterprise_is_deleted(space: Space) -> None:
    Enterprise.objects.filter(pk=space.enterprise_id).update(deleted=True)


def _its_row_is_gone(space: Space) -> None:
    SpaceKey.objects.filter(space=space).delete()


@pytest.mark.parametrize(
    "fate", [_membership_ends, _space_is_deleted, _enterprise_is_deleted, _its_row_is_gone]
)
def test_it_opens_nothing_any_more(
    people: dict[str, User], space: Space, fate: Callable[[Space], None]
) -> None:
    robot = make_robot(space)
    _held, program = made(space)
    assert program.get(f"/api/v1/robots/{robot.uid}/").status_code == 200
    fate(space)
    for path in (f"/api/v1/robots/{robot.uid}/", f"/api/v1/spaces/{space.pk}/"):
        problem_of(program.get(path), 404, "not_found")
    problem_of(program.post(f"/api/v1/spaces/{space.pk}/restore/"), 404, "not_found")
    for listed in ("robots/", "spaces/", "spaces/?deleted=true"):
        assert program.get(f"/api/v1/{listed}").json()["results"] == []


def test_that_of_a_deleted_personal_space_does_not_restore_it(people: dict[str, User]) -> None:
    own = make_space("Own", {people["alice"]: SpaceRole.OWNER})
    _held, program = made(own)
    assert program.delete(f"/api/v1/spaces/{own.pk}/").status_code == 204
    problem_of(program.post(f"/api/v1/spaces/{own.pk}/restore/"), 404, "not_found")
    own.refresh_from_db()
    assert own.deleted


def test_when_the_enterprise_has_expired_it_reads(people: dict[str, User], space: Space) -> None:
    robot = make_robot(space)
    _held, program = made(space)
    ended = timezone.now() - timedelta(hours=1)
    Enterprise.objects.filter(pk=space.enterprise_id).update(expire_time=ended)
    assert program.get(f"/api/v1/robots/{robot.uid}/").status_code == 200
    run = program.post("/api/v1/executions/", {"robot": str(robot.uid)})
    problem_of(run, 403, "enterprise_expired")
    problem_of(program.get(at(space)), 403, "enterprise_expired")


def test_a_purge_takes_the_keys_along(people: dict[str, User], space: Space) -> None:
    other = make_space("Other orders", {people["alice"]: SpaceRole.OWNER}, space.enterprise)
    _held, program = made(space)
    kept, _program = made(other)
    delete_space(space, by=owner_of(space))
    for _step in purge_space(space):
        pass
    assert list(ApiKey.objects.all()) == [kept.key]
    problem_of(program.get("/api/v1/robots/"), 401, "authentication_failed")


# In the admin -------------------------------------------------------------------------------------


def test_operators_list_and_end_them(people: dict[str, User], space: Space) -> None:
    held, program = made(space)
    root = Client()
    root.force_login(make_user("root", is_staff=True, is_superuser=True))
    page = reverse("admin:spaces_spacekey_changelist")
    assert (
        f"ci ({held.key.prefix}" in root.get(f"{page}?space__id__exact={space.pk}").content.decode()
    )
    assert (
        held.key.prefix not in root.get(f"{page}?space__id__exact={space.pk + 1}").content.decode()
    )
    change = root.get(reverse("admin:spaces_space_change", args=[space.pk])).content.decode()
    assert f"{page}?space__id__exact={space.pk}" in change
    said = act(root, "revoke", held, page="admin:spaces_spacekey_changelist")
    assert said == ["1 revoked."]
    problem_of(program.get("/api/v1/robots/"), 401, "authentication_failed")
    assert Entry.objects.latest("number").action == "space.key_revoke"


def test_its_maker_finds_and_ends_it_among_their_own(people: dict[str, User], space: Space) -> None:
    _held, program = made(space)
    _membership_ends(space)
    alice = Client()
    alice.force_login(people["alice"])
    assert "of a space" in alice.get("/account/keys/").content.decode()
    alice.post(f"/account/keys/{ApiKey.objects.get().pk}/revoke/")
    problem_of(program.get("/api/v1/robots/"), 401, "authentication_failed")
