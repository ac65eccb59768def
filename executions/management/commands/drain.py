from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from executions.models import Runner


class Command(BaseCommand):
    help = (
        "Tell a runner to take no more runs. `manage.py runner` ends when its last run has; a server goes "
        "on serving, and takes runs again when it is started anew."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("runner", type=UUID, help="its id, as `manage.py runners` shows it")

    def handle(self, *, runner: UUID, **options: Any) -> None:
        living = Runner.objects.filter(uid=runner, stopped_at=None)
        if not living.exists():
            raise CommandError(f"There is no runner {runner} that has not stopped.")
        living.filter(draining_at=None).update(draining_at=timezone.now())
        self.stdout.write(f"{runner} takes no more runs.")
