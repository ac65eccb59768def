import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db.models import Count
from django.utils import timezone

from executions.models import Execution, Runner


class Command(BaseCommand):
    help = "List the runners that have not stopped, and what each has in hand."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object a line")

    def handle(self, **options: Any) -> None:
        unfinished = Execution.objects.unfinished().exclude(runner=None).order_by()
        in_hand = dict(unfinished.values_list("runner").annotate(Count("pk")))
        for runner in Runner.objects.filter(stopped_at=None).select_related("pool"):
            beat = (timezone.now() - runner.heartbeat_at).total_seconds()
            if options["json"]:
                told = {
                    "id": str(runner.uid),
                    "name": str(runner),
                    "state": runner.state,
                    "slots": runner.slots,
                    "pool": runner.pool.name if runner.pool else None,
                    "labels": runner.labels,
                    "version": runner.version,
                    "in_hand": in_hand.get(runner.pk, 0),
                    "sandbox": runner.tier,
                    "heartbeat_seconds_ago": round(beat, 1),
                    "started_at": runner.started_at.isoformat(),
                }
                self.stdout.write(json.dumps(told))
                continue
            self.stdout.write(
                f"{runner.uid}  {runner.state:<8}  {in_hand.get(runner.pk, 0):>3} of {runner.slots:<3}  "
                f"{runner.tier:<8}  {beat:>6.1f} s  {runner.pool or '-'!s:<10}  {runner}"
            )
