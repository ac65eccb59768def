"""Live reading: one tail per watched execution and event loop, shared by all of its watchers.

A watcher is one integer cursor that pulls. At the head it waits; inside the ring it gets a slice of
shared, ready-made frames; behind the ring it reads pages from the table. Nothing is queued per
watcher, so a slow one falls behind by itself and costs nobody anything. Hints wake the tails; one
batched poll a second makes up for every hint that was lost.

Hints of other processes come by Redis where RPA_REDIS_URL names it; on SQLite the file itself tells
that another process has written.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar
from weakref import WeakKeyDictionary

from django.conf import settings
from django.db import Error, connection
from prometheus_client import Counter

from executions import hints
from executions.events import Head, head_of, heads_of, read_newest, read_page
from executions.frames import Frame
from executions.redis_hints import Ear

logger = logging.getLogger(__name__)

RING_BYTES = 256 * 1024
SLICE_BYTES = 64 * 1024
POLL_SECONDS = 1.0
#: How often SQLite is asked whether another process has written: a look costs microseconds.
_LOOK_SECONDS = 0.05
_REPLAY_READS = 8

READS = Counter(
    "rpa_hub_reads_total",
    "Reads of the database for those who watch runs: by the number of events, not by that of watchers.",
    ["kind"],
)
_HEAD, _TAIL, _PAGE, _POLL = (READS.labels(kind) for kind in ("head", "tail", "page", "poll"))

T = TypeVar("T")


class Dropped(Exception):
    """Retention has removed the events up to `seq`, and with them what the watcher wanted next."""

    def __init__(self, seq: int) -> None:
        super().__init__(f"The events up to {seq} are gone.")
        self.seq = seq


class Alarm:
    """Ends waits that have lasted for `patience` seconds, with a TimeoutError.

    A timer for every wait would cost more than the wait: there is one, and where it finds that it goes
    off too early, it is set again for the rest.
    """

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._at = 0.0

    def guard(self, waiter: "asyncio.Future[None]") -> None:
        """End this wait, the only one from now on, when it is time."""
        self._waiter = waiter
        self._at = self._loop.time() + self.patience
        if self._timer is None:
            self._timer = self._loop.call_at(self._at, self._go_off)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _go_off(self) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return  # nobody waits: the next wait sets it
        if self._loop.time() < self._at:
            self._timer = self._loop.call_at(self._at, self._go_off)
        else:
            self._waiter.set_exception(TimeoutError())


class Tail:
    """The end of one stream: its newest frames, and the watchers that wait for more."""

    def __init__(self, execution_id: int) -> None:
        self.execution_id = execution_id
        self.head = 0
        self.known = Head(0, closed=False)
        self.ring: deque[Frame] = deque()
        self.ring_bytes = 0
        #: Whether the ring was filled from the table: it begins empty, and is not before somebody is behind it.
        self.filled = False
        self.watchers = 0
        self.task: asyncio.Task[None] | None = None
        self.rung = asyncio.Event()
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def ended(self) -> bool:
        return self.known.closed and self.head >= self.known.last_seq

    def learn(self, head: Head) -> None:
        """Take note of a head that a hint or a poll told; an older one changes nothing."""
        if head.last_seq > self.known.last_seq or (head.closed and not self.known.closed):
            self.known = head
            self.rung.set()

    def begin(self, head: Head) -> None:
        """Start behind `head`: what is older is read from the table."""
        self.head = head.last_seq
        self.learn(head)

    def skip(self, seq: int) -> None:
        """Go on behind `seq`: what was before it is gone."""
        self.ring.clear()
        self.ring_bytes = 0
        self.head = seq
        self.notify()

    def extend(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            self.ring.append(frame)
            self.ring_bytes += len(frame.text)
            self.head = frame.seq
        while self.ring_bytes > RING_BYTES and len(self.ring) > 1:
            self.ring_bytes -= len(self.ring.popleft().text)
        self.notify()

    @property
    def first(self) -> int:
        """Where the ring begins."""
        return self.ring[0].seq if self.ring else self.head + 1

    def precede(self, frames: Sequence[Frame]) -> None:
        """Put older frames in front of the ring, where they end at it, and as many as fit."""
        for frame in reversed(frames):
            if frame.seq != self.first - 1 or self.ring_bytes + len(frame.text) > RING_BYTES:
                return
            self.ring.appendleft(frame)
            self.ring_bytes += len(frame.text)

    def notify(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for each in waiting:
            if not each.done():
                each.set_result(None)

    async def growth(self, alarm: Alarm | None) -> None:
        """Return when the tail has moved, or its stream has ended."""
        # A future for each watcher: cancelling one of them must not wake or cancel the others.
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        if alarm is not None:
            alarm.guard(waiter)
        try:
            await waiter
        finally:
            self._waiting.discard(waiter)

    def holds(self, after: int) -> bool:
        """Whether the ring goes back as far as `after`."""
        return bool(self.ring) and after >= self.ring[0].seq - 1

    def slice(self, after: int) -> list[Frame] | None:
        """The ring's frames behind `after`, at most SLICE_BYTES; None if the ring starts too late."""
        if not self.holds(after):
            return None
        skip = after + 1 - self.ring[0].seq
        taken: list[Frame] = []
        size = 0
        for index in range(skip, len(self.ring)):
            frame = self.ring[index]
            size += len(frame.text)
            if taken and size > SLICE_BYTES:
                break
            taken.append(frame)
        return taken


