"""The run-a-robot stream: exactly one answer, whatever becomes of the run and of the connection."""

import asyncio
import json
import re
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError

from accounts.models import ApiKey, User
from executions.choices import FailureReason, Status
from executions.lifecycle import Ending
from executions.models import Pool, Ticket
from robots.models import Robot
from spaces.keys import make_key
from spaces.models import Space
from tests.factories import make_robot, owner_of
from tests.interop.runs import (
    COMPLETED,
    NO_RESULT,
    birth,
    called,
    count,
    end,
    finished,
    newest,
    say,
    wanted,
)
from tests.interop.wire import Call, answer_of, final, post

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quiet")]


@pytest.mark.parametrize(
    ("result", "data"),
    [
        ({"b": 1, "a": [1.0, None, "张"]}, {"b": 1, "a": [1.0, None, "张"]}),
        ({}, {}),
        (NO_RESULT, None),
        (None, None),
        ([1, 2], {"result": [1, 2]}),
        ("text", {"result": "text"}),
        (0, {"result": 0}),
        (False, {"result": False}),
    ],
)
async def test_a_completed_run_is_one_line_of_data(
    robot: Robot, token: str, result: Any, data: Any
) -> None:
    call, execution = await called(wanted(robot), token=token)
    await end(execution, COMPLETED, result)
    answer = await finished(call)
    assert answer == {"code": 0, "message": "Success", "sid": "s1", "data": data}


async def test_the_bytes_of_an_answer(robot: Robot, token: str) -> None:
    call, execution = await called(wanted(robot), token=token)
    await end(execution, COMPLETED, {"名": "值\u2028", "n": 1.0})
    await call.rest()
    assert (
        b"".join(call.chunks)
        == (
            'data: {"code":0,"message":"Success","sid":"s1","data":{"名":"值\\u2028","n":1.0}}\r\n\r\n'
        ).encode()
    )
    assert len([each for each in call.chunks if each]) == 1


@pytest.mark.parametrize(
    ("ending", "message"),
    [
        (Ending(Status.FAILED, FailureReason.ERROR, "no invoice"), "Query task error: no invoice"),
        (
            Ending(Status.FAILED, FailureReason.TIMEOUT),
            "Query task error: It ran longer than its time limit",
        ),
        (Ending(Status.CANCELLED, message="Cancelled by bob."), "Query task error: cancelled"),
    ],
)
async def test_a_run_that_did_not_complete_says_why(
    robot: Robot, token: str, ending: Ending, message: str
) -> None:
    call, execution = await called(wanted(robot), token=token)
    await end(execution, ending, {"half": 1})
    answer = await finished(call)
    assert answer == {"code": 55002, "message": message, "sid": "s1", "data": None}


def padded(length: int) -> dict[str, str]:
    return {"text": "x" * length}


async def test_a_line_is_as_long_as_the_client_can_read(robot: Robot, token: str) -> None:
    empty = len(b'data: {"code":0,"message":"Success","sid":"s1","data":{"text":""}}\r\n')
    for length, code in ((131_072 - empty, 0), (131_072 - empty + 1, 55000)):
        call, execution = await called(wanted(robot, params={"n": length}), token=token)
        await end(execution, COMPLETED, padded(length))
        answer = await finished(call)
        assert answer["code"] == code
        assert (answer["data"] is None) == (code != 0)


async def test_what_a_robot_may_return_breaks_no_reader(robot: Robot, token: str) -> None:
    call, execution = await called(wanted(robot), token=token)
    await end(execution, COMPLETED, {"a\nb": "line\u2029\u0085 \x00 end", "s": "\\u"})
    await call.rest()
    assert len(b"".join(call.chunks).decode().splitlines()) == 2
    assert answer_of(call)["data"] == {"a\nb": "line\u2029\u0085 \x00 end", "s": "\\u"}


async def test_pings_come_until_the_answer(robot: Robot, token: str, settings: Any) -> None:
    settings.RPA_PING_INTERVAL = 0.01
    call, execution = await called(wanted(robot), token=token)
    pings = [await call.chunk() for _ in range(3)]
    await end(execution, COMPLETED)
    assert (await finished(call))["code"] == 0
    for each in pings:
        assert each is not None
        assert re.fullmatch(
            rb": ping - \d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{6})?\+00:00\r\n\r\n", each
        )


async def test_nothing_is_sent_before_the_first_interval(robot: Robot, token: str) -> None:
    call, execution = await called(wanted(robot), token=token)
    await say(execution, "not for the wire")
    await end(execution, COMPLETED)
    await call.rest()
    assert next(each for each in call.chunks if each).startswith(b"data: ")


