import json
from argparse import ArgumentParser
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

from rpa_platform import demonstration
from rpa_platform.schema import pending_migrations


class Command(BaseCommand):
    help = (
        "Bring the database up to date, and create the demo users, enterprise, space, robots and API "
        "key. Repeating it changes nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, **options: Any) -> None:
        if pending_migrations():
            call_command("migrate", verbosity=0)
        made = demonstration.prepare()
        if options["json"]:
            self.stdout.write(json.dumps(made))
            return
        for person in (made["admin"], *made["users"].values()):
            self.stdout.write(f"User: {person['username']}  password: {person['password']}")
        self.stdout.write(f"API key of alice: {made['api_key']}")
        for name, uid in made["robots"].items():
            self.stdout.write(f"Robot: {name}  {uid}")
