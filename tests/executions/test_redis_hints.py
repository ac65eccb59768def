"""Hints by a real Redis, which is killed and comes back."""

import asyncio
import random
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis import Redis, RedisError
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.client import PubSub

from executions import hints, redis_hints
from executions import hub as module
from executions.events import Head, head_of
from executions.hub import Hub, Subscription
from executions.models import Execution
from executions.redis_hints import Ear, Publisher, channel_of, decode, encode
from robots.models import Robot
from tests.executions.hubs import elsewhere, read_to_end, say
from tests.factories import make_execution
from tests.support.proxy import Proxy

pytestmark = pytest.mark.django_db(transaction=True)


class RedisServer:
    """A Redis of the test's own."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("redis-server") or "redis-server"
        options = ("--save", "", "--bind", "127.0.0.1", "--dir", str(self._folder))
        self._process = subprocess.Popen(
            [program, "--port", str(self.port), *options], stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                Redis.from_url(self.url).ping()
                return
            except RedisError:
                time.sleep(0.02)
        raise AssertionError("Redis did not start.")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    running = RedisServer(tmp_path)
    running.start()
    yield running
    running.kill()


@pytest.fixture
def publisher(server: RedisServer) -> Iterator[Publisher]:
    made = Publisher(server.url)
    yield made
    made.close()


class Heard:
    """What an ear passed on, and the way to wait for something of it."""

    def __init__(self) -> None:
        self.all: list[tuple[int, Head]] = []
        self._some = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def told(self, number: int, head: Head) -> None:
        self.all.append((number, head))
        task = asyncio.get_running_loop().create_task(self._notify())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def wait_for(self, number: int, head: Head) -> None:
        async with asyncio.timeout(20), self._some:
            await self._some.wait_for(lambda: (number, head) in self.all)

    async def _notify(self) -> None:
        async with self._some:
            self._some.notify_all()


async def hear_something(publisher: Publisher, heard: Heard, number: int) -> None:
    """Ring until it is heard: for the moments in which Redis or a subscription is coming up."""
    async with asyncio.timeout(20):
        seq = 1000
        while not any(each[0] == number for each in heard.all):
            seq += 1
            publisher.hear(number, Head(seq, closed=False))
            await asyncio.sleep(0.02)


@pytest.fixture
async def ear(server: RedisServer) -> AsyncIterator[tuple[Ear, Heard]]:
    heard = Heard()
    made = Ear(server.url, heard.told)
    yield made, heard
    made.close()
    await asyncio.sleep(0)


def test_a_head_survives_the_way() -> None:
    for head in (Head(0, closed=False), Head(17, closed=True, epoch=3)):
        assert decode(encode(head).encode()) == head
    with pytest.raises(ValueError, match="rubbish"):
        decode(b"rubbish")


async def test_only_chosen_streams_are_heard(
    publisher: Publisher, ear: tuple[Ear, Heard], server: RedisServer
) -> None:
    listener, heard = ear
    await listener.listen(7)
    await hear_something(publisher, heard, 7)
    publisher.hear(8, Head(1, closed=False))
    publisher.hear(7, Head(5000, closed=True))
    await heard.wait_for(7, Head(5000, closed=True))
    assert {number for number, _head in heard.all} == {7}
    listener.leave(7)
    await listener.listen(9)
    await hear_something(publisher, heard, 9)


async def test_who_leaves_and_comes_back_at_once_is_heard(
    publisher: Publisher, ear: tuple[Ear, Heard]
) -> None:
    """Leaving is said a moment later, and by then it is not wanted any more."""
    listener, heard = ear
    await listener.listen(7)
    await hear_something(publisher, heard, 7)
    listener.leave(7)
    await listener.listen(7)
    # Whatever was to be said before this has been said.
    await listener.listen(8)
    await hear_something(publisher, heard, 8)
    publisher.hear(7, Head(5000, closed=False))
    await heard.wait_for(7, Head(5000, closed=False))


async def test_rubbish_on_the_channel_harms_nobody(
    publisher: Publisher, ear: tuple[Ear, Heard], server: RedisServer
) -> None:
    listener, heard = ear
    await listener.listen(7)
    await hear_something(publisher, heard, 7)
    Redis.from_url(server.url).publish(channel_of(7), b"\xff not a head")
    publisher.hear(7, Head(9000, closed=False))
    await heard.wait_for(7, Head(9000, closed=False))


async def test_redis_may_go_and_come_back(
    publisher: Publisher,
    ear: tuple[Ear, Heard],
    server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(redis_hints, "_LONGEST_PAUSE", 0.2)
    listener, heard = ear
    await listener.listen(7)
    await hear_something(publisher, heard, 7)
    server.kill()
    publisher.hear(7, Head(2000, closed=False))
    await listener.listen(8)
    server.start()
    heard.all.clear()
    await hear_something(publisher, heard, 7)
    await hear_something(publisher, heard, 8)


def test_fast_heads_are_told_once_and_the_last_one_always(server: RedisServer) -> None:
    ears = Redis.from_url(server.url).pubsub(ignore_subscribe_messages=True)
    ears.subscribe(channel_of(7))
    ears.get_message(timeout=5)
    publisher = Publisher(server.url)
    for seq in range(1, 10_001):
        publisher.hear(7, Head(seq, closed=False))
    publisher.hear(7, Head(10_000, closed=True))
    publisher.close()
    told = []
    while not told or not told[-1].closed:
        message = ears.get_message(timeout=5)
        assert message is not None, "the last head was not told"
        told.append(decode(message["data"]))
    assert told[-1] == Head(10_000, closed=True)
    assert len(told) < 100
    ears.close()


def test_an_older_head_does_not_replace_a_newer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two appends may ring in another order than that of their commits."""
    told, telling, go_on = list[tuple[str, str]](), threading.Event(), threading.Event()

    def slow(_self: Publisher, batch: list[tuple[str, str]], _pause: float) -> float:
        told.extend(batch)
        telling.set()
        assert go_on.wait(30)
        return 0.0

    monkeypatch.setattr(Publisher, "_tell", slow)
    publisher = Publisher("redis://127.0.0.1:1/0")
    first, newer = Head(1, closed=False), Head(5, closed=True)
    publisher.hear(9, first)
    assert telling.wait(30)
    publisher.hear(7, newer)
    publisher.hear(7, Head(3, closed=False))
    go_on.set()
    publisher.close()
    assert told == [(channel_of(9), encode(first)), (channel_of(7), encode(newer))]


