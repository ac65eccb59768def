"""Many things watched over one websocket: runs, lists, refusals, fairness, lost access, bad manners."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.testing import WebsocketCommunicator
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from accounts.actors import Actor
from accounts.models import ApiKey, User
from executions import arrivals, consumers, live, multiplex, retention
from executions import hub as hubs
from executions.choices import Status
from executions.hub import hub
from executions.lifecycle import Ending, finish
from executions.models import Execution, ExecutionStream
from executions.news import news
from executions.sealing import seal
from robots.models import Robot
from rpa_platform.asgi import application
from spaces.models import Space, SpaceRole, SpaceUser
from tests.executions.hubs import elsewhere, say
from tests.factories import make_execution, make_robot, make_space

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
async def quiet(transactional_db: None) -> AsyncIterator[None]:
    """Ends the threads of the test's event loop, as the end of a process does."""
    yield
    hub().close()
    news().close()


@pytest.fixture
def keys(people: dict[str, User]) -> dict[str, str]:
    return {name: ApiKey.issue(user=user, name="watch")[1] for name, user in people.items()}


class Tab:
    """One connection."""

    def __init__(self, key: str = "", cookies: str = "", path: str = "/ws/") -> None:
        headers = [(b"host", b"localhost"), (b"origin", b"http://localhost")]
        if key:
            headers.append((b"authorization", f"Bearer {key}".encode()))
        if cookies:
            headers.append((b"cookie", cookies.encode()))
        self.app = WebsocketCommunicator(application, path, headers=headers)

    async def __aenter__(self) -> "Tab":
        accepted, _protocol = await self.app.connect(timeout=10)
        assert accepted
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.app.disconnect()

    async def say(self, **order: Any) -> None:
        await self.app.send_to(text_data=json.dumps(order))

    async def follow(self, name: str, execution: Execution, after: Any = None) -> None:
        more = {} if after is None else {"after": after}
        await self.say(
            op="subscribe", id=name, topic="execution", execution=str(execution.uid), **more
        )

    async def hear(self) -> dict[str, Any]:
        """The next frame; the close code, when it is closed."""
        message = await self.app.receive_output(timeout=10)
        if message["type"] == "websocket.close":
            return {"type": "close", "code": message["code"]}
        frame: dict[str, Any] = json.loads(message["text"])
        return frame

    async def until(self, *kinds: str) -> list[dict[str, Any]]:
        """All frames up to the first of one of these types."""
        frames = [await self.hear()]
        while frames[-1]["type"] not in kinds:
            frames.append(await self.hear())
        return frames


def seqs(frames: list[dict[str, Any]], name: str) -> list[int]:
    mine = [each for each in frames if each.get("id") == name]
    return [event["seq"] for each in mine for event in each.get("events", [])]


def said(execution: Execution, lines: int = 3) -> None:
    say(execution.pk, "line", times=lines)
    finish(execution.pk, Ending(Status.FAILED))


async def settled(tasks: set[Any]) -> None:
    async with asyncio.timeout(10):
        while {each for each in asyncio.all_tasks() if not each.done()} - tasks:
            await asyncio.sleep(0.01)


# Runs --------------------------------------------------------------------------------------------


async def test_runs_are_followed_side_by_side_to_their_ends(
    robot: Robot, keys: dict[str, str]
) -> None:
    runs = [await elsewhere(make_execution, robot) for _ in range(5)]
    async with Tab(keys["alice"]) as tab:
        for number, run in enumerate(runs):
            await tab.follow(f"run {number}", run, after=["", 0, "1", "1:1", None][number])
        writing = [asyncio.create_task(elsewhere(said, run, 40)) for run in runs]
        frames: list[dict[str, Any]] = []
        while sum(each["type"] == "end" for each in frames) < 5:
            frames.append(await tab.hear())
        for each in writing:
            await each
    for number in range(5):
        first = 2 if number in (2, 3) else 1
        assert seqs(frames, f"run {number}") == list(range(first, 43))
        end = [each for each in frames if each.get("id") == f"run {number}"][-1]
        assert end == {
            "type": "end",
            "id": f"run {number}",
            "status": "FAILED",
            "last_seq": 42,
        }


