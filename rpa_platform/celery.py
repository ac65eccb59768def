"""What `celery -A rpa_platform` finds: `beat`, and a worker that is a runner as `manage.py runner` is."""

import os
import time
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rpa_platform.settings")
django.setup(set_prefix=False)

from celery import concurrency, signals  # noqa: E402
from celery.concurrency.thread import TaskPool  # noqa: E402
from django.conf import settings  # noqa: E402

from executions import engine  # noqa: E402
from executions.engine.messages import app as app  # noqa: E402

_LOOK_SECONDS = 0.2


@signals.setup_logging.connect
def _leave_logging_alone(**_told: Any) -> None:
    """Django's settings have seen to it."""


@signals.worker_init.connect
def _begin(sender: Any, **_told: Any) -> None:
    """Only a SystemExit is heard here: Celery logs whatever else is raised, and goes on."""
    if concurrency.get_implementation(sender.pool_cls) is not TaskPool:
        raise SystemExit("Runs are carried out in threads. Start the worker with: -P threads")
    try:
        carrying = engine.start_in_worker(sender.concurrency)
    except engine.EngineBusy:
        raise SystemExit(
            f"Another process carries out runs with {settings.RPA_DATA_DIR}. "
            "Give each worker an RPA_DATA_DIR of its own."
        ) from None

    def drain(**_told: Any) -> None:
        carrying.host.drain()

    def stop(**_told: Any) -> None:
        """Let the runs in hand finish, as `manage.py runner` does."""
        carrying.host.drain()
        deadline = time.monotonic() + settings.RPA_DRAIN_SECONDS
        while not carrying.host.drained and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
        engine.stop()

    signals.worker_shutting_down.connect(drain, weak=False)
    signals.worker_shutdown.connect(stop, weak=False)
