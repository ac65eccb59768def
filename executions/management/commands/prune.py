from argparse import ArgumentParser
from typing import Any

from django.core.files.storage import default_storage
from django.core.management.base import BaseCommand

from audit.recording import tell
from executions import claims, retention
from robots import uploads
from robots.shelf import sweep_package, unnamed_packages


class Command(BaseCommand):
    help = (
        "Remove the events and artifacts that their space no longer keeps, and the objects in storage "
        "that an upload left when its process died or its client did not go on."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say what would be removed")

    def handle(self, *, dry_run: bool, **options: Any) -> None:
        runs = objects = 0
        for stream in retention.outlived():
            runs += 1
            if not dry_run:
                retention.remove(stream)
            if options["verbosity"] > 1:
                self.stdout.write(f"{stream.execution.uid}: {stream.last_seq} events")
        for found in claims.unclaimed():
            objects += dry_run or claims.sweep(found)
        for package in unnamed_packages():
            objects += dry_run or sweep_package(package)
        for key in uploads.abandoned():
            objects += 1
            if not dry_run:
                default_storage.delete(key)
        if not dry_run and (runs or objects):
            tell("executions.prune", runs=runs, objects=objects)
        what = "Would remove" if dry_run else "Removed"
        self.stdout.write(
            f"{what} the events and artifacts of {runs} runs, and {objects} leftover objects."
        )