async def test_resets_and_truncations_carry_the_name(
    execution: Execution, keys: dict[str, str]
) -> None:
    await elsewhere(said, execution)
    async with Tab(keys["alice"]) as tab:
        await tab.follow("far", execution, after="1:99")
        frames = await tab.until("end")
        assert frames[0] == {"type": "reset", "id": "far", "epoch": 1}
        assert seqs(frames, "far") == [1, 2, 3, 4, 5]
        await elsewhere(lambda: execution.stream.__class__.objects.update(dropped_seq=2))
    async with Tab(keys["alice"]) as tab:
        await tab.follow("cut", execution)
        frames = await tab.until("end")
        assert frames[0] == {"type": "truncated", "id": "cut", "first_available": 3}
        assert seqs(frames, "cut") == [3, 4, 5]


async def test_removal_in_the_middle_of_reading_is_said(
    execution: Execution, people: dict[str, User]
) -> None:
    """While the client takes the first frame, retention removes what would follow."""
    taken, stuck, sent = asyncio.Event(), asyncio.Event(), list[dict[str, Any]]()

    async def who() -> Actor:
        return Actor(people["alice"])

    async def send(text: str) -> None:
        sent.append(json.loads(text))
        stuck.set()
        await taken.wait()

    def written() -> None:
        say(execution.pk, "x" * 900, times=600)
        finish(execution.pk, Ending(Status.FAILED))
        while seal(execution.pk):
            pass

    await elsewhere(written)
    many = multiplex.Multiplex(actor=who, send=send)
    serving = asyncio.create_task(many.run())
    order = {"op": "subscribe", "id": "it", "topic": "execution", "execution": str(execution.uid)}
    many.hear(json.dumps(order))
    await asyncio.wait_for(stuck.wait(), 10)
    await elsewhere(lambda: retention.remove(ExecutionStream.objects.get(pk=execution.pk)))
    taken.set()
    async with asyncio.timeout(10):
        while sent[-1]["type"] not in ("end", "refused"):
            await asyncio.sleep(0.01)
    *frames, truncated, end = sent
    assert seqs(frames, "it") == list(range(1, len(seqs(frames, "it")) + 1))
    assert 0 < len(seqs(frames, "it")) < 602
    assert truncated == {"type": "truncated", "id": "it", "first_available": 603}
    assert end == {"type": "end", "id": "it", "status": "FAILED", "last_seq": 602}
    serving.cancel()
    await asyncio.wait([serving])


async def test_a_name_is_free_again_after_the_end_and_after_unsubscribing(
    execution: Execution, keys: dict[str, str]
) -> None:
    async with Tab(keys["alice"]) as tab:
        await tab.follow("it", execution)
        assert seqs(await tab.until("events"), "it") == [1]
        await tab.follow("it", execution)
        assert await tab.hear() == {"type": "refused", "id": "it", "code": "malformed"}
        await tab.say(op="unsubscribe", id="it")
        await tab.say(op="unsubscribe", id="nobody")
        await tab.follow("it", execution, after=1)
        await tab.say(op="weather", id="all that was heard before this")
        await tab.until("refused")
        await elsewhere(said, execution)
        assert seqs(await tab.until("end"), "it") == [2, 3, 4, 5]
        await tab.follow("it", execution, after=4)
        assert seqs(await tab.until("end"), "it") == [5]


async def test_a_socket_that_is_quiet_beats_once(
    robot: Robot, keys: dict[str, str], monkeypatch: Any
) -> None:
    monkeypatch.setattr(multiplex, "BEAT_SECONDS", 0.05)
    runs = [await elsewhere(make_execution, robot) for _ in range(3)]
    async with Tab(keys["alice"]) as tab:
        for run in runs:
            await tab.follow(str(run.uid), run, after=1)
        for _beat in range(5):
            assert await tab.hear() == {"type": "hb"}


