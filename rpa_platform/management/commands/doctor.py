import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from rpa_platform.examination import Level, examine

_SHOWN = {Level.OK: "OK  ", Level.WARNING: "WARN", Level.FAILURE: "FAIL"}


class Command(BaseCommand):
    help = "Check the sandbox, database, storage, engine and clock, and say how to mend each."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON array")

    def handle(self, **options: Any) -> None:
        findings = []
        for finding in examine():
            findings.append(finding)
            if not options["json"]:
                self.stdout.write(f"{_SHOWN[finding.level]}  {finding.part}: {finding.what}")
                if finding.remedy:
                    self.stdout.write(f"      {finding.remedy}")
        if options["json"]:
            self.stdout.write(json.dumps([asdict(each) for each in findings]))
        failed = sorted({each.part for each in findings if each.level is Level.FAILURE})
        if failed:
            raise CommandError(f"Not in order: {', '.join(failed)}.")
