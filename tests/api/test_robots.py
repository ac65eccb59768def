"""Robots over REST: made, described, hidden, found."""

import json
from collections.abc import Callable

import pytest
from asgiref.sync import sync_to_async
from django.urls import reverse
from rest_framework.test import APIClient

from accounts.models import ApiKey, User
from executions import lifecycle
from executions.models import Execution, Runner
from robots.models import Robot
from spaces.models import Space, SpaceRole
from tests.api.helpers import problem_of, wheres
from tests.factories import make_execution, make_robot, make_space
from tests.interop.wire import Call

pytestmark = pytest.mark.django_db
Api = Callable[[User | None], APIClient]
LIST = "/api/v1/robots/"


def test_a_robot_is_made_without_a_version(api: Api, people: dict[str, User], space: Space) -> None:
    response = api(people["bob"]).post(LIST, {"space": space.pk, "name": "  tidy   up "})
    assert response.status_code == 201
    body = response.json()
    assert (body["name"], body["enabled_version"], body["space"]) == ("tidy up", None, space.pk)
    assert Robot.objects.get(uid=body["id"]).created_by == people["bob"]


@pytest.mark.parametrize(
    ("body", "status", "where"),
    [
        ({"name": "x"}, 400, "space"),
        ({"space": "SPACE"}, 400, "name"),
        ({"space": "SPACE", "name": ""}, 400, "name"),
        ({"space": "SPACE", "name": "   "}, 400, "name"),
        ({"space": "SPACE", "name": "n" * 101}, 400, "name"),
        ({"space": "SPACE", "name": "a\u0007b"}, 422, "name"),
        ({"space": "SPACE", "name": "a\u0000b"}, 400, "name"),
        ({"space": "SPACE", "name": "x", "description": "d" * 501}, 400, "description"),
        ({"space": "SPACE", "name": "x", "description": "\ud800"}, 400, "description"),
        ({"space": "many", "name": "x"}, 400, "space"),
        ([], 400, "non_field_errors"),
    ],
)
def test_a_bad_request_says_which_field(
    api: Api, people: dict[str, User], space: Space, body: object, status: int, where: str
) -> None:
    if isinstance(body, dict) and body.get("space") == "SPACE":
        body = {**body, "space": space.pk}
    response = api(people["alice"]).post(LIST, json.dumps(body), content_type="application/json")
    assert wheres(problem_of(response, status, "invalid")) == [where]
    assert not Robot.objects.exists()


def test_a_space_of_any_number_is_only_absent(api: Api, people: dict[str, User]) -> None:
    for number in (10**30, -1, 0):
        response = api(people["alice"]).post(LIST, {"space": number, "name": "x"})
        problem_of(response, 404, "not_found")


def test_two_living_robots_of_a_space_never_share_a_name(
    api: Api, people: dict[str, User], robot: Robot, space: Space
) -> None:
    alice = api(people["alice"])
    problem_of(alice.post(LIST, {"space": space.pk, "name": robot.name}), 409, "name_taken")
    assert alice.delete(f"{LIST}{robot.uid}/").status_code == 204
    assert alice.post(LIST, {"space": space.pk, "name": robot.name}).status_code == 201
    other = make_space("Second", {people["alice"]: SpaceRole.OWNER})
    assert alice.post(LIST, {"space": other.pk, "name": robot.name}).status_code == 201


def test_a_description_is_changed_alone(api: Api, people: dict[str, User], robot: Robot) -> None:
    path = f"{LIST}{robot.uid}/"
    response = api(people["bob"]).patch(path, {"description": "Says hello."})
    assert (response.status_code, response.json()["name"]) == (200, robot.name)
    robot.refresh_from_db()
    assert robot.description == "Says hello."


def test_a_new_name_must_be_free(
    api: Api, people: dict[str, User], robot: Robot, space: Space
) -> None:
    make_robot(space, name="other")
    path = f"{LIST}{robot.uid}/"
    problem_of(api(people["alice"]).patch(path, {"name": "other"}), 409, "name_taken")
    robot.refresh_from_db()
    assert robot.name == "greeter"


