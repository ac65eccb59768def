"""Following one run by its live doors: cursors of every kind, beats, lost access, hanging up."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator
from django.db import OperationalError
from django.test import Client

from accounts.models import ApiKey, User
from accounts.refusals import Unavailable
from executions import hints, live
from executions import hub as module
from executions.choices import Status
from executions.hub import hub
from executions.lifecycle import Ending, finish
from executions.live import Beat, Cursor, Delivery, End, Events, Reset, follow
from executions.models import Execution
from rpa_platform.asgi import application
from spaces.models import Space, SpaceUser
from tests.executions.hubs import elsewhere, say
from tests.executions.test_multiplex import change_password, deactivate, expire, sign_out
from tests.interop.wire import Call

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
async def quiet(transactional_db: None) -> AsyncIterator[None]:
    """Ends the tails and threads of the test's event loop, as the end of a process does."""
    yield
    hub().close()


@pytest.fixture
def keys(people: dict[str, User]) -> dict[str, str]:
    return {name: ApiKey.issue(user=user, name="watch")[1] for name, user in people.items()}


def said(execution: Execution, lines: int = 3) -> None:
    """Some lines, then the end."""
    say(execution.pk, "line", times=lines)
    finish(execution.pk, Ending(Status.FAILED))


async def all_of(execution: Execution, after: str) -> list[Delivery]:
    async with asyncio.timeout(20), aclosing(follow(execution.pk, Cursor.parse(after))) as found:
        return [each async for each in found]


def numbers(deliveries: list[Delivery]) -> list[int]:
    return [frame.seq for each in deliveries if isinstance(each, Events) for frame in each.frames]


async def settled(tasks: set[Any]) -> None:
    async with asyncio.timeout(10):
        while {each for each in asyncio.all_tasks() if not each.done()} - tasks:
            await asyncio.sleep(0.01)


# Cursors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("after", "first"), [("", 1), ("0", 1), ("3", 4), ("1:3", 4), ("5", None)])
async def test_a_cursor_of_this_stream_goes_on_behind_it(
    execution: Execution, after: str, first: int | None
) -> None:
    await elsewhere(said, execution)
    *deliveries, end = await all_of(execution, after)
    assert numbers(deliveries) == (list(range(first, 6)) if first else [])
    assert not any(isinstance(each, Reset) for each in deliveries)
    assert end == End("FAILED", 5)


@pytest.mark.parametrize("after", ["6", "999999999", "2:3", "0:0", "7:999"])
async def test_a_cursor_of_another_stream_is_reset_to_the_beginning(
    execution: Execution, after: str
) -> None:
    await elsewhere(said, execution)
    reset, *deliveries, end = await all_of(execution, after)
    assert reset == Reset(epoch=1)
    assert numbers(deliveries) == [1, 2, 3, 4, 5]
    assert end == End("FAILED", 5)


async def test_a_reader_who_knows_more_than_this_process_is_not_reset(
    execution: Execution, monkeypatch: Any
) -> None:
    """It comes from another process, whose hints this one does not hear."""
    monkeypatch.setattr(module, "POLL_SECONDS", 3600.0)
    monkeypatch.setattr(hints, "ring", lambda *_heard: None)
    async with aclosing(follow(execution.pk, Cursor(0))) as early:
        first = await anext(early)
        await elsewhere(said, execution)
        *deliveries, end = await all_of(execution, "1:4")
        assert numbers(deliveries) == [5]
        assert end == End("FAILED", 5)
        # And what it made the process learn is everybody's.
        rest = [first, *[each async for each in early]]
        assert numbers(rest) == [1, 2, 3, 4, 5]


# Beats and access --------------------------------------------------------------------------------


async def test_a_quiet_run_beats_and_loses_nothing_by_it(execution: Execution) -> None:
    async with aclosing(follow(execution.pk, Cursor(1), beat=0.001)) as found:
        for _beat in range(20):
            assert await anext(found) == Beat()
        writing = asyncio.create_task(elsewhere(said, execution, 200))
        deliveries = [each async for each in found]
        await writing
    assert numbers(deliveries) == list(range(2, 203))
    assert deliveries[-1] == End("FAILED", 202)
    kinds = {type(each) for each in deliveries[:-1]}
    assert kinds <= {Events, Beat}


