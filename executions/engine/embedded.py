"""The embedded engine: runs robots in threads of this process, for one machine and no services."""

import threading

from django.db import connection

from executions.engine.host import RunnerHost


class EmbeddedEngine:
    """One thread a slot, woken by requests of this process, and by the host's look for those of others."""

    def __init__(self, slots: int, only: int | None = None) -> None:
        self.host = RunnerHost(slots, self.wake, only)
        self._wanted = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to carry out runs. Raises EngineBusy."""
        self.host.start()
        for slot in range(self.host.slots):
            thread = threading.Thread(target=self._work, name=f"slot-{slot}", daemon=True)
            thread.start()
            self._threads.append(thread)
        self.wake()

    def stop(self) -> None:
        """End the runs in hand as stopped: asked first, killed after their grace. May be called twice."""
        self.host.halt()
        for _thread in self._threads:
            self._wanted.release()
        self.host.close(self._threads)
        self._threads.clear()

    def wake(self) -> None:
        """There may be something to claim: let one idle slot look."""
        self._wanted.release()

    def _work(self) -> None:
        while not self.host.stopping:
            self._wanted.acquire()
            self.host.work()
        connection.close()