async def test_a_replay_that_hangs_delays_nobody_else(
    robot: Robot, keys: dict[str, str], monkeypatch: Any
) -> None:
    """Storage that does not answer holds up those who read from it, and no one who is live."""
    runs = [await elsewhere(make_execution, robot) for _ in range(4)]
    old, stuck = runs[:3], threading.Event()
    read, newest = hubs.read_page, hubs.read_newest
    for each in old:
        await elsewhere(say, each.pk, "line", times=5)

    def hanging(number: int, **bounds: Any) -> Any:
        if "up_to" in bounds and number in {each.pk for each in old}:
            stuck.wait(20)
        return read(number, **bounds)

    def hanging_newest(number: int, **bounds: Any) -> Any:
        if number in {each.pk for each in old}:
            stuck.wait(20)
        return newest(number, **bounds)

    monkeypatch.setattr(hubs, "read_page", hanging)
    monkeypatch.setattr(hubs, "read_newest", hanging_newest)
    async with Tab(keys["alice"]) as tab:
        await tab.follow("live", runs[3])
        assert seqs(await tab.until("events"), "live") == [1]
        for number, run in enumerate(old):
            await tab.follow(f"old {number}", run)
        await elsewhere(said, runs[3], 30)
        frames = await tab.until("end")
        assert seqs(frames, "live") == list(range(2, 33))
        assert {each["id"] for each in frames} == {"live"}
        stuck.set()
        rest: list[dict[str, Any]] = []
        while len({each["id"] for each in rest}) < 3:
            rest.append(await tab.hear())
        for number in range(3):
            assert seqs(rest, f"old {number}") == [1, 2, 3, 4, 5, 6]


async def test_turns_go_round(robot: Robot, keys: dict[str, str]) -> None:
    """While one replays very much, another one gets every second frame."""
    big, small = [await elsewhere(make_execution, robot) for _ in range(2)]
    await elsewhere(say, big.pk, "x" * 60_000, times=60)
    await elsewhere(said, small, 5)
    async with Tab(keys["alice"]) as tab:
        await tab.follow("big", big)
        await tab.follow("small", small)
        frames = await tab.until("end")
        assert frames[-1]["id"] == "small"
        assert len(seqs(frames, "big")) < 60
        while len(seqs(frames, "big")) < 61:
            frames.append(await tab.hear())
    assert seqs(frames, "big") == list(range(1, 62))


async def test_nothing_is_read_for_a_client_that_takes_nothing(
    robot: Robot, monkeypatch: Any
) -> None:
    """Of forty long replays, two pages and the frame that is being sent lie in memory."""
    runs = [await elsewhere(make_execution, robot) for _ in range(40)]
    for run in runs:
        await elsewhere(say, run.pk, "x" * 60_000, times=3)
    reads: set[int] = set()

    def counted(read: Callable[..., Any]) -> Callable[..., Any]:
        def noted(number: int, **bounds: Any) -> Any:
            reads.add(number)
            return read(number, **bounds)

        return noted

    for name in ("read_page", "read_newest"):
        monkeypatch.setattr(hubs, name, counted(getattr(hubs, name)))
    actor = Actor(runs[0].requested_by)
    taken, stalled = asyncio.Event(), asyncio.Event()

    async def send(_text: str) -> None:
        stalled.set()
        await taken.wait()

    async def who() -> Any:
        return actor

    many = multiplex.Multiplex(actor=who, send=send)
    serving = asyncio.create_task(many.run())
    for run in runs:
        many.hear(
            json.dumps(
                {
                    "op": "subscribe",
                    "id": str(run.pk),
                    "topic": "execution",
                    "execution": str(run.uid),
                }
            )
        )
    await stalled.wait()
    async with asyncio.timeout(20):
        while len(many._subscriptions) < 40:
            await asyncio.sleep(0.01)
    for _turn in range(50):
        await asyncio.sleep(0.01)
    assert 1 <= len(reads) <= 3
    serving.cancel()
    await asyncio.wait([serving])


