from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from accounts.refusals import Refused
from executions.enrolment import issue_token, only_here
from spaces.selection import add_user_option, chosen_actor


class Command(BaseCommand):
    help = "Print the command by which another machine joins the fleet. It works once, and not for long."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--pool", default="default", help="the pool that it joins")
        parser.add_argument(
            "--label",
            action="append",
            default=[],
            help="what it has beyond others; may be repeated",
        )
        parser.add_argument("--minutes", type=int, default=15, help="how long the command works")
        add_user_option(parser)

    def handle(
        self, *, pool: str, label: list[str], minutes: int, user: str, **options: Any
    ) -> None:
        try:
            _token, secret = issue_token(
                pool=pool, labels=label, minutes=minutes, by=chosen_actor(user)
            )
        except Refused as error:
            raise CommandError(str(error)) from error
        for name in only_here():
            self.stderr.write(
                f"{name} names this machine by an address that means another one there. "
                "Set it to one by which others reach it, and start the server anew."
            )
        url = f"{settings.RPA_BASE_URL}/runners/join.sh"
        self.stdout.write(f"curl -fsS '{url}' | TOKEN={secret} sh")
