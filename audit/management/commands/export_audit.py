from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand
from django.db.models import Q

from audit.choices import Outcome
from audit.export import FORMATS, Format, lines
from audit.models import Entry


class Command(BaseCommand):
    help = "Print entries of the audit, oldest first, as JSON lines or CSV."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--format", choices=FORMATS, default="jsonl", dest="form")
        parser.add_argument("--since", type=_moment, help="from this time on, as 2026-01-31T08:00")
        parser.add_argument("--until", type=_moment, help="before this time")
        parser.add_argument("--actor", default="", help="only what this user name or uid did")
        parser.add_argument("--action", default="", help="only this action, such as robot.publish")
        parser.add_argument("--object", default="", help="only this object, such as robots.robot:7")
        parser.add_argument("--outcome", choices=Outcome.values, help="only these")

    def handle(self, *, form: Format, **options: Any) -> None:
        kind, _colon, key = options["object"].partition(":")
        wanted = {
            "at__gte": options["since"],
            "at__lt": options["until"],
            "action": options["action"],
            "object_type": kind,
            "object_id": key,
            "outcome": options["outcome"],
        }
        entries = Entry.objects.filter(**{name: value for name, value in wanted.items() if value})
        if actor := options["actor"]:
            entries = entries.filter(Q(actor=actor) | Q(actor_uid=actor))
        for line in lines(entries, form):
            self.stdout.write(line, ending="")


def _moment(text: str) -> datetime:
    """UTC, unless it says otherwise."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
