"""Who carries out runs here: one engine a process at most, and one process a data folder.

The queue is the table of tickets, whatever the engine is. `embedded` has threads of its own;
`celery` works in those of a Celery worker, which is woken by messages. Nothing depends on a message:
every runner looks for waiting runs by itself, and a ring that nobody hears costs half a second.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from django.conf import settings
from django.db import Error, connection

from executions.engine.embedded import EmbeddedEngine
from executions.engine.host import LOOK_SECONDS, EngineBusy, RunnerHost
from executions.models import DEFAULT_POOL

__all__ = [
    "Engine",
    "EngineBusy",
    "cancel",
    "ring_by",
    "start",
    "start_in_worker",
    "start_when_free",
    "stop",
    "wake",
    "work",
]

logger = logging.getLogger(__name__)


class Engine(Protocol):
    """Calls its host's `work` in threads of its own when there may be something to claim."""

    host: RunnerHost

    def start(self) -> None:
        """Begin to carry out runs. Raises EngineBusy."""

    def stop(self) -> None:
        """End the runs in hand as stopped: asked first, killed after their grace. May be called twice."""

    def wake(self) -> None:
        """There may be something to claim: let one idle slot look. Any thread may call it."""


_engine: Engine | None = None
_ring: Callable[[str], None] | None = None
_waiting: threading.Thread | None = None
_given_up = threading.Event()


def start(slots: int | None = None, *, only: int | None = None) -> Engine:
    """Start this process's engine. Raises EngineBusy if another process has it.

    With `only`, it is an embedded one that carries out that execution and leaves all others alone.
    """
    global _engine
    if _engine is None:
        engine = _made(slots or settings.RPA_SLOTS, only)
        engine.start()
        _engine = engine
    return _engine


def _made(slots: int, only: int | None) -> Engine:
    if settings.RPA_ENGINE != "celery" or only is not None:
        return EmbeddedEngine(slots, only)
    from executions.engine.worker import CeleryEngine  # nobody else pays for Celery

    return CeleryEngine(slots)


def start_in_worker(slots: int) -> Engine:
    """Start this process's engine in the Celery worker that it is. Raises EngineBusy if another process has it."""
    global _engine
    from executions.engine.worker import CeleryEngine

    engine = CeleryEngine(slots)
    engine.start_in_worker()
    _engine = engine
    return engine


def start_when_free(slots: int | None = None, *, only: int | None = None) -> None:
    """Start this process's engine now, or as soon as the process that has it has ended."""
    global _waiting
    with suppress(EngineBusy):
        start(slots, only=only)
        return
    logger.info("Another process has the engine of this data folder; waiting for its end.")
    _given_up.clear()
    _waiting = threading.Thread(target=_take_turn, args=(slots, only), name="engine-waiting")
    _waiting.daemon = True
    _waiting.start()


def _take_turn(slots: int | None, only: int | None) -> None:
    while not _given_up.wait(LOOK_SECONDS):
        try:
            start(slots, only=only)
            break
        except EngineBusy:
            continue
        except Error as error:
            logger.warning("The database does not answer: %s", error)
            connection.close()
    connection.close()


def stop() -> None:
    """Stop this process's engine, if it has one, and wait for none any more."""
    global _engine, _waiting
    _given_up.set()
    if _waiting is not None:
        _waiting.join()
        _waiting = None
    if _engine is not None:
        with suppress(Error):
            _engine.stop()
        _engine = None


def ring_by(ring: Callable[[str], None]) -> None:
    """From now on, `ring(pool)` tells the fleet of a run that this process cannot begin. It returns at once."""
    global _ring
    _ring = ring


def wake(pool: str = DEFAULT_POOL) -> None:
    """A run waits: tell this process's engine, or the fleet's; whoever is not told finds it by looking."""
    if _ring is not None and (_engine is None or not _engine.host.idle):
        _ring(pool)
    elif _engine is not None:
        _engine.wake()


def work() -> None:
    """Carry out what waits in the calling thread, where this process has an engine."""
    if _engine is not None:
        _engine.host.work()


def cancel(execution_id: int) -> None:
    """Tell this process's engine, if it has one, to stop a run; another's finds it by looking."""
    if _engine is not None:
        _engine.host.cancel(execution_id)