async def test_a_client_that_hangs_up_ends_no_run(robot: Robot, token: str, settings: Any) -> None:
    settings.RPA_PING_INTERVAL = 0.01
    call, execution = await called(wanted(robot), token=token)
    assert await call.chunk() is not None
    await call.hang_up()
    await execution.arefresh_from_db()
    assert execution.finished_at is None
    assert execution.cancel_requested_at is None
    again = await Call(wanted(robot), token=token).open()
    await end(execution, COMPLETED, {"n": 1})
    assert (await finished(again))["data"] == {"n": 1}
    assert await count() == 1


async def test_the_same_request_joins_the_living_run(robot: Robot, token: str) -> None:
    first, execution = await called(wanted(robot, params={"a": 1}), token=token)
    second = await Call(wanted(robot, params={"a": 1}), token=token).open()
    await end(execution, COMPLETED, {"n": 1})
    assert await finished(first) == await finished(second)
    assert await count() == 1


async def test_racing_retries_are_one_run(robot: Robot, token: str) -> None:
    with birth() as born:
        calls = await asyncio.gather(*(Call(wanted(robot), token=token).open() for _ in range(4)))
        reading = [asyncio.create_task(finished(each)) for each in calls]
        await asyncio.wait_for(born, 10)
    await end(await newest(), COMPLETED, {"n": 1})
    answers = await asyncio.gather(*reading)
    assert [each["data"] for each in answers] == [{"n": 1}] * 4
    assert await count() == 1


@pytest.mark.parametrize(
    "change",
    [
        {"sid": "s2"},
        {"sid": ""},
        {"params": {"a": 2}},
        {"version": 1},
        {"phone_number": "13800000000"},
    ],
)
async def test_another_request_of_the_same_workflow_is_another_run(
    robot: Robot, token: str, change: dict[str, Any]
) -> None:
    body = wanted(robot, params={"a": 1})
    first, one = await called(body, token=token)
    second, two = await called({**body, **change}, token=token)
    await end(one, COMPLETED, {"n": 1})
    await end(two, COMPLETED, {"n": 2})
    assert (await finished(first))["data"] == {"n": 1}
    assert (await finished(second))["data"] == {"n": 2}


async def test_nobody_joins_anothers_run(robot: Robot, token: str, people: dict[str, User]) -> None:
    _key, of_bob = await sync_to_async(ApiKey.issue)(user=people["bob"], name="workflow")
    first, one = await called(wanted(robot), token=token)
    second, two = await called(wanted(robot), token=of_bob)
    assert one.pk != two.pk
    await end(one, COMPLETED)
    await end(two, COMPLETED)
    assert (await finished(first))["code"] == (await finished(second))["code"] == 0


async def test_a_narrow_key_joins_nothing(
    robot: Robot, token: str, people: dict[str, User]
) -> None:
    issue = sync_to_async(ApiKey.issue)
    _key, narrow = await issue(user=people["alice"], name="look", scopes=["robot.view"])
    call, execution = await called(wanted(robot), token=token)
    await end(execution, COMPLETED, {"secret": 1})
    assert (await finished(call))["data"] == {"secret": 1}
    refused = answer_of(await post(wanted(robot), token=narrow))
    assert (refused["code"], refused["data"]) == (55001, None)
    _key, narrower = await issue(
        user=people["alice"], name="run", scopes=["robot.view", "execution.run"]
    )
    assert answer_of(await post(wanted(robot), token=narrower))["data"] == {"secret": 1}


async def test_a_key_of_the_space_runs_its_robots(robot: Robot) -> None:
    def made() -> str:
        return make_key(robot.space, by=owner_of(robot.space), name="workflow")[1]

    secret = await sync_to_async(made)()
    call, execution = await called(wanted(robot), token=secret)
    await end(execution, COMPLETED, {"n": 1})
    assert (await finished(call))["data"] == {"n": 1}


def blocks(call: Call) -> list[dict[str, str]]:
    body = b"".join(call.chunks).decode()
    found = [block.split("\r\n") for block in body.split("\r\n\r\n") if block]
    return [dict(line.split(": ", 1) for line in block) for block in found]