@pytest.mark.parametrize(
    ("who", "status"), [("alice", 204), ("bob", 403), ("charlie", 404), ("dora", 404)]
)
def test_only_those_who_may_delete_do(
    api: Api, people: dict[str, User], robot: Robot, who: str, status: int
) -> None:
    response = api(people[who]).delete(f"{LIST}{robot.uid}/")
    assert response.status_code == status
    assert Robot.objects.get(pk=robot.pk).deleted == (status == 204)


def test_a_deleted_robot_is_absent_with_its_runs(
    api: Api, people: dict[str, User], execution: object, robot: Robot
) -> None:
    alice = api(people["alice"])
    alice.delete(f"{LIST}{robot.uid}/")
    problem_of(alice.get(f"{LIST}{robot.uid}/"), 404, "not_found")
    assert alice.get(LIST).json()["results"] == []
    assert alice.get(reverse("execution-list")).json()["results"] == []
    problem_of(alice.post(reverse("execution-list"), {"robot": str(robot.uid)}), 404, "not_found")


@pytest.mark.parametrize("door", ["api", "admin"])
def test_deleting_a_robot_stops_its_runs(
    api: Api, people: dict[str, User], execution: Execution, robot: Robot, door: str
) -> None:
    elsewhere = make_execution(make_robot(robot.space, name="Other"))
    held = make_execution(robot)
    lifecycle.claim_next(Runner.objects.create(host="here", pid=1, slots=1))
    if door == "api":
        api(people["alice"]).delete(f"{LIST}{robot.uid}/")
    else:
        User.objects.filter(pk=people["alice"].pk).update(is_staff=True, is_superuser=True)
        path = reverse("admin:robots_robot_delete", args=[robot.pk])
        api(people["alice"]).post(path, {"post": "yes"}, format="multipart")
    found = {each.pk: each for each in Execution.objects.all()}
    assert found[elsewhere.pk].status == "PENDING"
    assert found[elsewhere.pk].cancel_requested_at is None
    # The oldest is in a runner's hands, who is asked; the other one nobody has.
    assert found[execution.pk].cancel_requested_at is not None
    assert (found[held.pk].status, found[held.pk].message) == ("CANCELLED", "Cancelled.")


def test_lists_are_filtered(api: Api, people: dict[str, User], robot: Robot, space: Space) -> None:
    second = make_space("Second", {people["alice"]: SpaceRole.OWNER})
    make_robot(second, name="Greeter of guests")

    def names(**query: object) -> list[str]:
        return [each["name"] for each in api(people["alice"]).get(LIST, query).json()["results"]]

    assert names() == ["Greeter of guests", "greeter"]
    assert names(space=second.pk) == ["Greeter of guests"]
    assert names(name="greeter") == ["greeter"]
    assert names(name__icontains="GUEST") == ["Greeter of guests"]
    assert names(space=second.pk, name="greeter") == []


def test_what_is_no_id_is_absent(api: Api, people: dict[str, User], space: Space) -> None:
    alice = api(people["alice"])
    for path in (f"{LIST}nonsense/", f"{LIST}nonsense/versions/", "/api/v1/spaces/nonsense/"):
        problem_of(alice.get(path), 404, "not_found")
    problem_of(alice.get(f"/api/v1/spaces/{10**30}/"), 404, "not_found")


def test_spaces_are_those_one_may_view(api: Api, people: dict[str, User], space: Space) -> None:
    for who, names in {"alice": ["Orders"], "bob": ["Orders"], "charlie": ["Charlie's"]}.items():
        found = api(people[who]).get("/api/v1/spaces/").json()["results"]
        assert [each["name"] for each in found] == names


@pytest.mark.django_db(transaction=True)
async def test_a_body_may_come_in_pieces(people: dict[str, User], space: Space) -> None:
    """Then nothing tells its length beforehand."""
    _key, secret = await sync_to_async(ApiKey.issue)(user=people["alice"], name="ci")
    sent = {"space": space.pk, "name": "in pieces"}
    call = await Call(sent, path=LIST, token=secret).open()
    assert call.status == 201
    assert await Robot.objects.filter(name="in pieces").aexists()
