from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit.chain import Broken, Link, verify


class Command(BaseCommand):
    help = "Walk the whole audit and see that no entry was changed, removed or moved."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--known",
            type=_link,
            metavar="NUMBER:DIGEST",
            help="an end that an earlier call has printed: it must still be there",
        )

    def handle(self, *, known: Link | None, **options: Any) -> None:
        try:
            end = verify(known)
        except Broken as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{end.number} entries are as they were written. The end is {end}")


def _link(text: str) -> Link:
    number, _colon, digest = text.partition(":")
    return Link(int(number), digest)
