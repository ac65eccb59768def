"""Runs over REST: requested once, refused clearly, cancelled and run again by those who may."""

import threading
import zipfile
from collections.abc import Callable
from io import BytesIO
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from rest_framework.test import APIClient

from accounts.models import User
from executions import lifecycle
from executions.choices import Status
from executions.events import Source
from executions.lifecycle import Ending
from executions.models import Execution, Runner
from robots import services as robot_services
from robots.models import Robot, RobotVersion
from spaces.models import Space
from tests.api.helpers import problem_of, wheres
from tests.factories import make_execution, make_robot, owner_of

pytestmark = pytest.mark.django_db
Api = Callable[[User | None], APIClient]
LIST = "/api/v1/executions/"


@pytest.fixture
def picky(robot: Robot) -> Robot:
    """A robot that wants a positive `count` and nothing it does not know."""
    version = robot.enabled_version
    assert version is not None
    schema = {
        "type": "object",
        "properties": {
            "count": {"type": "integer", "minimum": 1},
            "tone": {"type": "string", "default": "polite"},
        },
        "required": ["count"],
        "additionalProperties": False,
    }
    type(version).objects.filter(pk=version.pk).update(parameters=schema)
    robot.refresh_from_db()
    return robot


def request(client: APIClient, robot: Robot, key: str = "", **body: Any) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    return client.post(LIST, {"robot": str(robot.uid), **body}, headers=headers)


def test_a_run_is_requested(api: Api, people: dict[str, User], picky: Robot) -> None:
    response = request(api(people["bob"]), picky, params={"count": 2}, timeout=60)
    assert response.status_code == 201
    body = response.json()
    assert response["Location"] == f"{LIST}{body['id']}/"
    assert (body["status"], body["pending_reason"]) == ("PENDING", "queued")
    assert (body["requested_by"], body["origin"], body["version"]) == ("bob", "api", 1)
    assert body["params"] == {"count": 2, "tone": "polite"}
    assert body["timeout_seconds"] == 60
    assert body["robot"] == str(picky.uid)
    assert api(people["alice"]).get(response["Location"]).json() == body


@pytest.mark.parametrize(
    ("params", "where"),
    [
        ({}, "params"),
        ({"count": 0}, "params.count"),
        ({"count": "2"}, "params.count"),
        ({"count": 1, "more": 1}, "params"),
    ],
)
def test_params_that_do_not_fit_are_named(
    api: Api, people: dict[str, User], picky: Robot, params: object, where: str
) -> None:
    body = problem_of(request(api(people["alice"]), picky, params=params), 422, "invalid_params")
    assert wheres(body)[0].startswith(where)
    assert not Execution.objects.exists()


@pytest.mark.parametrize(
    ("spec", "value"),
    [
        ({"multipleOf": 0.01}, 10**400),
        ({"format": "regex"}, "(" * 3000),
        ({"$ref": "#/foo"}, 1),
    ],
)
def test_params_that_cannot_be_checked_do_not_fit(
    api: Api, people: dict[str, User], robot: Robot, spec: dict[str, Any], value: object
) -> None:
    # A reference to what is no schema is refused today; versions of before may have one.
    schema = {"type": "object", "properties": {"x": {**spec, "maximum": 5}}, "foo": [1]}
    RobotVersion.objects.filter(robot=robot).update(parameters=schema)
    answer = request(api(people["alice"]), robot, params={"x": value})
    assert wheres(problem_of(answer, 422, "invalid_params")) == ["params.x"]


@pytest.mark.parametrize("params", [[1], "text", 5, None])
def test_params_are_an_object(
    api: Api, people: dict[str, User], robot: Robot, params: object
) -> None:
    body = problem_of(request(api(people["alice"]), robot, params=params), 400, "invalid")
    assert wheres(body) == ["params"]


def deep(levels: int) -> Any:
    value: Any = 1
    for _level in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize("params", [deep(150), {"text": "x" * 300_000}])
def test_params_are_bounded(
    api: Api, people: dict[str, User], robot: Robot, params: object
) -> None:
    body = problem_of(request(api(people["alice"]), robot, params=params), 422, "invalid_params")
    assert wheres(body) == ["params"]


