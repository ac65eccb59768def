"""Watching a hub at work: appends from another thread, and counts of what it reads."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from django.db import connection

from executions import hub as module
from executions.choices import EventKind
from executions.events import Draft, Frame, append
from executions.hub import Subscription

T = TypeVar("T")


async def elsewhere(deed: Callable[..., T], *arguments: Any, **named: Any) -> T:
    """Do something with the database as another thread of the server would."""

    def run() -> T:
        try:
            return deed(*arguments, **named)
        finally:
            connection.close()

    return await asyncio.to_thread(run)


def say(execution_id: int, text: str, *, times: int = 1, close: bool = False) -> None:
    """Append `times` log events of one line, one commit each; `close` makes the last one the end."""
    for number in range(times):
        line = Draft(EventKind.LOG, {"stream": "stdout"}, (f"{text} {number}",))
        append(execution_id, [line], close=close and number == times - 1)


async def read_to_end(watch: Subscription) -> list[Frame]:
    frames: list[Frame] = []
    while more := await asyncio.wait_for(watch.next(), 30):
        frames += more
    return frames


class Reads:
    """Counts what hubs read from the database, by function."""

    def __init__(self, monkeypatch: Any) -> None:
        self.made: Counter[str] = Counter()
        self._lock = threading.Lock()
        for name in ("head_of", "heads_of", "read_page", "read_newest"):
            monkeypatch.setattr(module, name, self._counting(name, getattr(module, name)))

    def _counting(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            with self._lock:
                self.made[name] += 1
            return function(*arguments, **named)

        return counted