@pytest.mark.parametrize(
    ("more", "headers"),
    [
        ({"progress": True}, {}),
        ({}, {"accept": "text/event-stream; progress=1"}),
        ({}, {"accept": "text/event-stream;progress=1"}),
    ],
)
async def test_who_asks_gets_the_events_before_the_answer(
    robot: Robot, token: str, more: dict[str, Any], headers: dict[str, str]
) -> None:
    call, execution = await called(wanted(robot, **more), token=token, **headers)
    await say(execution, "one", "two")
    await end(execution, COMPLETED, {"n": 1})
    await call.rest()
    found = blocks(call)
    assert [each.get("event") for each in found[:-1]] == [
        "status",
        "log",
        "log",
        "status",
        "result",
        "status",
    ]
    assert [each["id"] for each in found[:-1]] == ["1", "2", "3", "4", "5", "6"]
    assert json.loads(found[1]["data"])["data"]["lines"] == ["one"]
    assert set(found[-1]) == {"data"}
    assert final(b"data: " + found[-1]["data"].encode())["data"] == {"n": 1}


async def test_a_sid_that_no_text_can_hold_names_a_call_as_well(robot: Robot, token: str) -> None:
    call, execution = await called(wanted(robot, sid="a\ud800b"), token=token)
    again = await Call(wanted(robot, sid="a\ud800b"), token=token).open()
    await end(execution, COMPLETED, {"n": 1})
    for each in (call, again):
        assert await finished(each) == {
            "code": 0,
            "message": "Success",
            "sid": "a?b",
            "data": {"n": 1},
        }
    assert execution.trace_id == "a?b"
    assert await count() == 1


async def test_no_reader_splits_a_line_of_it(robot: Robot, token: str) -> None:
    """Whatever a robot prints: some split lines as Python does, at more than CR and LF."""
    printed = "a\v\f\x1c\x1d\x1e\x85\u2028\u2029z"
    call, execution = await called(wanted(robot, progress=True), token=token)
    await say(execution, printed)
    await end(execution, COMPLETED, {printed: printed})
    whole = (await call.rest()).decode()
    assert whole.splitlines() == whole.split("\r\n")[:-1]
    assert json.loads(blocks(call)[1]["data"])["data"]["lines"] == [printed]
    assert json.loads(blocks(call)[-1]["data"])["data"] == {printed: printed}


async def test_a_reconnect_gets_what_it_missed(robot: Robot, token: str) -> None:
    body = wanted(robot, progress=True)
    call, execution = await called(body, token=token)
    await say(execution, "one")
    seen = [await call.chunk()]
    await call.hang_up()
    ids = re.findall(rb"\bid: (\d+)", b"".join(each for each in seen if each))
    await say(execution, "two")
    again = await Call(body, token=token, last_event_id=ids[-1].decode()).open()
    await end(execution, COMPLETED)
    await again.rest()
    rest = [each["id"] for each in blocks(again)[:-1]]
    assert [int(each) for each in (*ids, *rest)] == [1, 2, 3, 4, 5]
    whole = await post(body, token=token, last_event_id="5")
    assert len(blocks(whole)) == 1
    assert answer_of(whole)["code"] == 0


async def test_a_cursor_of_another_stream_starts_again(robot: Robot, token: str) -> None:
    body = wanted(robot, progress=True)
    call, execution = await called(body, token=token)
    await end(execution, COMPLETED)
    await call.rest()
    again = await post(body, token=token, last_event_id="900")
    found = blocks(again)
    assert found[0]["event"] == "reset"
    assert [each["id"] for each in found[1:-1]] == ["1", "2", "3"]