@pytest.mark.parametrize("path", ["/ws/", "/ws/executions/{}/"])
async def test_who_comes_in_a_crowd_is_let_in_at_once_and_waits_for_a_turn(
    execution: Execution, keys: dict[str, str], monkeypatch: Any, path: str
) -> None:
    """Those who are being looked at keep nobody outside, and nobody is looked at beside them."""
    looked = threading.Event()
    identify = consumers._Socket._identify

    def noted(self: Any) -> Any:
        looked.set()
        return identify(self)

    monkeypatch.setattr(consumers._Socket, "_identify", noted)
    async with AsyncExitStack() as held:
        for _turn in range(arrivals._LOOKS_AT_ONCE):
            await held.enter_async_context(arrivals.arrivals().look())
        tab = Tab(keys["alice"], path=path.format(execution.uid))
        assert (await tab.app.connect(timeout=10))[0]
        assert await tab.app.receive_nothing(timeout=0.2)
        assert not looked.is_set()
    assert await asyncio.to_thread(looked.wait, 10)
    if path == "/ws/":
        await tab.follow("run", execution)
    assert (await tab.hear())["type"] == "events"
    await tab.app.disconnect()


async def test_who_falls_behind_while_it_waits_for_its_turn_keeps_nobody_else_waiting(
    robot: Robot, people: dict[str, User], monkeypatch: Any
) -> None:
    """What was in memory is not any more when its turn comes: it is read before the next one."""
    first, slow, live = runs = [await elsewhere(make_execution, robot) for _ in range(3)]
    taken, sending, sent = asyncio.Event(), asyncio.Event(), list[dict[str, Any]]()
    go_on = threading.Event()

    async def who() -> Actor:
        return Actor(people["alice"])

    async def send(text: str) -> None:
        sent.append(json.loads(text))
        sending.set()
        await taken.wait()

    def hanging(read: Callable[..., Any]) -> Callable[..., Any]:
        def hang(number: int, **bounds: Any) -> Any:
            if number == slow.pk and "up_to" in bounds:
                assert go_on.wait(30)
            return read(number, **bounds)

        return hang

    async def until(condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.01)

    for name in ("read_page", "read_newest"):
        monkeypatch.setattr(hubs, name, hanging(getattr(hubs, name)))
    many = multiplex.Multiplex(actor=who, send=send)
    serving = asyncio.create_task(many.run())
    for run in runs:
        order = {"op": "subscribe", "id": str(run.pk), "topic": "execution", "after": 1}
        many.hear(json.dumps({**order, "execution": str(run.uid)}))
    await until(lambda: len(hub()._tails) == 3)
    await elsewhere(say, first.pk, "line")
    await asyncio.wait_for(sending.wait(), 10)
    await elsewhere(say, slow.pk, "line")
    tail = hub()._tails[slow.pk]
    await until(lambda: tail.head == 2)
    await elsewhere(say, slow.pk, "x" * 16384, times=2 * hubs.RING_BYTES // 16384)
    await until(lambda: tail.head > 2 and not tail.holds(1))
    await elsewhere(say, live.pk, "line")
    taken.set()
    await until(lambda: seqs(sent, str(live.pk)) == [2])
    assert not seqs(sent, str(slow.pk))
    go_on.set()
    await until(lambda: len(seqs(sent, str(slow.pk))) == 33)
    assert seqs(sent, str(slow.pk)) == list(range(2, 35))
    serving.cancel()
    await asyncio.wait([serving])


# Lists -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("topic", ["space", "home"])
async def test_a_list_says_that_it_changed_and_not_more_often_than_it_may(
    robot: Robot, keys: dict[str, str], topic: str
) -> None:
    order = {"topic": topic, "space": robot.space_id}
    async with Tab(keys["bob"]) as tab:
        await tab.say(op="subscribe", id="list", **order)
        assert await tab.hear() == {"type": "changed", "id": "list", "version": 1}
        clock = asyncio.get_running_loop().time
        began, versions = clock(), [1]
        execution = await elsewhere(make_execution, robot)
        versions.append((await tab.hear())["version"])
        for _number in range(20):
            await elsewhere(make_execution, robot)
        await elsewhere(finish, execution.pk, Ending(Status.CANCELLED))
        while not await tab.app.receive_nothing(timeout=2 * multiplex.QUIET_SECONDS):
            versions.append((await tab.hear())["version"])
        most = (clock() - began) / multiplex.QUIET_SECONDS + 1
        assert 3 <= len(versions) <= most
        assert versions == list(range(1, len(versions) + 1))


async def test_lists_of_others_are_not_heard(
    robot: Robot, keys: dict[str, str], people: dict[str, User]
) -> None:
    async with Tab(keys["dora"]) as tab:
        await tab.say(op="subscribe", id="home", topic="home")
        assert (await tab.hear())["type"] == "changed"
        await elsewhere(make_execution, robot)
        assert await tab.app.receive_nothing(timeout=3 * multiplex.QUIET_SECONDS)


async def test_a_new_space_is_at_home_after_the_next_check(
    robot: Robot, keys: dict[str, str], people: dict[str, User], monkeypatch: Any
) -> None:
    monkeypatch.setattr(multiplex, "RECHECK_SECONDS", 0.05)
    monkeypatch.setattr(multiplex, "QUIET_SECONDS", 0.01)
    async with Tab(keys["charlie"]) as tab:
        await tab.say(op="subscribe", id="home", topic="home")
        assert (await tab.hear())["version"] == 1

        def furnish() -> Robot:
            return make_robot(make_space("New", {people["charlie"]: SpaceRole.OWNER}))

        added = await elsewhere(furnish)
        assert (await tab.hear())["version"] == 2
        await elsewhere(make_execution, added)
        assert (await tab.hear())["version"] == 3


# Refusals ----------------------------------------------------------------------------------------

UNREADABLE: list[Callable[[Space, Execution], dict[str, Any]]] = [
    lambda space, execution: {"topic": "execution", "execution": str(execution.uid)},
    lambda space, execution: {"topic": "execution", "execution": str(uuid4())},
    lambda space, execution: {"topic": "space", "space": space.pk},
    lambda space, execution: {"topic": "space", "space": 2**63 - 1},
]


@pytest.mark.parametrize("wanted", UNREADABLE)
async def test_the_absent_and_the_invisible_look_alike(
    space: Space, execution: Execution, keys: dict[str, str], wanted: Any
) -> None:
    async with Tab(keys["charlie"]) as tab:
        await tab.say(op="subscribe", id="x", **wanted(space, execution))
        assert await tab.hear() == {"type": "refused", "id": "x", "code": "not_found"}


@pytest.mark.parametrize(
    "order",
    [
        {},
        {"op": "weather"},
        {"op": ["subscribe"]},
        {"op": "subscribe"},
        {"op": "subscribe", "topic": "weather"},
        {"op": "subscribe", "topic": {"a": 1}},
        {"op": "subscribe", "topic": "execution"},
        {"op": "subscribe", "topic": "execution", "execution": "x"},
        {"op": "subscribe", "topic": "execution", "execution": 7},
        {"op": "subscribe", "topic": "execution", "execution": str(uuid4()), "after": "x"},
        {"op": "subscribe", "topic": "execution", "execution": str(uuid4()), "after": -1},
        {"op": "subscribe", "topic": "execution", "execution": str(uuid4()), "after": [1]},
        {"op": "subscribe", "topic": "space"},
        {"op": "subscribe", "topic": "space", "space": "7"},
        {"op": "subscribe", "topic": "space", "space": True},
        {"op": "subscribe", "topic": "space", "space": 2**63},
        {"op": "subscribe", "topic": "space", "space": -1},
    ],
)
async def test_a_malformed_order_is_refused_and_harms_no_other(
    execution: Execution, keys: dict[str, str], order: dict[str, Any]
) -> None:
    async with Tab(keys["alice"]) as tab:
        await tab.say(id="\ud800 x", **order)
        frame = await tab.hear()
        assert frame == {"type": "refused", "id": "\ud800 x", "code": "malformed"}
        await tab.follow("good", execution)
        assert seqs(await tab.until("events"), "good") == [1]


@pytest.mark.parametrize(
    "message",
    [
        {"text_data": "{"},
        {"text_data": "[]"},
        {"text_data": "7"},
        {"text_data": '"id"'},
        {"text_data": '{"op": "subscribe"}'},
        {"text_data": '{"id": 7}'},
        {"text_data": '{"id": ""}'},
        {"text_data": '{"id": "' + "x" * 65 + '"}'},
        {"text_data": '{"id": "x", "pad": "' + "x" * 1024 + '"}'},
        {"text_data": "[" * 1024},
        {"bytes_data": b"\x00\xff"},
    ],
)
async def test_what_is_no_order_ends_the_connection(
    keys: dict[str, str], message: dict[str, Any]
) -> None:
    async with Tab(keys["alice"]) as tab:
        await tab.app.send_to(**message)
        assert await tab.hear() == {"type": "close", "code": 4400}


async def test_orders_do_not_pile_up_where_answers_are_not_taken(people: dict[str, User]) -> None:
    async def who() -> Actor:
        return Actor(people["alice"])

    async def send(_text: str) -> None:
        await asyncio.Event().wait()

    many = multiplex.Multiplex(actor=who, send=send)
    serving = asyncio.create_task(many.run())

    async def flood() -> None:
        for _number in range(2000):
            many.hear('{"op": "weather", "id": "x"}')
            await asyncio.sleep(0)

    with pytest.raises(multiplex.Malformed):
        await flood()
    serving.cancel()
    await asyncio.wait([serving])


async def test_there_are_so_many_subscriptions_and_no_more(
    execution: Execution, keys: dict[str, str]
) -> None:
    async with Tab(keys["alice"]) as tab:
        for number in range(multiplex.MOST_SUBSCRIPTIONS):
            await tab.follow(f"{number}", execution)
        frames: list[dict[str, Any]] = []
        while len(frames) < multiplex.MOST_SUBSCRIPTIONS:
            frames += await tab.until("events")
        await tab.follow("more", execution)
        assert await tab.hear() == {"type": "refused", "id": "more", "code": "too_many"}
        await tab.say(op="unsubscribe", id="7")
        await tab.follow("more", execution)
        assert seqs(await tab.until("events"), "more") == [1]


async def test_the_fault_of_one_subscription_is_not_that_of_the_others(
    robot: Robot, keys: dict[str, str], monkeypatch: Any
) -> None:
    bad, good = [await elsewhere(make_execution, robot) for _ in range(2)]
    await elsewhere(said, bad)
    read = hubs.read_page

    def broken(number: int, **bounds: Any) -> Any:
        if number == bad.pk:
            raise LookupError("gone")
        return read(number, **bounds)

    monkeypatch.setattr(hubs, "read_page", broken)
    newest = hubs.read_newest

    def broken_newest(number: int, **bounds: Any) -> Any:
        return broken(number) if number == bad.pk else newest(number, **bounds)

    monkeypatch.setattr(hubs, "read_newest", broken_newest)
    async with Tab(keys["alice"]) as tab:
        await tab.follow("bad", bad)
        assert await tab.hear() == {"type": "refused", "id": "bad", "code": "fault"}
        await tab.follow("good", good)
        await elsewhere(said, good)
        assert seqs(await tab.until("end"), "good") == [1, 2, 3, 4, 5]


# Access ------------------------------------------------------------------------------------------


async def test_each_subscription_ends_when_its_space_is_left(
    space: Space,
    execution: Execution,
    people: dict[str, User],
    keys: dict[str, str],
    monkeypatch: Any,
) -> None:
    monkeypatch.setattr(multiplex, "RECHECK_SECONDS", 0.1)

    def furnish() -> Execution:
        return make_execution(make_robot(make_space("Bob's", {people["bob"]: SpaceRole.OWNER})))

    own = await elsewhere(furnish)
    async with Tab(keys["bob"]) as tab:
        await tab.follow("run", execution, after=1)
        await tab.say(op="subscribe", id="list", topic="space", space=space.pk)
        await tab.follow("own", own, after=1)
        assert (await tab.hear())["id"] == "list"
        await elsewhere(lambda: SpaceUser.objects.get(space=space, user__username="bob").delete())
        refused = [await tab.hear(), await tab.hear()]
        assert {each["id"] for each in refused} == {"run", "list"}
        assert {each["code"] for each in refused} == {"not_found"}
        await elsewhere(said, execution)
        await elsewhere(said, own)
        frames = await tab.until("end")
        assert {each["id"] for each in frames} == {"own"}


async def test_nothing_of_a_lost_space_is_said_to_a_client_that_was_stuck(
    robot: Robot, people: dict[str, User], monkeypatch: Any
) -> None:
    """However long it does not take the first refusal, nothing comes after it that it may not see."""
    monkeypatch.setattr(multiplex, "RECHECK_SECONDS", 0.05)
    runs = [await elsewhere(make_execution, robot) for _ in range(9)]
    taken, stuck, sent = asyncio.Event(), asyncio.Event(), list[dict[str, Any]]()

    async def who() -> Actor:
        return Actor(people["bob"])

    async def send(text: str) -> None:
        sent.append(json.loads(text))
        if sent[-1]["type"] == "refused":
            stuck.set()
            await taken.wait()

    many = multiplex.Multiplex(actor=who, send=send)
    serving = asyncio.create_task(many.run())
    for run in runs:
        order = {"op": "subscribe", "id": str(run.pk), "topic": "execution", "after": 1}
        many.hear(json.dumps({**order, "execution": str(run.uid)}))
    async with asyncio.timeout(10):
        while len(many._subscriptions) < len(runs):
            await asyncio.sleep(0.01)
    await elsewhere(lambda: SpaceUser.objects.get(user=people["bob"]).delete())
    await asyncio.wait_for(stuck.wait(), 10)
    for run in runs:
        await elsewhere(said, run)
    taken.set()
    async with asyncio.timeout(10):
        while len(sent) < len(runs):
            await asyncio.sleep(0.01)
    assert [each["type"] for each in sent] == ["refused"] * len(runs)
    serving.cancel()
    await asyncio.wait([serving])


async def test_a_name_that_was_given_anew_is_not_taken_away(
    robot: Robot, people: dict[str, User], keys: dict[str, str], monkeypatch: Any
) -> None:
    """While the check asks about the run that it was given to before."""
    monkeypatch.setattr(multiplex, "RECHECK_SECONDS", 0.05)
    old, new = [await elsewhere(make_execution, robot) for _ in range(2)]
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_actor: Actor, _numbers: list[int]) -> set[int]:
        asked.set()
        await go_on.wait()
        return set() if not renamed else {new.pk}

    renamed: list[bool] = []
    monkeypatch.setattr(multiplex, "_still_visible", slow)
    async with Tab(keys["alice"]) as tab:
        await tab.follow("it", old, after=1)
        await asyncio.wait_for(asked.wait(), 10)
        await tab.say(op="unsubscribe", id="it")
        await tab.follow("it", new)
        assert seqs(await tab.until("events"), "it") == [1]
        go_on.set()
        await asyncio.sleep(0)
        renamed.append(True)
        await elsewhere(said, new)
        assert seqs(await tab.until("end", "refused"), "it") == [2, 3, 4, 5]