@pytest.mark.parametrize("text", ['{"a": "\\ud800"}', '{"\\udfff": 1}'])
def test_lone_surrogates_are_replaced(
    api: Api, people: dict[str, User], robot: Robot, text: str
) -> None:
    body = f'{{"robot": "{robot.uid}", "params": {text}}}'
    response = api(people["alice"]).post(LIST, body, content_type="application/json")
    assert response.status_code == 201
    assert "?" in str(response.json()["params"])


@pytest.mark.parametrize(
    "text", ["{", "", "nonsense", '{"robot": NaN}', '{"params": {"a": Infinity}}']
)
def test_a_body_that_is_no_json_is_a_problem(
    api: Api, people: dict[str, User], robot: Robot, text: str
) -> None:
    response = api(people["alice"]).post(LIST, text, content_type="application/json")
    assert response.status_code == 400
    problem_of(response, 400, response.json()["code"])


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"robot": "nonsense"}, "robot"),
        ({"robot": None}, "robot"),
        ({}, "robot"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": 86_401}, "timeout"),
        ({"timeout": "soon"}, "timeout"),
        ({"version": 0}, "version"),
        ({"task": "t" * 256}, "task"),
    ],
)
def test_a_bad_request_says_which_field(
    api: Api, people: dict[str, User], robot: Robot, body: dict[str, Any], where: str
) -> None:
    if where != "robot":
        body = {"robot": str(robot.uid), **body}
    response = api(people["alice"]).post(LIST, body)
    assert wheres(problem_of(response, 400, "invalid")) == [where]


def test_what_is_not_there_cannot_run(api: Api, people: dict[str, User], robot: Robot) -> None:
    alice = api(people["alice"])
    problem_of(alice.post(LIST, {"robot": str(uuid4())}), 404, "not_found")
    problem_of(request(alice, robot, version=2), 404, "not_found")
    problem_of(request(alice, robot, version=10**30), 404, "not_found")
    problem_of(request(api(people["charlie"]), robot), 404, "not_found")
    body = problem_of(request(alice, robot, task="unknown"), 422, "unknown_task")
    assert wheres(body) == ["task"]


def test_a_resting_robot_does_not_run(api: Api, people: dict[str, User], robot: Robot) -> None:
    robot_services.enable_version(robot, None, by=owner_of(robot.space))
    problem_of(request(api(people["alice"]), robot), 409, "no_enabled_version")
    assert request(api(people["alice"]), robot, version=1).status_code == 201


def test_one_key_is_one_run(api: Api, people: dict[str, User], robot: Robot) -> None:
    alice = api(people["alice"])
    first = request(alice, robot, key="k1", params={"a": 1})
    again = request(alice, robot, key="k1", params={"a": 1})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert again["Location"] == first["Location"]
    other = request(alice, robot, key="k1", params={"a": 2})
    problem_of(other, 409, "idempotency_key_reused")
    assert Execution.objects.count() == 1


def test_keys_differ_in_every_letter_and_case(
    api: Api, people: dict[str, User], robot: Robot
) -> None:
    alice = api(people["alice"])
    keys = ["k1", "K1", "ķ1", "k1-"]
    ids = [request(alice, robot, key=each).json()["id"] for each in keys]
    assert len(set(ids)) == len(keys)
    assert [request(alice, robot, key=each).json()["id"] for each in keys] == ids


def test_a_key_is_its_users_own(api: Api, people: dict[str, User], robot: Robot) -> None:
    ids = {request(api(people[who]), robot, key="k1").json()["id"] for who in ("alice", "bob")}
    assert len(ids) == 2


def test_without_a_key_every_request_is_a_run(
    api: Api, people: dict[str, User], robot: Robot
) -> None:
    assert (
        request(api(people["alice"]), robot).json() != request(api(people["alice"]), robot).json()
    )


@pytest.mark.parametrize("key", ["x" * 256, "a\tb"])
def test_a_key_is_short_and_printable(
    api: Api, people: dict[str, User], robot: Robot, key: str
) -> None:
    body = problem_of(request(api(people["alice"]), robot, key=key), 422, "invalid")
    assert wheres(body) == ["Idempotency-Key"]


