import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.actors import Actor
from accounts.models import ApiKey, User
from spaces.explanation import explain
from spaces.models import Space
from spaces.permissions import DEFAULTS


class Command(BaseCommand):
    help = (
        "Say whether somebody may do something in a space, and why. Ends with 0 if so, else with 1."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--user", required=True, help="the user's name or uid")
        parser.add_argument("--space", required=True, type=int, help="the space's id")
        parser.add_argument("--permission", required=True, choices=DEFAULTS, metavar="KEY")
        parser.add_argument(
            "--key", default="", metavar="PREFIX", help="as if by the API key that begins like this"
        )

    def handle(self, *, user: str, space: int, permission: str, key: str, **options: Any) -> None:
        actor = found_actor(user, key)
        where = Space.objects.select_related("enterprise").filter(pk=space).first()
        if where is None:
            raise CommandError(f"There is no space {space}.")
        explanation = explain(actor, permission, space=where)
        for fact in explanation.facts:
            self.stdout.write(f"{'+' if fact.holds else '-'} {fact.text}")
        answer = "may" if explanation.allowed else "may not"
        self.stdout.write(f"{actor.user} {answer} {permission} in {where}.")
        if not explanation.allowed:
            sys.exit(1)


def found_actor(name: str, prefix: str) -> Actor:
    """The user, active or not, and their key with that beginning."""
    user = User.objects.filter(username=name).first() or User.objects.filter(uid=name).first()
    if user is None:
        raise CommandError(f"There is no user named {name}.")
    if not prefix:
        return Actor(user)
    keys = list(ApiKey.objects.filter(user=user, prefix=prefix).select_related("user")[:2])
    if len(keys) != 1:
        raise CommandError(f"{name} has {len(keys) or 'no'} API key(s) that begin with {prefix}.")
    return Actor(user, keys[0])