def sign_out(client: Client, user: User) -> None:
    client.logout()


def change_password(client: Client, user: User) -> None:
    user.set_password("another")
    user.save()


def deactivate(client: Client, user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def expire(client: Client, user: User) -> None:
    Session.objects.all().delete()


@pytest.mark.parametrize("deed", [sign_out, change_password, deactivate, expire])
@pytest.mark.parametrize("single", [False, True])
async def test_no_socket_survives_its_session(
    execution: Execution, people: dict[str, User], monkeypatch: Any, deed: Any, single: bool
) -> None:
    monkeypatch.setattr(multiplex, "RECHECK_SECONDS", 0.1)
    monkeypatch.setattr(live, "_RECHECK_SECONDS", 0.0)
    client = Client()
    await elsewhere(client.force_login, people["alice"])
    cookies = f"sessionid={client.cookies['sessionid'].value}"
    path = f"/ws/executions/{execution.uid}/" if single else "/ws/"
    async with Tab(cookies=cookies, path=path) as tab:
        if not single:
            await tab.follow("run", execution)
        assert (await tab.hear())["type"] == "events"
        await elsewhere(deed, client, people["alice"])
        if single:
            await elsewhere(say, execution.pk, "secret")
        assert (await tab.until("close"))[-1]["code"] == 4401


async def test_a_revoked_key_ends_the_connection(
    execution: Execution, keys: dict[str, str], monkeypatch: Any
) -> None:
    monkeypatch.setattr(multiplex, "RECHECK_SECONDS", 0.1)
    async with Tab(keys["alice"]) as tab:
        await tab.follow("run", execution)
        assert (await tab.hear())["type"] == "events"
        await elsewhere(ApiKey.objects.all().delete)
        assert await tab.hear() == {"type": "close", "code": 4401}


async def test_a_key_that_expires_ends_the_connection(
    execution: Execution, keys: dict[str, str], monkeypatch: Any
) -> None:
    monkeypatch.setattr(multiplex, "RECHECK_SECONDS", 0.1)
    async with Tab(keys["alice"]) as tab:
        await tab.follow("run", execution)
        assert (await tab.hear())["type"] == "events"
        await elsewhere(lambda: ApiKey.objects.update(expires_at=timezone.now()))
        assert await tab.hear() == {"type": "close", "code": 4401}


@pytest.mark.parametrize("path", ["/ws/", "/ws/executions/{}/"])
async def test_a_connection_whose_application_fails_leaves_nobody_behind(
    execution: Execution, keys: dict[str, str], monkeypatch: Any, path: str
) -> None:
    """It is never told of the disconnection then, and would go on sending to nobody."""
    before = asyncio.all_tasks()

    async def broken(_self: Any, _message: Any) -> None:
        raise RuntimeError("a fault in the library")

    tab = Tab(keys["alice"], path=path.format(execution.uid))
    async with asyncio.timeout(10):
        await tab.app.connect()
        if path == "/ws/":
            await tab.follow("run", execution)
        assert (await tab.hear())["type"] == "events"
        monkeypatch.setattr(AsyncWebsocketConsumer, "websocket_receive", broken)
        await tab.app.send_to(text_data="anything")
        with pytest.raises(RuntimeError, match="a fault"):
            await tab.app.wait()
    await settled(before)
    assert not hub()._tails


async def test_a_fault_at_the_check_ends_the_connection(
    execution: Execution, keys: dict[str, str], monkeypatch: Any
) -> None:
    monkeypatch.setattr(multiplex, "RECHECK_SECONDS", 0.1)

    async def away(*_arguments: Any) -> Any:
        raise RuntimeError("away")

    async with Tab(keys["alice"]) as tab:
        await tab.follow("run", execution)
        assert (await tab.hear())["type"] == "events"
        monkeypatch.setattr(multiplex, "_still_visible", away)
        assert await tab.hear() == {"type": "close", "code": 1011}


async def test_hanging_up_frees_everything(
    robot: Robot, execution: Execution, keys: dict[str, str]
) -> None:
    async with Tab(keys["alice"]):
        pass
    before = asyncio.all_tasks()
    for _visit in range(5):
        async with Tab(keys["alice"]) as tab:
            await tab.follow("run", execution)
            await tab.say(op="subscribe", id="home", topic="home")
            assert {(await tab.hear())["type"] for _ in range(2)} == {"events", "changed"}
            await elsewhere(say, execution.pk, "line")
            await tab.app.send_input({"type": "websocket.disconnect", "code": 1001})
            await tab.app.wait(timeout=10)
    await settled(before)
    assert not news()._watches
    assert not hub()._tails
