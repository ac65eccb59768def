from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import chain
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.purging import Steps, StillNeeded
from enterprises.models import Enterprise
from enterprises.purging import purge_enterprise
from executions.models import Execution
from robots.models import Robot
from robots.purging import purge_robot
from spaces.models import Space
from spaces.purging import purge_space

#: In this order: what an enterprise takes with it is not met again.
_KINDS: tuple[tuple[Any, Callable[[Any], Steps], str], ...] = (
    (Enterprise, purge_enterprise, "robot__space__enterprise"),
    (Space, purge_space, "robot__space"),
    (Robot, purge_robot, "robot"),
)


class Command(BaseCommand):
    help = (
        "Remove for ever the enterprises, spaces and robots that were deleted long enough ago, with all that is in "
        "them. It goes step by step; where it was cut off, the next call goes on."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--older-than", type=_days, required=True, metavar="DAYS", help="deleted before that"
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would be removed")

    def handle(self, *, older_than: int, dry_run: bool, **options: Any) -> None:
        moment = timezone.now() - timedelta(days=older_than)
        left = 0
        for row, purge, of in chain(*(_outlived(*kind, moment) for kind in _KINDS)):
            runs = Execution.objects.filter(**{of: row}).count()
            what = f"{row._meta.model_name} {row.pk}, {row}, with {runs} runs"
            if dry_run:
                self.stdout.write(f"Would remove {what}.")
                continue
            try:
                for _step in purge(row):
                    pass
            except StillNeeded as error:
                left += 1
                self.stderr.write(f"Left {what}: {error}")
            else:
                self.stdout.write(f"Removed {what}.")
        if left:
            raise CommandError(f"{left} could not go yet: call it again later.")


def _outlived(
    model: Any, purge: Callable[[Any], Steps], of: str, moment: Any
) -> Iterator[tuple[Any, Callable[[Any], Steps], str]]:
    for key in list(model.objects.outlived(moment).order_by("pk").values_list("pk", flat=True)):
        row = model.objects.filter(pk=key).first()
        if row is not None:
            yield row, purge, of


def _days(text: str) -> int:
    days = int(text)
    if not 0 <= days <= 36_500:
        raise ArgumentTypeError("a number of days from 0 to 36500")
    return days