class Subscription:
    """One watcher of one stream, from `cursor` on. Use it as an async context manager."""

    def __init__(
        self, hub: "Hub", execution_id: int, after: int, patience: float | None = None
    ) -> None:
        self._hub = hub
        self._execution_id = execution_id
        self.cursor = after
        self._tail: Tail | None = None
        self._patience = patience
        self._alarm = None if patience is None else Alarm(patience)

    async def __aenter__(self) -> "Subscription":
        self._tail = await self._hub.join(self._execution_id, self.cursor)
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._alarm is not None:
            self._alarm.stop()
        if self._tail is not None:
            self._hub.leave(self._tail)

    @property
    def head(self) -> Head:
        return self._joined.known

    @property
    def _joined(self) -> "Tail":
        if self._tail is None:
            raise RuntimeError("Enter the subscription before reading from it.")
        return self._tail

    async def ready(self) -> bool:
        """Wait until there is something to read; False once the stream has ended and all of it was read."""
        tail = self._joined
        while self.cursor >= tail.head:
            if tail.ended:
                return False
            await tail.growth(self._alarm)
        return True

    @property
    def at_hand(self) -> bool:
        """Whether the next frames lie in memory, so that `next` takes no time."""
        tail = self._joined
        return self.cursor < tail.head and tail.holds(self.cursor)

    async def next(self) -> list[Frame]:
        """The next frames, in order and without a hole; an empty list once the stream has ended.

        Safe to cancel at any moment: what was not returned is returned by the next call. Raises
        Dropped where what follows the cursor is gone, and TimeoutError where patience ends.
        """
        if not await self.ready():
            return []
        tail = self._joined
        frames = tail.slice(self.cursor)
        if frames is None:
            async with asyncio.timeout(self._patience):
                frames = await self._hub.replay(tail, self.cursor)
        self.cursor = frames[-1].seq
        return frames


