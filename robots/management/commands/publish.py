from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.refusals import Refused
from robots.local import publish_path
from spaces.selection import add_user_option, chosen_actor, chosen_space


class Command(BaseCommand):
    help = "Publish a robot: a folder with a robot.yaml, a zip, a .py or a .robot."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", type=Path)
        parser.add_argument("--name", default="", help="the robot's name; the file's unless given")
        parser.add_argument(
            "--space", default="", help="the space's name or id, if you have several"
        )
        parser.add_argument("--note", default="", help="what changed")
        add_user_option(parser)

    def handle(
        self, *, path: Path, name: str, space: str, note: str, user: str, **options: Any
    ) -> None:
        actor = chosen_actor(user)
        where = chosen_space(actor, space, permission="robot.publish")
        try:
            robot, version = publish_path(path, name=name, space=where, by=actor, note=note)
        except Refused as error:
            raise CommandError(f"{path}: {error}") from error
        self.stdout.write(f"{robot.name} version {version.number} ({robot.uid})")