@pytest.mark.django_db(transaction=True)
def test_two_racing_requests_with_one_key_are_one_run(
    api: Api, people: dict[str, User], robot: Robot
) -> None:
    clients = [api(people["alice"]) for _ in range(4)]
    starting = threading.Barrier(len(clients))
    answers: list[tuple[int, str]] = []

    def race(client: APIClient) -> None:
        starting.wait(10)
        response = request(client, robot, key="k1")
        answers.append((response.status_code, response.json()["id"]))
        connection.close()

    threads = [threading.Thread(target=race, args=[each]) for each in clients]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert sorted(status for status, _id in answers) == [200, 200, 200, 201]
    assert len({each for _status, each in answers}) == 1
    assert Execution.objects.count() == 1


def running(execution: Execution) -> Execution:
    """The run as it is once a runner has started it."""
    runner = Runner.objects.create(host="here", pid=1, slots=1)
    claimed = lifecycle.claim_next(runner)
    assert claimed is not None
    assert claimed[0].pk == execution.pk
    lifecycle.start(claimed[0], Source(claimed[1], 0, 1))
    return claimed[0]


@pytest.mark.parametrize(
    ("who", "whose", "answer"),
    [
        ("alice", "alice", 200),
        ("alice", "bob", 200),
        ("bob", "bob", 200),
        ("bob", "alice", 403),
        ("charlie", "alice", 404),
        ("dora", "alice", 404),
    ],
)
def test_members_cancel_their_own_and_owners_any(
    api: Api, people: dict[str, User], robot: Robot, who: str, whose: str, answer: int
) -> None:
    execution = make_execution(robot, by=people[whose])
    response = api(people[who]).post(f"{LIST}{execution.uid}/cancel/")
    assert response.status_code == answer
    execution.refresh_from_db()
    assert (execution.status == Status.CANCELLED) == (answer == 200)


def test_cancelling_a_running_run_only_asks(
    api: Api, people: dict[str, User], execution: Execution
) -> None:
    running(execution)
    for _time in range(2):  # asking twice is asking once
        response = api(people["alice"]).post(f"{LIST}{execution.uid}/cancel/")
        assert (response.status_code, response.json()["status"]) == (202, "RUNNING")
        assert response.json()["cancel_requested_at"]
    events = api(people["alice"]).get(f"{LIST}{execution.uid}/events/").json()["events"]
    assert [each["kind"] for each in events] == ["status", "status", "notice"]


@pytest.mark.parametrize("ending", [Status.COMPLETED, Status.FAILED, Status.CANCELLED])
def test_an_ended_run_is_not_cancelled(
    api: Api, people: dict[str, User], execution: Execution, ending: Status
) -> None:
    running(execution)
    lifecycle.finish(execution.pk, Ending(ending))
    problem_of(api(people["alice"]).post(f"{LIST}{execution.uid}/cancel/"), 409, "wrong_moment")


def test_a_rerun_repeats_or_replaces_the_params(
    api: Api, people: dict[str, User], picky: Robot
) -> None:
    alice = api(people["alice"])
    first = request(alice, picky, params={"count": 3}, timeout=77).json()
    path = f"{LIST}{first['id']}/rerun/"
    same = alice.post(path).json()
    assert (same["params"], same["timeout_seconds"]) == (first["params"], 77)
    assert same["rerun_of"] == first["id"]
    assert alice.post(path, {"params": {"count": 4}}).json()["params"]["count"] == 4
    body = problem_of(alice.post(path, {"params": {"count": 0}}), 422, "invalid_params")
    assert wheres(body) == ["params.count"]
    once = {alice.post(path, headers={"Idempotency-Key": "again"}).json()["id"] for _ in "ab"}
    assert len(once) == 1


def publish(robot: Robot, name: str = "robot.py", content: bytes = b"print(2)") -> None:
    """A further version, and it is enabled."""
    by = owner_of(robot.space)
    robot_services.publish_version(robot=robot, file=BytesIO(content), file_name=name, by=by)
    robot.refresh_from_db()