class Hub:
    """All tails of one event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._tails: dict[int, Tail] = {}
        self._joining = asyncio.Lock()
        # Tails and replays have threads of their own: a long replay must not delay what is live.
        self._tail_thread = ThreadPoolExecutor(1, thread_name_prefix="hub-tail")
        self._replay_threads = ThreadPoolExecutor(2, thread_name_prefix="hub-replay")
        self._replays = asyncio.Semaphore(_REPLAY_READS)
        self._poller: asyncio.Task[None] | None = None
        self._stop_listening: Callable[[], None] | None = None
        url = settings.RPA_REDIS_URL
        self._ear = Ear(url, self._told) if url else None
        self._seen_version = -1

    def follow(
        self, execution_id: int, *, after: int = 0, patience: float | None = None
    ) -> Subscription:
        """A watcher, who waits for the next event as long as it takes, or for `patience` seconds."""
        return Subscription(self, execution_id, after, patience)

    async def join(self, execution_id: int, after: int) -> Tail:
        """The execution's tail, with one more watcher; it knows at least whether `after` exists."""
        async with self._joining:
            tail = self._tails.get(execution_id) or await self._open(execution_id)
            tail.watchers += 1
        if after > tail.known.last_seq:
            # The watcher comes from a process that heard of more than this one.
            try:
                _HEAD.inc()
                tail.learn(await self._read(head_of, execution_id))
            except BaseException:
                self.leave(tail)
                raise
        return tail

    def leave(self, tail: Tail) -> None:
        tail.watchers -= 1
        if not tail.watchers:
            self._drop(tail)

    async def _open(self, execution_id: int) -> Tail:
        # Listen first, read second: a ring between the two is then never missed.
        tail = self._tails[execution_id] = Tail(execution_id)
        if self._stop_listening is None:
            self._stop_listening = hints.listen(self._hear)
        if self._poller is None:
            self._poller = self._loop.create_task(self._poll())
        try:
            if self._ear is not None:
                await self._ear.listen(execution_id)
            _HEAD.inc()
            tail.begin(await self._read(head_of, execution_id))
        except BaseException:
            self._drop(tail)
            raise
        tail.task = self._loop.create_task(self._keep(tail))
        return tail

    def _drop(self, tail: Tail) -> None:
        self._tails.pop(tail.execution_id, None)
        if self._ear is not None:
            self._ear.leave(tail.execution_id)
        if tail.task is not None:
            tail.task.cancel()
        if not self._tails:
            self._rest()

    async def replay(self, tail: Tail, after: int) -> list[Frame]:
        """What follows `after`, which the ring does not go back to."""
        number = tail.execution_id
        async with self._replays:
            if not tail.filled:
                # For all who come back at once, after the connections have broken or with a new server.
                tail.filled = True
                up_to = tail.first - 1
                tail.precede(
                    await self._page(lambda: read_newest(number, up_to=up_to, size=RING_BYTES))
                )
            if (frames := tail.slice(after)) is not None:
                return frames
            up_to = tail.head
            return await self._page(lambda: _following(number, after=after, up_to=up_to))

    async def _page(self, read: Callable[[], list[Frame]]) -> list[Frame]:
        _PAGE.inc()
        return await self._loop.run_in_executor(self._replay_threads, _in_thread(read))

    def close(self) -> None:
        """Stop all tails and threads; for the end of a process or of a test."""
        for tail in list(self._tails.values()):
            if tail.task is not None:
                tail.task.cancel()
        self._tails.clear()
        self._rest()
        if self._ear is not None:
            self._ear.close()
        for pool in (self._tail_thread, self._replay_threads):
            for _thread in range(pool._max_workers):
                pool.submit(connection.close)
            pool.shutdown(wait=True)

    def _rest(self) -> None:
        if self._stop_listening is not None:
            self._stop_listening()
            self._stop_listening = None
        if self._poller is not None:
            self._poller.cancel()
            self._poller = None

    def _hear(self, execution_id: int, head: Head) -> None:
        """Called in whichever thread appended."""
        if execution_id in self._tails:
            with suppress(RuntimeError):  # the loop is closing: its watchers are gone
                self._loop.call_soon_threadsafe(self._told, execution_id, head)

    def _told(self, execution_id: int, head: Head) -> None:
        tail = self._tails.get(execution_id)
        if tail is not None:
            tail.learn(head)

    async def _keep(self, tail: Tail) -> None:
        """Read what the table has beyond the ring whenever the tail is rung."""
        while not tail.ended:
            if tail.known.last_seq <= tail.head:
                tail.rung.clear()
                await tail.rung.wait()
                continue
            _TAIL.inc()
            try:
                frames = await self._read(
                    lambda: _following(tail.execution_id, after=tail.head, size=RING_BYTES)
                )
            except Dropped as gone:
                tail.skip(gone.seq)
                continue
            except Exception as error:  # noqa: BLE001 - the database's, or the storage's own
                logger.warning("Cannot read execution %s: %s", tail.execution_id, error)
                await asyncio.sleep(POLL_SECONDS)
                continue
            tail.extend(frames)
        tail.notify()

    async def _poll(self) -> None:
        polled_at = self._loop.time()
        while True:
            await asyncio.sleep(_LOOK_SECONDS if connection.vendor == "sqlite" else POLL_SECONDS)
            watched = [number for number, tail in self._tails.items() if not tail.ended]
            if not watched:
                continue
            now = self._loop.time()
            try:
                heads = await self._read(self._look, watched, now < polled_at + POLL_SECONDS)
            except Error as error:
                logger.warning("Cannot poll the watched executions: %s", error)
                polled_at = now
                continue
            if heads is None:
                continue
            polled_at = now
            for number, head in heads.items():
                self._told(number, head)

    def _look(self, watched: Sequence[int], early: bool) -> dict[int, Head] | None:
        """How far the watched streams are; None if it is `early` and nothing tells of a write elsewhere."""
        if early and not self._written_elsewhere():
            return None
        _POLL.inc()
        return heads_of(watched)

    def _written_elsewhere(self) -> bool:
        """Whether another connection than the tails' own has written to the SQLite file since the last look."""
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA data_version")
            version = cursor.fetchone()[0]
        changed = self._seen_version not in (-1, version)
        self._seen_version = version
        return changed

    async def _read(self, function: Callable[..., T], *arguments: object) -> T:
        return await self._loop.run_in_executor(
            self._tail_thread, _in_thread(lambda: function(*arguments))
        )


def _following(execution_id: int, *, after: int, **bounds: int) -> list[Frame]:
    """A page of what is known to follow.

    Raises Dropped where retention has removed it, LookupError where nobody knows why it is not there.
    """
    frames = read_page(execution_id, after=after, **bounds)
    if not frames:
        dropped = head_of(execution_id).dropped_seq
        if dropped > after:
            raise Dropped(dropped)
        raise LookupError(f"Event {after + 1} of execution {execution_id} is missing.")
    return frames


def _in_thread(function: Callable[[], T]) -> Callable[[], T]:
    """`function` with a second try: its thread's connection may have been idle for too long."""

    def run() -> T:
        try:
            return function()
        except Error:
            connection.close()
        try:
            return function()
        except Error:
            connection.close()
            raise

    return run


_hubs: "WeakKeyDictionary[asyncio.AbstractEventLoop, Hub]" = WeakKeyDictionary()


def hub() -> Hub:
    """The running loop's hub, made at first use."""
    loop = asyncio.get_running_loop()
    found = _hubs.get(loop)
    if found is None:
        found = _hubs[loop] = Hub()
    return found
