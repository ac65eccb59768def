import signal
import time
from argparse import ArgumentParser
from contextlib import ExitStack
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from executions import engine
from executions.work_bell import WorkBell

_LOOK_SECONDS = 0.2


class Command(BaseCommand):
    help = (
        "Carry out runs in this process, without pages or API: one more machine, or one more process, "
        "for the same database and storage. SIGTERM lets the runs in hand finish; a second one does not."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--slots", type=int, default=settings.RPA_SLOTS)
        parser.add_argument(
            "--grace",
            type=int,
            default=settings.RPA_DRAIN_SECONDS,
            help="seconds that the runs in hand have to finish after SIGTERM",
        )

    def handle(self, *, slots: int, grace: int, **options: Any) -> None:
        if not 1 <= slots <= 256:
            raise CommandError(f"--slots {slots} is out of range. Use 1 to 256.")
        asked: list[int] = []  # a handler may interrupt anything: it takes no lock
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _frame: asked.append(number))
        try:
            carrying = engine.start(slots)
        except engine.EngineBusy as error:
            raise CommandError(
                f"Another process carries out runs with {settings.RPA_DATA_DIR}. "
                "Give each runner an RPA_DATA_DIR of its own."
            ) from error
        with ExitStack() as owned:
            owned.callback(engine.stop)
            if settings.RPA_REDIS_URL and settings.RPA_ENGINE != "celery":
                bell = WorkBell(settings.RPA_REDIS_URL, carrying.wake)
                bell.start()
                owned.callback(bell.close)
            host = carrying.host
            self.stdout.write(f"Runner {host.runner} with {slots} slots is ready.")
            self.stdout.flush()
            while not asked and not host.drained:  # by `manage.py drain`
                time.sleep(_LOOK_SECONDS)
            host.drain()
            deadline = time.monotonic() + grace
            while len(asked) < 2 and not host.drained and time.monotonic() < deadline:
                time.sleep(_LOOK_SECONDS)