@pytest.mark.parametrize(
    ("body", "version"), [({}, 1), ({"version": "same"}, 1), ({"version": "enabled"}, 2)]
)
def test_a_rerun_is_of_the_version_that_ran_unless_one_asks_for_todays(
    api: Api,
    people: dict[str, User],
    execution: Execution,
    robot: Robot,
    body: dict[str, str],
    version: int,
) -> None:
    publish(robot)
    again = api(people["alice"]).post(f"{LIST}{execution.uid}/rerun/", body).json()
    assert (again["version"], again["params"]) == (version, {})
    assert again["rerun_of"] == str(execution.uid)


def tasks(*names: str) -> bytes:
    """A package of a robot with these tasks."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        lines = [f"  {name}:\n    shell: python main.py" for name in names]
        archive.writestr("robot.yaml", "tasks:\n" + "\n".join(lines) + "\n")
        archive.writestr("main.py", f"print({names!r})")
    return out.getvalue()


def test_a_rerun_outlives_the_renaming_of_its_task(
    api: Api, people: dict[str, User], robot: Robot
) -> None:
    publish(robot, "a.zip", tasks("Greet"))
    execution = make_execution(robot)
    path, alice = f"{LIST}{execution.uid}/rerun/", api(people["alice"])
    publish(robot, "b.zip", tasks("Welcome"))
    assert alice.post(path).json()["task"] == "Greet"
    assert alice.post(path, {"version": "enabled"}).json()["task"] == "Welcome"
    publish(robot, "c.zip", tasks("Welcome", "See off"))
    assert alice.post(path).json()["task"] == "Greet"
    problem_of(alice.post(path, {"version": "enabled"}), 422, "unknown_task")
    publish(robot, "d.zip", tasks("See off", "Greet"))
    assert alice.post(path, {"version": "enabled"}).json()["task"] == "Greet"


def test_a_robot_at_rest_is_not_run_again(
    api: Api, people: dict[str, User], execution: Execution, robot: Robot
) -> None:
    robot_services.enable_version(robot, None, by=owner_of(robot.space))
    for version in ("same", "enabled"):
        answer = api(people["alice"]).post(f"{LIST}{execution.uid}/rerun/", {"version": version})
        problem_of(answer, 409, "no_enabled_version")


@pytest.mark.parametrize(("who", "answer"), [("bob", 201), ("charlie", 404), ("dora", 404)])
def test_only_members_run_again(
    api: Api, people: dict[str, User], execution: Execution, who: str, answer: int
) -> None:
    assert api(people[who]).post(f"{LIST}{execution.uid}/rerun/").status_code == answer


def test_lists_are_filtered(api: Api, people: dict[str, User], robot: Robot, space: Space) -> None:
    first, second = make_execution(robot), make_execution(robot, by=people["bob"])
    third = make_execution(make_robot(space, name="other"))
    lifecycle.request_cancel(first, by=people["alice"], at=first.requested_at)

    def found(**query: object) -> list[Execution]:
        ids = [each["id"] for each in api(people["alice"]).get(LIST, query).json()["results"]]
        return [Execution.objects.get(uid=each) for each in ids]

    assert found() == [third, second, first]
    assert found(status="CANCELLED") == [first]
    assert found(status=["CANCELLED", "PENDING"]) == [third, second, first]
    assert found(robot=robot.uid) == [second, first]
    assert found(robot=uuid4()) == []
    for on, off in (("true", "false"), ("1", "0"), ("True", "")):
        assert found(mine=on) == [third, first]
        assert found(mine=off) == [third, second, first]
    assert found(space=space.pk) == [third, second, first]
    assert found(requested_after=second.requested_at.isoformat()) == [third, second]
    assert found(requested_before=second.requested_at.isoformat()) == [first]


@pytest.mark.parametrize(
    "query",
    [
        {"status": "SLEEPING"},
        {"robot": "nonsense"},
        {"requested_after": "yesterday"},
        {"space": "mine"},
        {"requested_after": "0001-01-01T00:00:00+14:00"},
        {"requested_before": "9999-12-31T23:59:59-14:00"},
    ],
)
def test_a_bad_filter_is_named(
    api: Api, people: dict[str, User], execution: Execution, query: dict[str, str]
) -> None:
    body = problem_of(api(people["alice"]).get(LIST, query), 400, "invalid")
    assert wheres(body) == list(query)
