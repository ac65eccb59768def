from argparse import ArgumentParser
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from audit.recording import recording, tell
from interop.astron.dump import Dump, DumpRefused
from interop.astron.importing import HANDLERS, LEFT, Importer, Source


class Command(BaseCommand):
    help = (
        "Bring the organisation of an AstronAgent system across: from a dump, or from its database, "
        "mysql://user:password@host:3306/name. Doing it again brings only what is new."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("source", help="a dump of mysqldump, or an address mysql://...")
        parser.add_argument("--dry-run", action="store_true", help="say what would be done")
        parser.add_argument(
            "--name",
            default="astron",
            help="which system it is, if there are several: each has numbers of its own",
        )
        parser.add_argument(
            "--time-zone",
            type=ZoneInfo,
            default=ZoneInfo(settings.TIME_ZONE),
            help="that of the times in it; RPA_TIME_ZONE unless given",
        )

    def handle(
        self, *, source: str, dry_run: bool, name: str, time_zone: ZoneInfo, **options: Any
    ) -> None:
        wanted = {*HANDLERS, *LEFT}
        opened: Any = Dump(Path(source), wanted)
        if source.startswith("mysql://"):
            from interop.astron.live import Live

            opened = Live(source, wanted)
        try:
            with opened as found, recording():
                self._bring(found, name[:64], time_zone)
                if dry_run:
                    raise _TakenBack
                tell("astron.import", source=name[:64])
        except DumpRefused as error:
            raise CommandError(f"Nothing was brought across. {error}") from None
        except _TakenBack:
            self.stdout.write("Nothing was changed: this was a dry run.")

    def _bring(self, found: Source, name: str, zone: ZoneInfo) -> None:
        if not found.tables & HANDLERS.keys():
            raise DumpRefused("It has none of the tables of an AstronAgent organisation.")
        for line in Importer(found, name=name, zone=zone).run().lines():
            self.stdout.write(line)


class _TakenBack(Exception):
    pass
