"""The Celery engine: a Celery worker in this process, whose messages wake the threads that carry out runs."""

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from celery.worker import WorkController, state
from django.conf import settings
from django.db import connection

from executions.engine.host import RunnerHost
from executions.engine.messages import app, queue_of

logger = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0
_RUNNING = None  # what Celery has in `should_stop` while nothing is to stop


class CeleryEngine:
    """Works in the threads of a Celery worker, as messages come; and in a few of its own when the host finds a run.

    The latter need no broker. Both are bounded by the host's slots.
    """

    def __init__(self, slots: int) -> None:
        self.host = RunnerHost(slots, self.wake)
        self._finders = ThreadPoolExecutor(slots, thread_name_prefix="slot")
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to carry out runs. Raises EngineBusy."""
        self.start_in_worker()
        thread = threading.Thread(target=self._listen, name="celery-worker", daemon=True)
        thread.start()
        self._threads.append(thread)

    def start_in_worker(self) -> None:
        """As `start`, where this process is a Celery worker already. Raises EngineBusy."""
        self.host.start()
        self.wake()

    def stop(self) -> None:
        """End the runs in hand as stopped: asked first, killed after their grace. May be called twice."""
        self.host.halt()
        self._finders.shutdown(wait=False, cancel_futures=True)
        if self._threads:
            state.should_stop = 0  # Celery's own way: its loop looks at it
        self.host.close(self._threads)
        self._threads.clear()

    def wake(self) -> None:
        """There may be something to claim: look for it without being told by a message."""
        if not self.host.stopping:
            self._finders.submit(self._find)

    def _find(self) -> None:
        self.host.work()
        connection.close()  # a thread of the worker has one already

    def _listen(self) -> None:
        """Be a Celery worker until we stop. It connects again and again by itself, and should it give up, another one follows."""
        while True:
            state.should_stop = state.should_terminate = _RUNNING
            if self.host.stopping:  # only now: `stop` says it to the host first
                return
            try:
                _worker(self.host.slots).start()
            except Exception:
                logger.exception("The Celery worker failed: runs start later until it is back.")
            if not self.host.stopping:
                time.sleep(_PAUSE_SECONDS)


def _worker(slots: int) -> Any:
    return WorkController(
        app=app,
        pool="threads",
        concurrency=slots,
        queues=[queue_of(settings.RPA_RUNNER_POOL)],
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
