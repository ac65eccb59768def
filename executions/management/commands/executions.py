import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from executions.choices import Status
from executions.history import History, keys_of
from executions.models import Execution, robots_watched_by
from spaces.selection import add_user_option, chosen_actor

#: They are all in memory at once.
_MOST = 10_000


class Command(BaseCommand):
    help = "List the newest executions."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--status", choices=Status.values)
        parser.add_argument("--robot", default="", help="only this robot's, by name")
        parser.add_argument("--limit", type=int, default=20, help=f"how many, up to {_MOST} (20)")
        parser.add_argument("--json", action="store_true", help="one JSON object a line")
        add_user_option(parser)

    def handle(
        self, *, status: str | None, robot: str, limit: int, user: str, **options: Any
    ) -> None:
        if not 0 <= limit <= _MOST:
            raise CommandError(f"--limit {limit} is out of range. Use 0 to {_MOST}.")
        robots = robots_watched_by(chosen_actor(user))
        history = History(
            rows=Execution.objects.select_related("robot", "requested_by").defer(
                "params", "result"
            ),
            robots=keys_of(robots.filter(name=robot) if robot else robots),
            statuses=[status] if status else [],
        )
        for execution in history.newest(limit):
            reason = execution.pending_reason or execution.failure_reason
            if options["json"]:
                self.stdout.write(
                    json.dumps(
                        {
                            "id": str(execution.uid),
                            "robot": execution.robot.name,
                            "status": execution.status,
                            "reason": reason,
                            "requested_by": execution.requested_by.username,
                            "requested_at": execution.requested_at.isoformat(),
                            "duration": execution.duration,
                        }
                    )
                )
                continue
            took = "" if execution.duration is None else f"{execution.duration:.1f} s"
            self.stdout.write(
                f"{execution.uid}  {execution.status:<9}  {reason:<14}  {took:>9}  "
                f"{execution.robot.name}"
            )