async def test_a_reader_whose_access_is_taken_is_told_nothing_more(
    execution: Execution, monkeypatch: Any
) -> None:
    monkeypatch.setattr(live, "_RECHECK_SECONDS", 0.0)
    may = [True]

    async def allowed() -> bool:
        return may[0]

    async with aclosing(follow(execution.pk, Cursor(0), beat=0.001, allowed=allowed)) as found:
        seen = [await anext(found)]
        while not numbers(seen) or seen[-1] != Beat():
            seen.append(await anext(found))
        assert numbers(seen) == [1]
        may[0] = False
        async with asyncio.timeout(10):
            rest = [each async for each in found]
    await elsewhere(said, execution)
    assert numbers(rest) == []
    assert not any(isinstance(each, End) for each in rest)


# The websocket -----------------------------------------------------------------------------------


class Socket:
    """One websocket of one run."""

    def __init__(self, execution: Execution, key: str, query: str = "") -> None:
        self._app = WebsocketCommunicator(
            application,
            f"/ws/executions/{execution.uid}/{query}",
            headers=[
                (b"host", b"localhost"),
                (b"origin", b"http://localhost"),
                (b"authorization", f"Bearer {key}".encode()),
            ],
        )

    async def __aenter__(self) -> "Socket":
        accepted, _protocol = await self._app.connect(timeout=10)
        assert accepted
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._app.disconnect()

    async def send(self, **content: Any) -> None:
        await self._app.send_to(**content)

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        """Until it is closed; the close code is the last one."""
        while True:
            message = await self._app.receive_output(timeout=10)
            if message["type"] == "websocket.close":
                yield {"type": "close", "code": message["code"]}
                return
            yield json.loads(message["text"])

    async def rest(self) -> list[dict[str, Any]]:
        return [each async for each in self.messages()]


def seqs(messages: list[dict[str, Any]]) -> Iterator[int]:
    for message in messages:
        for each in message.get("events", []):
            yield each["seq"]


async def test_a_socket_ends_with_the_stream(execution: Execution, keys: dict[str, str]) -> None:
    async with Socket(execution, keys["alice"], "?after=1") as socket:
        await elsewhere(said, execution)
        *messages, end, close = await socket.rest()
    assert list(seqs(messages)) == [2, 3, 4, 5]
    assert end == {"type": "end", "status": "FAILED", "last_seq": 5}
    assert close == {"type": "close", "code": 1000}
    async with Socket(execution, keys["bob"], "?after=2:9") as socket:
        reset, *messages, end, close = await socket.rest()
    assert reset == {"type": "reset", "epoch": 1}
    assert list(seqs(messages)) == [1, 2, 3, 4, 5]


async def test_what_a_client_says_changes_nothing(
    execution: Execution, keys: dict[str, str]
) -> None:
    async with Socket(execution, keys["alice"]) as socket:
        await socket.send(text_data='{"after": 99, "type": "subscribe"}')
        await socket.send(bytes_data=b"\x00\xff" * 1000)
        await elsewhere(said, execution)
        assert list(seqs(await socket.rest())) == [1, 2, 3, 4, 5]


async def test_a_socket_is_closed_when_its_reader_leaves_the_space(
    execution: Execution, keys: dict[str, str], space: Space, monkeypatch: Any
) -> None:
    monkeypatch.setattr(live, "_RECHECK_SECONDS", 0.0)
    async with Socket(execution, keys["bob"]) as socket:
        messages = socket.messages()
        assert list(seqs([await anext(messages)])) == [1]
        await elsewhere(lambda: SpaceUser.objects.get(space=space, user__username="bob").delete())
        # One more event may pass: it came before the next look at the permission.
        await elsewhere(say, execution.pk, "secret", times=3)
        rest = [each async for each in messages]
    assert rest[-1] == {"type": "close", "code": 4404}
    assert len([each for each in rest if each["type"] == "events"]) <= 1


async def test_hanging_up_frees_everything(execution: Execution, keys: dict[str, str]) -> None:
    async with Socket(execution, keys["alice"]):
        pass
    before = asyncio.all_tasks()
    for _visit in range(10):
        async with Socket(execution, keys["alice"]) as socket:
            assert next(seqs([await anext(socket.messages())])) == 1
            # They go in the very moment in which something comes.
            await elsewhere(say, execution.pk, "line")
            await socket._app.send_input({"type": "websocket.disconnect", "code": 1001})
            await socket._app.wait(timeout=10)
    await settled(before)


async def test_a_socket_whose_database_fails_is_closed_and_can_come_again(
    execution: Execution, keys: dict[str, str], monkeypatch: Any
) -> None:
    """A socket left open without anybody behind it would look like a quiet run for ever."""
    await elsewhere(said, execution)

    def away(*_arguments: Any, **_named: Any) -> Any:
        raise OperationalError("away")

    with monkeypatch.context() as fault:
        fault.setattr(module, "read_page", away)
        fault.setattr(module, "read_newest", away)
        async with Socket(execution, keys["alice"], "?after=2") as socket:
            assert await socket.rest() == [{"type": "close", "code": 1011}]
    async with Socket(execution, keys["alice"], "?after=2") as socket:
        assert list(seqs(await socket.rest())) == [3, 4, 5]


