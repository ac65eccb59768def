"""What `celery -A rpa_platform` finds: `beat`, and a worker that is a runner as `manage.py runner` is."""

import os
import time
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rpa_platform.settings")
django.setup(set_prefix=False)

from celery import bootsteps, concurrency, signals  # noqa: E402
from celery.concurrency.thread import TaskPool  # noqa: E402
from django.conf import settings  # noqa: E402

from executions import engine  # noqa: E402
from executions.engine.messages import app as app  # noqa: E402

_LOOK_SECONDS = 0.2


@signals.setup_logging.connect
def _leave_logging_alone(**_told: Any) -> None:
    """Django's settings have seen to it."""


@signals.worker_init.connect
def _require_threads(sender: Any, **_told: Any) -> None:
    # Celery logs whatever else is raised here, and goes on.
    if concurrency.get_implementation(sender.pool_cls) is not TaskPool:
        raise SystemExit("Runs are carried out in threads. Start the worker with: -P threads")


class RunnerStep(bootsteps.StartStopStep):
    """The part of the worker that makes a runner of it. It begins after the signals are in Celery's hands."""

    requires = ("celery.worker.components:Pool",)
    _engine: engine.Engine | None = None

    def start(self, parent: Any) -> None:
        try:
            self._engine = engine.start_in_worker(parent.concurrency)
        except engine.EngineBusy:
            raise SystemExit(
                f"Another process carries out runs with {settings.RPA_DATA_DIR}. "
                "Give each worker an RPA_DATA_DIR of its own."
            ) from None

    def close(self, parent: Any) -> None:
        """The worker was told to end: it takes no more runs."""
        if self._engine is not None:
            self._engine.host.drain()

    def stop(self, parent: Any) -> None:
        """Let the runs in hand finish, as `manage.py runner` does."""
        deadline = time.monotonic() + settings.RPA_DRAIN_SECONDS
        while self._engine and not self._engine.host.drained and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
        engine.stop()

    def terminate(self, parent: Any) -> None:
        """The worker was told twice."""
        engine.stop()


app.steps["worker"].add(RunnerStep)
