"""What cannot be created is told inside the stream: the caller has no other channel."""

from typing import Any

import pytest
from asgiref.sync import async_to_sync

from accounts.models import ApiKey, User
from executions.models import Execution, Pool
from robots.models import Robot
from spaces.keys import make_key
from spaces.models import SpaceRole
from tests.factories import make_space, owner_of
from tests.interop.wire import Call, answer_of, post

pytestmark = pytest.mark.django_db(transaction=True)


def send(body: Any, **more: Any) -> Call:
    call: Call = async_to_sync(post)(body, **more)
    return call


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "wrong", "Bearer " + "a" * 40, "Basic YTpi"]
)
def test_an_unknown_token_is_told_inside_the_stream(robot: Robot, header: str) -> None:
    call = send({"project_id": str(robot.uid), "sid": "s1"}, token=header)
    answer = answer_of(call)
    assert (answer["code"], answer["sid"], answer["data"]) == (55001, "s1", None)
    assert answer["message"].startswith("Create task error, detail: ")
    assert not Execution.objects.exists()


def refusal(body: dict[str, Any], token: str) -> str:
    answer = answer_of(send(body, token=token))
    assert (answer["code"], answer["data"]) == (55001, None)
    assert not Execution.objects.exists()
    start, detail = "Create task error, detail: ", str(answer["message"])
    assert detail.startswith(start)
    return detail.removeprefix(start)


def test_a_foreign_project_is_as_unknown_as_an_absent_one(
    people: dict[str, User], robot: Robot
) -> None:
    absent = "00000000-0000-4000-8000-000000000000"
    for who in ("charlie", "dora"):
        token = ApiKey.issue(user=people[who], name="workflow")[1]
        hidden = refusal({"project_id": str(robot.uid)}, token)
        assert hidden.replace(str(robot.uid), absent) == refusal({"project_id": absent}, token)


@pytest.mark.parametrize("project", ["", "nonsense", "x" * 10_000, "\ud800", "a\nb", "张"])
def test_a_project_of_any_text_is_one_answer(robot: Robot, token: str, project: str) -> None:
    assert refusal({"project_id": project}, token).startswith("There is no robot with project_id ")


def test_params_are_checked_before_anything_runs(robot: Robot, token: str) -> None:
    version = robot.enabled_version
    assert version is not None
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    type(version).objects.filter(pk=version.pk).update(parameters=schema)
    for params in ({"n": "1"}, {}, None):
        detail = refusal({"project_id": str(robot.uid), "params": params}, token)
        assert detail.startswith("The parameters do not fit: ")


def test_params_that_cannot_be_checked_are_a_refusal_too(robot: Robot, token: str) -> None:
    version = robot.enabled_version
    assert version is not None
    schema = {"type": "object", "properties": {"n": {"$ref": "#/foo"}}, "foo": [1]}
    type(version).objects.filter(pk=version.pk).update(parameters=schema)
    detail = refusal({"project_id": str(robot.uid), "params": {"n": 1}}, token)
    assert detail == "The parameters do not fit: n: It cannot be checked."


def test_nothing_runs_at_an_unknown_place_or_version(robot: Robot, token: str) -> None:
    project = {"project_id": str(robot.uid)}
    Pool.objects.create(name="finance")
    for place in ("desk-7", "executor", "Finance", "\ud800", "x" * 10_000):
        detail = refusal({**project, "exec_position": place}, token)
        shown = place.encode("utf-8", "replace").decode()
        assert detail == (
            f"There is no executor or pool named {shown}. There are: EXECUTOR, default, finance."
        )
    assert "9" in refusal({**project, "version": 9}, token)


def test_a_narrow_key_runs_nothing(people: dict[str, User], robot: Robot) -> None:
    _key, secret = ApiKey.issue(user=people["alice"], name="look", scopes=["robot.view"])
    assert "API key" not in refusal({"project_id": str(robot.uid)}, secret)


def test_a_key_of_another_space_finds_no_project(people: dict[str, User], robot: Robot) -> None:
    other = make_space("Other orders", {people["alice"]: SpaceRole.OWNER})
    _held, secret = make_key(other, by=owner_of(other), name="workflow")
    absent = "00000000-0000-4000-8000-000000000000"
    hidden = refusal({"project_id": str(robot.uid)}, secret)
    assert hidden.replace(str(robot.uid), absent) == refusal({"project_id": absent}, secret)


def test_a_body_over_the_limit_is_one_answer(robot: Robot, token: str) -> None:
    text = "x" * (5 * 2**20)
    answer = answer_of(send({"project_id": str(robot.uid), "params": {"a": text}}, token=token))
    assert answer["code"] == 55001


@pytest.mark.parametrize("sid", ["\ud800", "s" * 200_000, "a\u2028b\u2029c\u0085d", 'q"\\\n'])
def test_a_sid_of_any_text_is_one_line(robot: Robot, token: str, sid: str) -> None:
    call = send({"project_id": "p", "sid": sid}, token=token)
    answer = answer_of(call)
    assert answer["code"] != 0
    # Readers that split lines as Python's str does must not find more of them.
    assert len(b"".join(call.chunks).decode().splitlines()) == 2
