"""The bell of lists: whoever moves a run, by whatever way it is heard, the lists of its space are told."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from django.db.backends.utils import CursorWrapper
from redis import Redis

from executions import hints, redis_hints
from executions import news as module
from executions.choices import PendingReason, Status
from executions.events import Source
from executions.hints import Move
from executions.lifecycle import Ending, claim_next, explain_wait, finish, release, start
from executions.models import Execution, Runner
from executions.news import News, Watch
from executions.redis_hints import Publisher, decode_move, encode_move
from robots.models import Robot
from tests.executions.hubs import elsewhere
from tests.executions.test_redis_hints import RedisServer
from tests.factories import make_execution

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def news(transactional_db: None) -> AsyncIterator[News]:
    made = News()
    yield made
    made.close()


async def rung(watch: Watch, within: float = 10.0) -> bool:
    try:
        async with asyncio.timeout(within):
            await watch.moved()
    except TimeoutError:
        return False
    return True


@pytest.fixture
def no_looks(monkeypatch: Any) -> None:
    """What is heard now is heard by a ring."""
    monkeypatch.setattr(module, "LOOK_SECONDS", 3600.0)


@pytest.fixture
def no_rings(monkeypatch: Any) -> None:
    """As if other processes had moved the runs, without Redis."""
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(hints, "ring_move", lambda _move: None)


def claimed(execution: Execution) -> Any:
    runner = Runner.objects.create(host="here", pid=1, slots=1)
    found = claim_next(runner, only=execution.pk)
    assert found is not None
    return found


async def every_move(robot: Robot, watch: Watch) -> None:
    """A run from its request over both of its ways to its end: the list is told each time."""
    execution = await elsewhere(make_execution, robot)
    assert await rung(watch), "requested"
    claim, token = await elsewhere(claimed, execution)
    await elsewhere(explain_wait, claim, PendingReason.ENVIRONMENT, Source(token, 0, 1))
    assert await rung(watch), "waits for something else"
    await elsewhere(release, claim)
    assert await rung(watch), "back in the queue"
    claim, token = await elsewhere(claimed, execution)
    await elsewhere(start, claim, Source(token, 0, 1))
    assert await rung(watch), "started"
    await elsewhere(finish, execution.pk, Ending(Status.COMPLETED))
    assert await rung(watch), "ended"


@pytest.mark.usefixtures("no_looks")
async def test_every_move_of_this_process_rings(news: News, robot: Robot) -> None:
    async with news.watch(frozenset({robot.space_id})) as watch:
        await every_move(robot, watch)


@pytest.mark.usefixtures("no_looks")
async def test_a_move_between_listening_and_the_first_look_rings(
    news: News, robot: Robot, monkeypatch: Any
) -> None:
    read = News._read

    def late(self: News, newest: int | None) -> Any:
        found = read(self, newest)
        make_execution(robot)
        return found

    monkeypatch.setattr(News, "_read", late)
    async with news.watch(frozenset({robot.space_id})) as watch:
        assert await rung(watch)


@pytest.mark.usefixtures("no_rings")
async def test_every_move_of_another_process_is_found_by_looking(news: News, robot: Robot) -> None:
    async with news.watch(frozenset({robot.space_id})) as watch:
        await every_move(robot, watch)


@pytest.mark.usefixtures("no_rings")
async def test_a_run_that_came_and_went_between_two_looks_is_found(
    news: News, robot: Robot, monkeypatch: Any
) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.3)
    async with news.watch(frozenset({robot.space_id})) as watch:

        def whole() -> None:
            finish(make_execution(robot).pk, Ending(Status.CANCELLED))

        await elsewhere(whole)
        assert await rung(watch)


async def test_a_move_that_was_rung_is_not_found_once_more(
    news: News, robot: Robot, monkeypatch: Any
) -> None:
    """Else every page would fetch every list twice."""
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.05)
    looks: list[int] = []
    read = News._read

    def counted(self: News, newest: int | None) -> Any:
        looks.append(1)
        return read(self, newest)

    monkeypatch.setattr(News, "_read", counted)
    async with news.watch(frozenset({robot.space_id})) as watch:
        execution = await elsewhere(make_execution, robot)
        assert await rung(watch)
        await elsewhere(finish, execution.pk, Ending(Status.CANCELLED))
        assert await rung(watch)
        seen = len(looks)
        async with asyncio.timeout(10):
            while len(looks) < seen + 3:
                await asyncio.sleep(0.01)
        assert not await rung(watch, within=0.0)


@pytest.mark.usefixtures("no_looks")
async def test_only_the_watchers_of_the_space_are_told(news: News, robot: Robot) -> None:
    here, other = frozenset({robot.space_id}), frozenset({robot.space_id + 1000})
    async with news.watch(here) as mine, news.watch(other) as theirs, news.watch(None) as all_of:
        await elsewhere(make_execution, robot)
        assert await rung(mine)
        assert await rung(all_of)
        assert not await rung(theirs, within=0.0)


@pytest.mark.usefixtures("no_looks")
async def test_a_thousand_moves_are_told_together(news: News, robot: Robot) -> None:
    async with news.watch(None) as watch:
        for number in range(1000):
            hints.ring_move(Move(number + 10_000, robot.space_id, "RUNNING"))
        assert await rung(watch)
        rings = 0
        while await rung(watch, within=0.3):
            rings += 1
        assert rings <= 1


@pytest.mark.usefixtures("no_rings")
async def test_where_too_many_wait_every_list_is_told(
    news: News, robot: Robot, monkeypatch: Any
) -> None:
    monkeypatch.setattr(module, "_MOST_UNFINISHED", 3)
    monkeypatch.setattr(module, "_BUSY_SECONDS", 0.05)
    await elsewhere(lambda: [make_execution(robot) for _ in range(5)])
    async with news.watch(frozenset({robot.space_id + 1000})) as watch:
        assert await rung(watch)
        assert await rung(watch)
        assert len(news._unfinished) <= 3


@pytest.mark.usefixtures("no_rings")
async def test_a_database_that_comes_back_is_looked_at_again(
    news: News, robot: Robot, monkeypatch: Any
) -> None:
    async with news.watch(None) as watch:
        with monkeypatch.context() as fault:

            def away(*_arguments: Any) -> Any:
                raise OperationalError("away")

            fault.setattr(CursorWrapper, "execute", away)
            await asyncio.sleep(0.1)
        await elsewhere(make_execution, robot)
        assert await rung(watch)


@pytest.mark.usefixtures("no_rings")
async def test_a_first_look_that_fails_is_made_up_for_once(
    news: News, robot: Robot, monkeypatch: Any
) -> None:
    """Lists are told then, since nobody knows what they have missed; and old runs are not news."""
    monkeypatch.setattr(module, "_MOST_UNFINISHED", 2)

    def old() -> None:
        for _run in range(9):
            finish(make_execution(robot).pk, Ending(Status.CANCELLED))

    await elsewhere(old)
    looks: list[int | None] = []
    read = News._read

    def counted(self: News, newest: int | None) -> Any:
        looks.append(newest)
        if len(looks) < 3:
            raise OperationalError("away")
        return read(self, newest)

    monkeypatch.setattr(News, "_read", counted)
    async with news.watch(frozenset({robot.space_id})) as watch:
        assert await rung(watch)
        assert looks[:3] == [None, None, None]
        seen = len(looks)
        async with asyncio.timeout(10):
            while len(looks) < seen + 10:
                await asyncio.sleep(0.01)
        assert not await rung(watch, within=0.0)


async def test_nobody_watching_costs_nothing(news: News, robot: Robot) -> None:
    async with news.watch(None):
        pass
    assert news._looking is None
    assert not hints._moves._listeners
    async with news.watch(None) as again:
        await elsewhere(make_execution, robot)
        assert await rung(again)


# By Redis ----------------------------------------------------------------------------------------


def test_a_move_survives_the_way() -> None:
    for move in (Move(1, 7, "PENDING", "queued"), Move(2**40, 3, "FAILED")):
        assert decode_move(encode_move(move).encode()) == move
    for rubbish in (b"rubbish", b"1:2:3", b"\xff:1:2:3"):
        with pytest.raises(ValueError, match=r"."):
            decode_move(rubbish)


@pytest.mark.usefixtures("no_looks")
async def test_moves_of_another_process_come_by_redis(
    tmp_path: Path, settings: Any, robot: Robot, monkeypatch: Any
) -> None:
    monkeypatch.setattr(redis_hints, "_LONGEST_PAUSE", 0.2)
    server = RedisServer(tmp_path)
    server.start()
    settings.RPA_REDIS_URL = server.url
    publisher, news = Publisher(server.url), News()
    monkeypatch.setattr(hints, "ring_move", publisher.hear_move)

    async def subscribed() -> None:
        async with asyncio.timeout(20):
            while not Redis.from_url(server.url).pubsub_numsub(redis_hints.MOVES)[0][1]:
                await asyncio.sleep(0.01)

    try:
        async with news.watch(frozenset({robot.space_id})) as watch:
            await subscribed()
            Redis.from_url(server.url).publish(redis_hints.MOVES, b"\xff no move")
            execution = await elsewhere(make_execution, robot)
            assert await rung(watch)
            # And again when Redis was away.
            server.kill()
            server.start()
            await subscribed()
            hints.ring_move(Move(execution.pk, robot.space_id, "RUNNING"))
            while not await rung(watch, within=0.5):
                hints.ring_move(Move(execution.pk, robot.space_id, "RUNNING"))
        # Whoever stops listening can begin again.
        async with news.watch(None) as watch:
            await subscribed()
            hints.ring_move(Move(execution.pk, robot.space_id, "FAILED"))
            assert await rung(watch)
    finally:
        news.close()
        publisher.close()
        server.kill()