# Server-sent events ------------------------------------------------------------------------------


def sse(execution: Execution, key: str, **headers: str) -> Call:
    path = f"/api/v1/executions/{execution.uid}/stream"
    return Call(b"", token=f"Bearer {key}", method="GET", path=path, **headers)


async def test_a_dropped_event_source_goes_on_behind_its_last_event(
    execution: Execution, keys: dict[str, str]
) -> None:
    call = await sse(execution, keys["alice"]).open()
    first = await call.chunk()
    assert first is not None
    assert b"\nid: 1\n" in first
    await call.hang_up()
    await elsewhere(said, execution)
    again = await sse(execution, keys["alice"], Last_Event_ID="1").open()
    body = await again.rest()
    ids = [int(line[4:]) for line in body.splitlines() if line.startswith(b"id: ")]
    assert ids == [2, 3, 4, 5, 5]
    assert b"event: end" in body


async def test_an_event_source_that_has_all_so_far_waits_for_more(
    execution: Execution, keys: dict[str, str]
) -> None:
    """Only a run that has ended may tell it to stop."""
    call = await sse(execution, keys["alice"], Last_Event_ID="1").open()
    assert call.status == 200
    await elsewhere(said, execution)
    body = await call.rest()
    ids = [int(line[4:]) for line in body.splitlines() if line.startswith(b"id: ")]
    assert ids == [2, 3, 4, 5, 5]


@pytest.mark.parametrize(
    "error", [OperationalError("away"), Unavailable("away")], ids=["database", "storage"]
)
async def test_an_event_source_whose_read_fails_ends_and_can_come_again(
    execution: Execution, keys: dict[str, str], monkeypatch: Any, error: Exception
) -> None:
    """Without `end`: it has not read all, and comes back with the cursor that it has."""
    await elsewhere(said, execution)

    def away(*_arguments: Any, **_named: Any) -> Any:
        raise error

    with monkeypatch.context() as fault:
        fault.setattr(module, "read_page", away)
        fault.setattr(module, "read_newest", away)
        call = await sse(execution, keys["alice"], Last_Event_ID="2").open()
        assert (call.status, await call.rest()) == (200, b"")
    call = await sse(execution, keys["alice"], Last_Event_ID="2").open()
    body = await call.rest()
    ids = [int(line[4:]) for line in body.splitlines() if line.startswith(b"id: ")]
    assert ids == [3, 4, 5, 5]


async def test_hanging_up_frees_an_event_sources_watch(
    execution: Execution, keys: dict[str, str]
) -> None:
    before = asyncio.all_tasks()
    for _visit in range(5):
        call = await sse(execution, keys["alice"]).open()
        assert await call.chunk()
        await call.hang_up()
    await settled(before)


@pytest.mark.parametrize("deed", [sign_out, change_password, deactivate, expire])
async def test_no_event_source_survives_its_session(
    execution: Execution, people: dict[str, User], monkeypatch: Any, deed: Any
) -> None:
    monkeypatch.setattr(live, "_RECHECK_SECONDS", 0.0)
    client = Client()
    await elsewhere(client.force_login, people["alice"])
    cookie = f"sessionid={client.cookies['sessionid'].value}"
    path = f"/api/v1/executions/{execution.uid}/stream"
    call = await Call(b"", method="GET", path=path, Cookie=cookie).open()
    assert await call.chunk()
    await elsewhere(deed, client, people["alice"])
    # One more event may pass: it came before the next look at the permission.
    await elsewhere(say, execution.pk, "secret", times=3)
    async with asyncio.timeout(10):
        await call.rest()
    assert b"".join(call.chunks).count(b"secret") <= 3
    await elsewhere(finish, execution.pk, Ending(Status.FAILED))
    assert b"event: end" not in b"".join(call.chunks)


@pytest.mark.parametrize("cursor", ["2:5", "9", "1:9"])
async def test_an_event_source_with_a_foreign_cursor_is_reset(
    execution: Execution, keys: dict[str, str], cursor: str
) -> None:
    await elsewhere(said, execution)
    call = await sse(execution, keys["alice"], Last_Event_ID=cursor).open()
    body = await call.rest()
    assert body.startswith(b'event: reset\nid: 0\ndata: {"epoch": 1}\n\n')
    ids = [int(line[4:]) for line in body.splitlines() if line.startswith(b"id: ")]
    assert ids == [0, 1, 2, 3, 4, 5, 5]
