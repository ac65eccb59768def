"""The one thread that starts processes.

The kernel ties the life of a run to the thread that spawned it, not to the server: a run started by a
passing thread would die with it. This thread lives as long as the server.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from . import proc

_Made = TypeVar("_Made")
_Order = tuple[Callable[[], Any], "Future[Any]"]


class Spawner:
    """Runs callables, those that start a process above all, one after another, on its own thread."""

    def __init__(self) -> None:
        """The thread starts with the first order."""
        self._orders: SimpleQueue[_Order | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def spawn(self, order: Callable[[], _Made]) -> _Made:
        """What `order` returns, or its exception."""
        with self._lock:
            if self._closed:
                raise OSError("the sandbox is closed")
            if self._thread is None:
                proc.adopt_orphans()  # a run's first process often outlives bubblewrap by a moment
                # A daemon: it must not end before the threads that may still use it.
                self._thread = threading.Thread(
                    target=self._run, name="sandbox-spawner", daemon=True
                )
                self._thread.start()
            answer: Future[_Made] = Future()
            self._orders.put((order, answer))
        return answer.result()

    def close(self) -> None:
        """End the thread, and with it every process that it started."""
        with self._lock:
            self._closed = True
            self._orders.put(None)
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while order := self._orders.get():
            start, answer = order
            try:
                answer.set_result(start())
            except BaseException as error:  # noqa: BLE001 - it is the caller's, who gets it
                answer.set_exception(error)
            del start, answer, order
