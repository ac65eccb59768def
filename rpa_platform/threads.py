"""The few lasting threads in which requests do their synchronous work.

Left to itself, Django starts a thread for every request, keeps it for as long as the answer streams,
and connects to the database anew in each. Here a request takes one of a fixed number of threads,
whose connections last, and an answer that streams holds none: two hundred watchers cost no thread.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from django.db import close_old_connections

P = ParamSpec("P")
T = TypeVar("T")

_Call = tuple["Future[Any]", Callable[[], Any]]


class Threads:
    """At most `count` threads, started as they are needed; work is begun in the order it came in."""

    def __init__(self, count: int, *, most_waiting: int) -> None:
        self._left = count
        self._most_waiting = most_waiting
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._lock = threading.Lock()

    @property
    def overloaded(self) -> bool:
        """Whether so much waits already that more should be refused instead."""
        return self._work.qsize() >= self._most_waiting

    def run(self, work: Callable[[], None]) -> None:
        """Do `work`, which raises nothing, in the next thread that is free."""
        self._work.put(work)
        if self._idle.acquire(blocking=False):
            return
        with self._lock:
            if not self._left:
                return
            self._left -= 1
        # A daemon: a process that ends does not wait for answers that nobody is there to send.
        threading.Thread(target=self._serve, name="request", daemon=True).start()

    def _serve(self) -> None:
        while True:
            work = self._work.get()
            close_old_connections()  # one that broke while it was idle is not what the next one gets
            work()
            del work
            self._idle.release()


class Lane(Executor):
    """One caller's turn at a thread: its calls run one after another, all in the same thread.

    The thread is taken at the first call and held until `release`. After that, each call takes
    whichever thread is free, and between two calls none is held. Code that streams can therefore
    never starve, nor be starved by, those who wait for a thread to hold.
    """

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._taken = self._released = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """See Executor. Any thread may call it."""
        with self._lock:
            if not self._released:
                future: Future[T] = Future()
                self._calls.put((future, partial(fn, *args, **kwargs)))
                if not self._taken:
                    self._taken = True
                    self._threads.run(self._serve)
                return future
        single = Lane(self._threads)
        try:
            return single.submit(fn, *args, **kwargs)
        finally:
            single.release()

    def release(self) -> None:
        """Give the thread back as soon as the calls made so far are done. May be called twice."""
        with self._lock:
            if not self._released:
                self._released = True
                self._calls.put(None)

    def _serve(self) -> None:
        while order := self._calls.get():
            future, call = order
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:  # noqa: BLE001 - it is the caller's, who gets it
                    future.set_exception(error)
            # What was called holds its request; it must not live until the next one comes.
            del order, future, call
