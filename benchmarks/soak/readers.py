"""Readers of every kind, that lose their connection at random, dawdle, and go on where they were."""

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from multiprocessing.connection import Connection
from typing import Any

from django.db import connection

from benchmarks.soak import doors
from benchmarks.soak.judge import Fault, Reading
from benchmarks.soak.tally import Tally, surely
from benchmarks.soak.writers import Writers
from executions import hub
from executions.live import Beat, Cursor, End, Events, follow
from executions.models import Execution

#: How long the readings in hand may take once nothing more is written.
_PATIENCE_SECONDS = 30.0
_TELL_SECONDS = 0.25
#: So many of the newest runs are where readers look first.
_NEWEST = 10

Door = Callable[[Reading, "Whims", Tally], Awaitable[bool]]


class Whims:
    """What a bad line and a slow client do to one connection."""

    def __init__(self, dice: random.Random, ending: threading.Event) -> None:
        self._dice = dice
        self._ending = ending
        self._left = dice.choice((1, 5, 20, 100, 500, 10**9, 10**9))
        self._slow = dice.random() < 0.2
        self.rude = dice.random() < 0.5
        #: A heartbeat of its own for those who can choose it.
        self.beat = dice.choice((0.02, 0.2, 15.0))

    async def bear(self, events: int) -> bool:
        """Whether the connection outlives this delivery."""
        self._left -= events
        if self._slow and not self._ending.is_set():
            await asyncio.sleep(self._dice.choice((0.01, 0.05, 0.05, 1.0)))
        return self._left > 0


async def _cursor(reading: Reading, whims: Whims, tally: Tally) -> bool:
    """One connection to the hub of this process, without any wire."""
    async with aclosing(follow(reading.number, Cursor(reading.seq), beat=whims.beat)) as stream:
        async for delivery in stream:
            match delivery:
                case Events(frames):
                    for frame in frames:
                        reading.take(frame.text)
                    tally.count(deliveries=len(frames))
                    if not await whims.bear(len(frames)):
                        return False
                case End(status, last_seq):
                    reading.end({"status": status, "last_seq": last_seq})
                    return True
                case Beat():
                    if not await whims.bear(1):
                        return False
                case _:
                    raise Fault("wrong", f"Run {reading.number}: {delivery} at {reading.seq}.")
    raise Fault("wrong", f"Run {reading.number}: it stopped without an end.")


class Crowd:
    """All readers of one process."""

    def __init__(self, tally: Tally, seed: int) -> None:
        self._tally = tally
        self._dice = random.Random(seed)
        self._tasks: list[asyncio.Task[None]] = []
        self._patience: set[asyncio.Timeout] = set()

    def add(self, door: Door, count: int) -> None:
        for _reader in range(count):
            dice = random.Random(self._dice.random())
            self._tasks.append(asyncio.create_task(self._read(door, dice)))

    @property
    def done(self) -> bool:
        return all(task.done() for task in self._tasks)

    async def _read(self, door: Door, dice: random.Random) -> None:
        while not self._tally.ending.is_set():
            found = await asyncio.to_thread(_choose, dice, self._tally)
            if found is None:
                await asyncio.sleep(0.1)
                continue
            reading = Reading(*found)
            try:
                await self._to_the_end(reading, door, dice)
            except Fault as fault:
                self._tally.fault(fault)

    async def _to_the_end(self, reading: Reading, door: Door, dice: random.Random) -> None:
        try:
            async with asyncio.timeout(None) as patience:
                self._patience.add(patience)
                try:
                    while not await self._connect(reading, door, dice):
                        self._tally.count(reconnects=1)
                finally:
                    self._patience.discard(patience)
        except TimeoutError:
            what = f"Run {reading.number}: {door} waits for ever behind event {reading.seq}."
            raise Fault("gap", what) from None
        self._tally.finished(reading)

    async def _connect(self, reading: Reading, door: Door, dice: random.Random) -> bool:
        """Whether this connection brought the end."""
        try:
            return await door(reading, Whims(dice, self._tally.ending), self._tally)
        except doors.Away:
            self._tally.count(refused=1)
            await asyncio.sleep(0.05 + dice.random() / 4)
            return False

    def hurry(self) -> None:
        """Nothing more is written: whoever does not come to an end now waits for ever."""
        until = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
        for patience in self._patience:
            if patience.when() is None:
                patience.reschedule(until)


def _choose(dice: random.Random, tally: Tally) -> tuple[int, str] | None:
    """A new run mostly, which is being written; else any."""

    def choose() -> tuple[int, str] | None:
        runs = Execution.objects.order_by("-pk").values_list("pk", "uid")
        some = [*(runs[:_NEWEST] if dice.random() < 0.7 else runs)]
        return dice.choice(some) if some else None

    try:
        found = surely(choose, tally)
    finally:
        connection.close()
    return (found[0], str(found[1])) if found else None


def read(pipe: Connection, seed: int, port: int, key: str, each: int) -> None:
    """Read by all three doors, until told that it is enough."""

    def people(crowd: Crowd) -> None:
        crowd.add(doors.Socket(port, key), each)
        crowd.add(doors.EventSource(port, key), each)
        crowd.add(_cursor, each)

    _live(pipe, seed, people)


def read_deaf(pipe: Connection, seed: int, each: int) -> None:
    """Read beside the server, by the poll alone: neither the file's version nor any other hint is heeded."""
    hub._LOOK_SECONDS = hub.POLL_SECONDS
    hub.Hub._told = _only_from_polls(hub.Hub._told)  # type: ignore[method-assign]
    _live(pipe, seed, lambda crowd: crowd.add(_cursor, each))


def _only_from_polls(told: Callable[..., None]) -> Callable[..., None]:
    def hear(self: Any, number: int, head: Any) -> None:
        task = asyncio.current_task()
        if task is not None and task is self._poller:
            told(self, number, head)

    return hear


def write(pipe: Connection, seed: int, name: str, each: int) -> None:
    """Write, and read in the same process: an embedded server's hints are function calls."""
    _live(pipe, seed, lambda crowd: crowd.add(_cursor, each), writer=name)


def _live(pipe: Connection, seed: int, people: Callable[[Crowd], None], writer: str = "") -> None:
    tally = Tally(pipe)
    asyncio.run(_tell_until_done(tally, seed, people, writer))


async def _tell_until_done(
    tally: Tally, seed: int, people: Callable[[Crowd], None], writer: str
) -> None:
    writers = Writers(writer, tally, seed) if writer else None
    if writers is not None:
        writers.start()
    crowd = Crowd(tally, seed)
    people(crowd)
    while not (tally.ending.is_set() and crowd.done and (writers is None or writers.done)):
        await asyncio.sleep(_TELL_SECONDS)
        tally.tell()
        if tally.ending.is_set():
            crowd.hurry()
    tally.tell()
    hub.hub().close()
