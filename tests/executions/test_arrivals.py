"""Websockets that come in crowds are looked at when all are in, and a few at a time."""

import asyncio
from collections.abc import Callable

import pytest

from executions import arrivals as module
from executions.arrivals import Arrivals

MANY = 60


class Visitors:
    """Those who came, and those who are or were looked at."""

    def __init__(self) -> None:
        self.door = Arrivals()
        self.come = self.looked = self.at_once = self.most = 0
        self.seen: list[int] = []

    async def visit(self, number: int) -> None:
        self.come += 1
        async with self.door.look():
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            await asyncio.sleep(0)
            self.seen.append(number)
            self.at_once -= 1

    def begin(self, count: int) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self.visit(number)) for number in range(count)]


@pytest.fixture
def calm(monkeypatch: pytest.MonkeyPatch) -> Callable[[float, float], None]:
    def change(calm: float, patience: float) -> None:
        monkeypatch.setattr(module, "_CALM_SECONDS", calm)
        monkeypatch.setattr(module, "_PATIENCE_SECONDS", patience)

    return change


async def test_a_few_wait_for_nobody(calm: Callable[[float, float], None]) -> None:
    calm(3600, 3600)
    visitors = Visitors()
    async with asyncio.timeout(10):
        await asyncio.gather(*visitors.begin(module._CROWD - 1))


async def test_a_crowd_is_looked_at_when_all_are_in_and_two_at_a_time(
    calm: Callable[[float, float], None],
) -> None:
    calm(0.05, 3600)
    visitors = Visitors()
    tasks = []
    for _wave in range(3):
        tasks += visitors.begin(MANY)
        await asyncio.sleep(0)
        assert visitors.seen in ([], [0, 1])  # who came before there was a crowd
    await asyncio.gather(*tasks)
    assert len(visitors.seen) == 3 * MANY
    assert visitors.seen[:MANY] == list(range(MANY))
    assert visitors.most == 2


async def test_nobody_waits_for_ever_where_they_never_stop_coming(
    calm: Callable[[float, float], None],
) -> None:
    calm(0.01, 0.05)
    visitors = Visitors()
    first = visitors.begin(MANY)

    async def come_on() -> None:
        async with asyncio.TaskGroup() as others:
            while not all(task.done() for task in first):
                others.create_task(visitors.visit(-1))
                await asyncio.sleep(0.001)

    async with asyncio.timeout(10):
        await come_on()


async def test_who_goes_while_waiting_takes_nobody_s_turn(
    calm: Callable[[float, float], None],
) -> None:
    calm(0.05, 3600)
    visitors = Visitors()
    tasks = visitors.begin(MANY)
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.wait(tasks, timeout=10)
    assert sorted(visitors.seen) == list(range(1, MANY, 2))
