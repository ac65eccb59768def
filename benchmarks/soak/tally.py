"""What a process of the soak has seen, told to the one that started it."""

import threading
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TypeVar

from django.db import Error, connection

from benchmarks.soak.judge import Fault, Reading

T = TypeVar("T")


class Tally:
    """Counts, faults and the digests of finished readings, since they were last told."""

    def __init__(self, pipe: Connection) -> None:
        #: Set once the soak draws to its end: begin nothing new.
        self.ending = threading.Event()
        self._pipe = pipe
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._faults: list[str] = []
        self._read: list[tuple[int, int, str]] = []

    def count(self, **what: int) -> None:
        with self._lock:
            self._counts.update(what)

    def fault(self, fault: Fault) -> None:
        with self._lock:
            self._counts[f"{fault.kind}s"] += 1
            self._faults.append(fault.what)

    def finished(self, reading: Reading) -> None:
        with self._lock:
            self._counts["readings"] += 1
            self._read.append((reading.number, reading.seq, reading.digest))

    def tell(self) -> None:
        """Tell what is new, and hear whether the end has come. Without a listener, there is no point in living."""
        with self._lock:
            told = (dict(self._counts), self._faults, self._read)
            self._counts.clear()
            self._faults, self._read = [], []
        self._pipe.send(told)
        if self._pipe.poll():
            self._pipe.recv()
            self.ending.set()


def surely(deed: Callable[[], T], tally: Tally) -> T:
    """Do it again for as long as the database fails: it may be dead for a while, and comes back."""
    while True:
        try:
            return deed()
        except Error:
            connection.close()
            tally.count(database_errors=1)
            tally.ending.wait(0.2)