def test_without_redis_an_append_waits_for_nothing(execution: Execution) -> None:
    with socket.socket() as dead:
        # It takes connections and never answers: the worst that a server can do.
        dead.bind(("127.0.0.1", 0))
        dead.listen(1)
        publisher = Publisher(f"redis://127.0.0.1:{dead.getsockname()[1]}/0")
        stop = hints.listen(publisher.hear)
        try:
            began = threading.Event()
            began.set()
            before = time.monotonic()
            say(execution.pk, "line", times=50)
            assert time.monotonic() - before < 50 * redis_hints._TIMEOUT_SECONDS / 2
        finally:
            stop()
            publisher.close()


async def test_a_hub_follows_another_process_by_redis_alone(
    server: RedisServer,
    publisher: Publisher,
    execution: Execution,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No poll, no hint of this process: what arrives came by Redis."""
    monkeypatch.setattr(module, "POLL_SECONDS", 3600.0)
    monkeypatch.setattr(module, "_LOOK_SECONDS", 3600.0)
    monkeypatch.setattr(hints, "ring", lambda number, head: publisher.hear(number, head))
    settings.RPA_REDIS_URL = server.url
    hub = Hub()
    try:
        async with hub.follow(execution.pk) as watch:
            assert [each.seq for each in await watch.next()] == [1]
            waiting = asyncio.create_task(read_to_end(watch))
            while not Redis.from_url(server.url).pubsub_numsub(channel_of(execution.pk))[0][1]:
                await asyncio.sleep(0.01)
            await elsewhere(say, execution.pk, "line", times=20, close=True)
            assert [each.seq for each in await waiting] == list(range(2, 22))
    finally:
        hub.close()


async def subscribed(server: RedisServer, run: Execution, *, by: int = 1) -> None:
    """Wait until so many listen to this run at this Redis."""
    async with asyncio.timeout(20), AsyncRedis.from_url(server.url) as redis:
        while (await redis.pubsub_numsub(channel_of(run.pk)))[0][1] != by:
            await asyncio.sleep(0.01)


def tell(server: RedisServer, number: int, head: Head) -> None:
    """Ring as another process does."""
    with Redis.from_url(server.url) as redis:
        redis.publish(channel_of(number), encode(head))


async def test_a_hub_gets_its_hints_again_after_each_break(
    server: RedisServer,
    execution: Execution,
    robot: Robot,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those of who watched before it, who came during it, and who came since: nothing here is polled."""

    runs = [execution, *[await elsewhere(make_execution, robot) for _ in range(4)]]
    monkeypatch.setattr(module, "POLL_SECONDS", 3600.0)
    monkeypatch.setattr(module, "_LOOK_SECONDS", 3600.0)
    monkeypatch.setattr(redis_hints, "_LONGEST_PAUSE", 0.1)
    monkeypatch.setattr(hints, "ring", partial(tell, server))
    settings.RPA_REDIS_URL = server.url
    hub, watches = Hub(), list[Subscription]()

    async def come() -> None:
        watches.append(await hub.follow(runs[len(watches)].pk, after=1).__aenter__())

    try:
        await come()
        for _break in range(2):
            await subscribed(server, execution)
            server.kill()
            await come()
            server.start()  # it knows of nobody who listened to the one before
            await subscribed(server, runs[len(watches) - 1])
            await come()
            for run, watch in zip(runs, watches, strict=False):
                await subscribed(server, run)
                await elsewhere(say, run.pk, "line")
                wanted = watch.cursor + 1
                assert [each.seq for each in await asyncio.wait_for(watch.next(), 10)] == [wanted]
    finally:
        hub.close()


async def test_a_hub_listens_before_it_reads_and_as_long_as_somebody_watches(
    server: RedisServer,
    execution: Execution,
    robot: Robot,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What another process appends right after the head was read is told, and not polled for."""
    other = await elsewhere(make_execution, robot)
    monkeypatch.setattr(module, "POLL_SECONDS", 3600.0)
    monkeypatch.setattr(module, "_LOOK_SECONDS", 3600.0)
    monkeypatch.setattr(hints, "ring", partial(tell, server))
    settings.RPA_REDIS_URL = server.url
    hub = Hub()

    def late(execution_id: int) -> Head:
        head = head_of(execution_id)
        say(execution_id, "in between")
        return head

    try:
        async with hub.follow(execution.pk):
            await subscribed(server, execution)
            monkeypatch.setattr(module, "head_of", late)
            async with hub.follow(other.pk, after=1) as watch:
                assert [each.seq for each in await asyncio.wait_for(watch.next(), 10)] == [2]
            await subscribed(server, other, by=0)
            await subscribed(server, execution)
    finally:
        hub.close()


async def test_who_comes_while_redis_is_told_of_the_others_is_heard_too(
    publisher: Publisher, ear: tuple[Ear, Heard], monkeypatch: pytest.MonkeyPatch
) -> None:
    telling, go_on = asyncio.Event(), asyncio.Event()
    subscribe = PubSub.subscribe

    async def slow(self: PubSub, *channels: Any) -> None:
        await subscribe(self, *channels)
        telling.set()
        await go_on.wait()

    listener, heard = ear
    with monkeypatch.context() as held:
        held.setattr(PubSub, "subscribe", slow)
        await listener.listen(7)
        await asyncio.wait_for(telling.wait(), 10)
        await listener.listen(8)
        go_on.set()
        await hear_something(publisher, heard, 8)


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes connections and never answers: the worst that one can do."""
    with socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))
        dead.listen(100)
        yield f"redis://127.0.0.1:{dead.getsockname()[1]}/0"


