"""News of lists: that runs of a space were requested or have moved, and nothing more.

Who hears it fetches the list again, so that it does not matter how many moves one ring stands for.
Moves of this process ring by a call, those of others by Redis where RPA_REDIS_URL names it. For all
others there is one look a second for each process, while anybody watches: at the runs that are not over
(by the index on their status, at most a thousand) and at those that are new. A list that misses a ring
for all that is as old as its own next refresh.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from weakref import WeakKeyDictionary

from django.conf import settings
from django.db import Error, connection

from executions import hints
from executions.choices import Status
from executions.hints import Move
from executions.redis_hints import MoveEar

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
#: Moves that come faster are told together: it bounds what rings cost where many watch.
_TOGETHER_SECONDS = 0.1
_MOST_UNFINISHED = 1000
#: With more unfinished runs than that, nobody compares them: every list is told so often instead.
_BUSY_SECONDS = 5.0

#: Where an unfinished run stands: space, status, what it waits for.
_State = tuple[int, str, str]


class Watch:
    """One watcher of the runs of `spaces`; of all there are if None. Use it as an async context manager."""

    def __init__(self, news: "News", spaces: frozenset[int] | None) -> None:
        self.spaces = spaces
        self._news = news
        self._moved = asyncio.Event()

    async def __aenter__(self) -> "Watch":
        await self._news.join(self)
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._news.leave(self)

    def ring(self) -> None:
        self._moved.set()

    async def moved(self) -> None:
        """Return when something has moved since the last call."""
        await self._moved.wait()
        self._moved.clear()


class News:
    """The bell of one event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._watches: set[Watch] = set()
        self._joining = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="news")
        self._looking: asyncio.Task[None] | None = None
        self._stop_listening: Callable[[], None] | None = None
        url = settings.RPA_REDIS_URL
        self._ear = MoveEar(url, self._note) if url else None
        self._unfinished: dict[int, _State] = {}
        #: The newest run that is known; None until a first look has succeeded.
        self._newest: int | None = None
        self._moved: set[int] = set()
        self._all_moved = False
        self._telling: asyncio.TimerHandle | None = None
        self._told_at = 0.0

    def watch(self, spaces: frozenset[int] | None) -> Watch:
        return Watch(self, spaces)

    async def join(self, watch: Watch) -> None:
        """Begin to ring `watch`: whatever is committed after this returns, it hears of."""
        self._watches.add(watch)
        try:
            async with self._joining:
                if self._looking is None:
                    await self._begin()
        except BaseException:
            self.leave(watch)
            raise

    def leave(self, watch: Watch) -> None:
        self._watches.discard(watch)
        if not self._watches:
            self._rest()

    def close(self) -> None:
        """Stop everything; for the end of a process or of a test."""
        self._watches.clear()
        self._rest()
        self._thread.submit(connection.close)
        self._thread.shutdown(wait=True)

    async def _begin(self) -> None:
        # Listen first, read second: a move between the two is then never missed.
        self._stop_listening = hints.listen_to_moves(self._hear)
        if self._ear is not None:
            await self._ear.listen()
        self._newest, self._unfinished = None, {}
        await self._look()
        self._looking = self._loop.create_task(self._look_on())

    def _rest(self) -> None:
        if self._stop_listening is not None:
            self._stop_listening()
            self._stop_listening = None
        if self._ear is not None:
            self._ear.close()
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None

    def _hear(self, move: Move) -> None:
        """Called in whichever thread has moved a run."""
        with suppress(RuntimeError):  # the loop is closing: its watchers are gone
            self._loop.call_soon_threadsafe(self._note, move)

    def _note(self, move: Move) -> None:
        """Ring for `move`, and know it when the next look finds it."""
        if move.status in (Status.PENDING, Status.RUNNING):
            state = (move.space_id, move.status, move.pending_reason)
            self._unfinished[move.execution_id] = state
        else:
            self._unfinished.pop(move.execution_id, None)
        if self._newest is not None:
            self._newest = max(self._newest, move.execution_id)
        self._mark({move.space_id})

    def _mark(self, spaces: Iterable[int]) -> None:
        self._moved.update(spaces)
        if self._telling is None and self._watches:
            wait = self._told_at + _TOGETHER_SECONDS - self._loop.time()
            self._telling = self._loop.call_later(max(0.0, wait), self._tell)

    def _tell(self) -> None:
        self._telling = None
        self._told_at = self._loop.time()
        moved, self._moved = self._moved, set()
        everybody, self._all_moved = self._all_moved, False
        for watch in self._watches:
            if everybody or watch.spaces is None or not moved.isdisjoint(watch.spaces):
                watch.ring()

    async def _look_on(self) -> None:
        while True:
            busy = len(self._unfinished) >= _MOST_UNFINISHED
            await asyncio.sleep(_BUSY_SECONDS if busy else LOOK_SECONDS)
            await self._look()

    async def _look(self) -> None:
        newest = self._newest
        try:
            found, fresh = await self._loop.run_in_executor(self._thread, self._read, newest)
        except Error as error:
            logger.warning("Cannot look for moved runs: %s", error)
            return
        known, self._unfinished = self._unfinished, found
        self._newest = max(self._newest or 0, *fresh, 0)
        if newest is None and self._looking is None:
            return
        # Where so many wait, or no look has succeeded until now, nobody knows what has moved.
        if newest is None or len(found) >= _MOST_UNFINISHED:
            self._all_moved = True
            self._mark(())
            return
        changed = {number for number, state in found.items() if known.get(number) != state}
        spaces = {found[number][0] for number in changed}
        spaces |= {state[0] for number, state in known.items() if number not in found}
        spaces |= {space for number, space in fresh.items() if number not in known}
        if spaces:
            self._mark(spaces)

    def _read(self, newest: int | None) -> tuple[dict[int, _State], dict[int, int]]:
        """The runs that are not over, and the spaces of those that are newer; the newest one if none is known."""
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT id, space_id, status, pending_reason FROM executions_execution "
                    "WHERE status IN (%s, %s) LIMIT %s",
                    [Status.PENDING, Status.RUNNING, _MOST_UNFINISHED],
                )
                found = {row[0]: (row[1], row[2], row[3]) for row in cursor.fetchall()}
                order = "id DESC LIMIT 1" if newest is None else f"id LIMIT {_MOST_UNFINISHED}"
                cursor.execute(
                    f"SELECT id, space_id FROM executions_execution WHERE id > %s ORDER BY {order}",  # noqa: S608
                    [newest or 0],
                )
                return found, dict(cursor.fetchall())
        except Error:
            connection.close()  # the next look connects anew
            raise


_news: "WeakKeyDictionary[asyncio.AbstractEventLoop, News]" = WeakKeyDictionary()


def news() -> News:
    """The running loop's bell, made at first use."""
    loop = asyncio.get_running_loop()
    found = _news.get(loop)
    if found is None:
        found = _news[loop] = News()
    return found
