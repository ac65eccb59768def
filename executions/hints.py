"""Hints: "this stream has grown", "this run has moved". A doorbell, never the letter: losing every one costs only time.

In one process, ringing is a function call; each listener hands it to its own event loop or thread.
Where RPA_REDIS_URL names a server, every process rings at every other's door as well.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, ParamSpec

if TYPE_CHECKING:
    from executions.events import Head

logger = logging.getLogger(__name__)

P = ParamSpec("P")


class _Bell(Generic[P]):
    """Those who want to be called, from whichever thread rings."""

    def __init__(self) -> None:
        self._listeners: set[Callable[P, None]] = set()
        self._lock = threading.Lock()

    def listen(self, listener: Callable[P, None]) -> Callable[[], None]:
        with self._lock:
            self._listeners.add(listener)

        def stop() -> None:
            with self._lock:
                self._listeners.discard(listener)

        return stop

    def ring(self, *what: P.args, **named: P.kwargs) -> None:
        """Call everyone. Whoever fails harms neither the others nor whoever rings: what it tells is committed."""
        with self._lock:
            listeners = tuple(self._listeners)
        for listener in listeners:
            try:
                listener(*what, **named)
            except Exception:
                logger.exception("A hint was not heard")


@dataclass(frozen=True)
class Move:
    """Where a run stands now: what a list of the runs of its space shows of it has changed."""

    execution_id: int
    space_id: int
    status: str
    pending_reason: str = ""


_streams: "_Bell[int, Head]" = _Bell()
_moves: "_Bell[Move]" = _Bell()


def listen(listener: Callable[[int, "Head"], None]) -> Callable[[], None]:
    """Call `listener(execution_id, head)` at every ring, from whichever thread rang. Returns the way to stop."""
    return _streams.listen(listener)


def ring(execution_id: int, head: "Head") -> None:
    """Tell every listener of this process that the stream has reached `head`."""
    _streams.ring(execution_id, head)


def listen_to_moves(listener: Callable[[Move], None]) -> Callable[[], None]:
    """As `listen`, for runs that are requested or change their status."""
    return _moves.listen(listener)


def ring_move(move: Move) -> None:
    """Tell every listener of this process that a list of its space has changed."""
    _moves.ring(move)