async def test_a_redis_that_never_answers_keeps_no_watcher_waiting(
    silent: str, execution: Execution, robot: Robot, settings: Any
) -> None:
    settings.RPA_REDIS_URL = silent
    runs = [execution, *[await elsewhere(make_execution, robot) for _ in range(9)]]
    hub = Hub()
    watches = [hub.follow(each.pk) for each in runs]
    began = time.monotonic()
    for watch in watches:
        await watch.__aenter__()
        assert [each.seq for each in await watch.next()] == [1]
    assert time.monotonic() - began < len(runs) * redis_hints._TIMEOUT_SECONDS / 2
    hub.close()


async def test_hints_outlive_a_redis_that_flaps_while_watchers_come_and_go(
    server: RedisServer, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them is refused or kept waiting, and when Redis stays again, so do its hints."""
    monkeypatch.setattr(redis_hints, "_LONGEST_PAUSE", 0.1)
    heard = Heard()
    with Proxy(server.port) as proxy:
        ear = Ear(f"redis://127.0.0.1:{proxy.port}/0", heard.told)
        for number in range(60):
            proxy.cut()
            await asyncio.sleep(random.random() / 25)
            async with asyncio.timeout(10):
                await asyncio.gather(*(ear.listen(number * 50 + each) for each in range(50)))
            ear.leave(number * 50)
        await ear.listen(777)
        await hear_something(publisher, heard, 777)
        task = ear._task
        ear.close()
        assert task is not None
        await asyncio.wait([task])


async def test_after_each_break_redis_is_asked_again_soon(
    server: RedisServer, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Redis that has been heard since is trusted anew: breaks of hours ago make nobody wait longer."""
    pauses: list[float] = []

    async def sleep(seconds: float, result: Any = None, *, sleep: Any = asyncio.sleep) -> Any:
        pauses.append(seconds)
        return await sleep(seconds, result)

    heard = Heard()
    with Proxy(server.port) as proxy:
        ear = Ear(f"redis://127.0.0.1:{proxy.port}/0", heard.told)
        await ear.listen(1)
        await hear_something(publisher, heard, 1)
        monkeypatch.setattr(redis_hints.asyncio, "sleep", sleep)
        for number in range(2, 6):
            proxy.cut()
            await ear.listen(number)
            await hear_something(publisher, heard, number)
        monkeypatch.undo()
        task = ear._task
        ear.close()
        assert task is not None
        await asyncio.wait([task])
    assert redis_hints._FIRST_PAUSE in pauses
    assert max(pauses) == redis_hints._FIRST_PAUSE
