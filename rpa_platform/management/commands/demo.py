import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from rpa_platform import demonstration


class Command(BaseCommand):
    help = "Create the demo users, enterprise, space, robots and API key. Repeating it changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, **options: Any) -> None:
        made = demonstration.prepare()
        if options["json"]:
            self.stdout.write(json.dumps(made))
            return
        for person in (made["admin"], *made["users"].values()):
            self.stdout.write(f"User: {person['username']}  password: {person['password']}")
        self.stdout.write(f"API key of alice: {made['api_key']}")
        for name, uid in made["robots"].items():
            self.stdout.write(f"Robot: {name}  {uid}")
