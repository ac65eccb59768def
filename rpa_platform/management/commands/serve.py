import gc
import os
import signal
import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import Error, connection

from accounts.actors import Actor
from accounts.databases import is_unreachable
from accounts.models import User
from executions import engine
from executions.choices import Origin
from executions.services import request_execution
from robots.models import Robot
from rpa_platform import demonstration
from rpa_platform.schema import pending_migrations
from rpa_platform.server import BackpressureServer, check_address

_SAMPLE = "hello"
_LOOK_SECONDS = 0.5
#: When the garbage collector looks. By itself it does so for every 700 objects, and through all that there are
#: again and again while many connect: a third of a second each, in which nobody is served.
_COLLECT_AFTER = (50_000, 20, 100)


class Command(BaseCommand):
    help = "Start the platform: pages, API, sockets and (where configured) the embedded engine."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument(
            "--demo",
            action="store_true",
            help="bring the database and the demo data up to date first, and run a sample robot",
        )
        parser.add_argument(
            "--wait",
            type=float,
            default=60,
            metavar="SECONDS",
            help="how long a database server that is not there yet is waited for (60)",
        )

    def handle(self, *, host: str, port: int, demo: bool, wait: float, **options: Any) -> None:
        # Until the server takes signals itself, and ends what it has begun.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())
        try:
            check_address(host, port)
        except OSError as error:
            raise CommandError(f"Cannot listen on {host}:{port}: {error.strerror}.") from error
        if not os.environ.get("RPA_BASE_URL"):
            settings.RPA_BASE_URL = f"http://{host}:{port}"  # where nobody says otherwise
        try:
            self._prepare(wait, demo=demo)
            self._serve(host, port, demo=demo)
        except KeyboardInterrupt:
            sys.exit(130)
        finally:
            engine.stop()

    def _prepare(self, wait: float, *, demo: bool) -> None:
        behind = self._pending_migrations(wait)
        if behind and not demo:
            raise CommandError("The database is behind the code. Run: manage.py migrate")
        if behind:
            call_command("migrate", verbosity=0)
        self._collect_static_files()
        if demo:
            self._demonstrate()

    def _serve(self, host: str, port: int, *, demo: bool) -> None:
        from rpa_platform.asgi import application  # starts the engine: only where it serves

        def announce() -> None:
            self.stdout.write(f"RPA Platform {settings.RPA_VERSION} on {settings.RPA_BASE_URL}")
            if demo:
                self._run_sample()
            self.stdout.flush()

        server = BackpressureServer(application, host=host, port=port, ready_callable=announce)
        # What the start has made stays for good: the collector need not look through it ever again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_COLLECT_AFTER)
        server.run()
        if server.listening_error:
            raise CommandError(f"Cannot listen on {host}:{port}: {server.listening_error}")

    def _pending_migrations(self, wait: float) -> bool:
        """Whether there are any, once the database tells: after a power cut it may come up after us."""
        deadline: float | None = None
        while True:
            try:
                return bool(pending_migrations())
            except Error as error:
                connection.close()
                now = time.monotonic()
                if not is_unreachable(error) or now >= (deadline or now + wait):
                    raise CommandError(f"The database does not answer: {error}") from error
                if deadline is None:
                    deadline = now + wait
                    patience = f"waiting up to {wait:g} s for it"
                    self.stderr.write(f"The database does not answer yet, {patience}: {error}")
                    self.stderr.flush()
            time.sleep(_LOOK_SECONDS)

    def _collect_static_files(self) -> None:
        """Collect them if one of ours, or the set of packages, is newer than what was collected."""
        collected = Path(settings.STATIC_ROOT) / "staticfiles.json"
        ours = [each for each in (settings.BASE_DIR / "static").rglob("*") if each.is_file()]
        sources = [settings.BASE_DIR / "requirements.txt", *ours]
        newest = max(each.stat().st_mtime for each in sources)
        if not collected.is_file() or collected.stat().st_mtime < newest:
            call_command("collectstatic", interactive=False, verbosity=0, clear=True)

    def _demonstrate(self) -> None:
        new = not User.objects.filter(username="admin").exists()
        made = demonstration.prepare()
        if new:
            admin = made["admin"]
            self.stdout.write(f"Administrator: {admin['username']}  password: {admin['password']}")
            self.stdout.write("(shown once; change it in the admin)")

    def _run_sample(self) -> None:
        robot = Robot.objects.alive().filter(name=_SAMPLE).select_related("created_by").first()
        if robot is None or robot.enabled_version is None:
            return
        requested = request_execution(
            robot=robot, by=Actor(robot.created_by), origin=Origin.COMMAND
        )
        address = f"{settings.RPA_BASE_URL}/executions/{requested.execution.uid}/"
        self.stdout.write(f"A sample robot is running: {address}")