async def test_a_fault_of_ours_is_an_answer_too(
    robot: Robot, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr("interop.exec_stream.follow", broken)
    answer = answer_of(await post(wanted(robot), token=token))
    assert answer == {"code": 55999, "message": "Unknown error", "sid": "s1", "data": None}


async def test_a_fault_while_asking_is_an_answer_too(
    robot: Robot, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object, **_named: object) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr("executions.services.request_execution", broken)
    answer = answer_of(await post(wanted(robot), token=token))
    assert (answer["code"], answer["message"]) == (55999, "Unknown error")


async def test_a_database_that_is_away_is_said(
    robot: Robot, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_arguments: object, **_named: object) -> None:
        raise OperationalError(2002, "Can't connect to server on 'db'")

    monkeypatch.setattr("executions.services.request_execution", away)
    answer = answer_of(await post(wanted(robot), token=token))
    assert answer["code"] == 55001
    assert answer["message"] == (
        "Create task error, detail: The database does not answer. Try again in a moment."
    )


async def test_a_robot_really_runs(space: Space, token: str, engine: object) -> None:
    source = "import rpa\nprint('hello')\nrpa.result({'n': rpa.params()['n'] + 1})\n"
    doing = await sync_to_async(make_robot)(space, name="adder", source=source)
    body = {"project_id": str(doing.uid), "params": {"n": 41}}
    answer = answer_of(await post(body, token=token))
    assert (answer["code"], answer["data"]) == (0, {"n": 42})
    execution = await newest()
    assert (execution.origin, execution.trace_id) == ("stream", answer["sid"])


RETRYING = '# /// script\n# [tool.rpa]\n# retry = {max_attempts = 3, on = ["error"]}\n# ///\n'
FAILED = Ending(Status.FAILED, FailureReason.ERROR, "no invoice")


async def test_what_is_tried_again_is_answered_by_its_last_attempt(
    space: Space, token: str
) -> None:
    robot = await sync_to_async(make_robot)(space, "again", RETRYING)
    call, first = await called(wanted(robot), token=token)
    await end(first, FAILED, {"half": 1})
    second = await newest()
    assert second.pk != first.pk
    await end(second, COMPLETED, {"whole": 1})
    assert await finished(call) == {
        "code": 0,
        "message": "Success",
        "sid": "s1",
        "data": {"whole": 1},
    }
    again = await Call(wanted(robot), token=token).open()
    assert (await finished(again))["data"] == {"whole": 1}
    assert await count() == 2


async def test_progress_goes_on_from_attempt_to_attempt_without_a_gap(
    space: Space, token: str
) -> None:
    robot = await sync_to_async(make_robot)(space, "again", RETRYING)
    call, first = await called(wanted(robot, progress=True), token=token)
    await say(first, "one")
    await end(first, FAILED)
    second = await newest()
    await say(second, "two")
    await end(second, COMPLETED)
    await call.rest()
    whole = b"".join(call.chunks)
    ids = re.findall(rb"\r\nid: (\S+)\r\n", whole)
    assert ids == [b"1", b"2", b"3", b"4", b"2.1", b"2.2", b"2.3", b"2.4"]
    for at, place in enumerate(ids, start=1):
        rest = await Call(
            wanted(robot, progress=True), token=token, last_event_id=place.decode()
        ).open()
        await rest.rest()
        assert re.findall(rb"\r\nid: (\S+)\r\n", b"".join(rest.chunks)) == ids[at:]


POOLED = '# /// script\n# [tool.rpa]\n# pool = "finance"\n# labels = ["sap"]\n# ///\n'


@pytest.mark.parametrize(
    ("position", "pool"),
    [
        ("EXECUTOR", "finance"),
        ("", "finance"),
        (None, "finance"),
        ("finance", "finance"),
        ("default", "default"),
        ("desk", "desk"),
    ],
)
async def test_a_position_is_a_pool(
    space: Space, token: str, position: str | None, pool: str
) -> None:
    """EXECUTOR, or nothing, is where the robot says. Its labels hold everywhere."""
    for name in ("finance", "desk"):
        await Pool.objects.acreate(name=name)
    robot = await sync_to_async(make_robot)(space, "pooled", POOLED)
    call, execution = await called(wanted(robot, exec_position=position), token=token)
    ticket = await Ticket.objects.select_related("lane", "pool").aget(pk=execution.pk)
    assert (ticket.pool.name, ticket.lane.pool_id) == (pool, ticket.pool_id)
    assert ticket.lane.labels == "sap"
    joined = await Call(wanted(robot, exec_position=position), token=token).open()
    await end(execution, COMPLETED, {"n": 1})
    assert (await finished(call))["data"] == (await finished(joined))["data"] == {"n": 1}
    assert await count() == 1


async def test_another_attempt_waits_at_the_same_position(space: Space, token: str) -> None:
    await Pool.objects.acreate(name="desk")
    robot = await sync_to_async(make_robot)(space, "again", RETRYING)
    call, first = await called(wanted(robot, exec_position="desk"), token=token)
    await end(first, FAILED)
    second = await newest()
    assert (await Ticket.objects.select_related("pool").aget(pk=second.pk)).pool.name == "desk"
    await end(second, COMPLETED)
    assert (await finished(call))["code"] == 0


@pytest.mark.parametrize("place", ["x.1", "1.x", ".1", "1.", "0.1", "1234.1", "²."])
async def test_a_place_that_is_none_is_refused(robot: Robot, token: str, place: str) -> None:
    call = await Call(
        wanted(robot), token=token, last_event_id=place.encode().decode("latin-1")
    ).open()
    assert call.status == 422
