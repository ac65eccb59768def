"""Websockets that come in crowds: all are let in first, and looked at a few at a time.

Who has come, and what they may see, is asked in threads. Where a thousand clients lose their connection
at once and return, many threads that ask would keep the interpreter from the event loop, and with it
from those who still wait at the door, and from those who have watched all the time.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

_LOOKS_AT_ONCE = 2
#: Fewer than these are no crowd.
_CROWD = 16
#: A crowd has arrived when nobody has come for so long; and nobody waits for it longer than that.
_CALM_SECONDS = 0.05
_PATIENCE_SECONDS = 2.0


class Arrivals:
    """Those of one event loop who want to be looked at."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(_LOOKS_AT_ONCE)
        self._waiting = 0
        self._last = 0.0

    @asynccontextmanager
    async def look(self) -> AsyncIterator[None]:
        """The caller's turn to ask the database who has come. Turns are given in the order of arrival."""
        loop = asyncio.get_running_loop()
        came = self._last = loop.time()
        self._waiting += 1
        try:
            async with self._turns:
                # What is waited for is that nothing happens.
                while self._crowds(loop.time()) and loop.time() < came + _PATIENCE_SECONDS:  # noqa: ASYNC110
                    await asyncio.sleep(_CALM_SECONDS)
                yield
        finally:
            self._waiting -= 1

    def _crowds(self, now: float) -> bool:
        return self._waiting >= _CROWD and now < self._last + _CALM_SECONDS


_all: "WeakKeyDictionary[asyncio.AbstractEventLoop, Arrivals]" = WeakKeyDictionary()


def arrivals() -> Arrivals:
    """The running loop's."""
    return _all.setdefault(asyncio.get_running_loop(), Arrivals())
