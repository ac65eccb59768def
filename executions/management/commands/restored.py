from typing import Any

from django.core.management.base import BaseCommand
from django.db.models import F

from audit.recording import tell
from executions.models import ExecutionStream


class Command(BaseCommand):
    help = (
        "To be run once after the database came back from a backup, before the platform starts. What "
        "happened since the backup is gone, and its numbers will be given again: every unfinished "
        "stream begins a new epoch, so that readers who have seen more start anew."
    )

    def handle(self, **options: Any) -> None:
        begun = ExecutionStream.objects.filter(closed=False).update(epoch=F("epoch") + 1)
        tell("executions.restored", streams=begun)
        self.stdout.write(f"{begun} unfinished streams have a new epoch.")
