import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.actors import Actor
from accounts.models import ApiKey, User
from enterprises.explanation import explain_in_enterprise
from enterprises.models import Enterprise
from enterprises.permissions import DEFAULTS as ENTERPRISE_DEFAULTS
from spaces.explanation import explain
from spaces.models import Space
from spaces.permissions import DEFAULTS


class Command(BaseCommand):
    help = "Say whether somebody may do something in a space or an enterprise, and why. Ends with 0 if so, else with 1."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--user", required=True, help="the user's name or uid")
        where = parser.add_mutually_exclusive_group(required=True)
        where.add_argument("--space", type=int, help="the space's id")
        where.add_argument("--enterprise", type=int, help="the enterprise's id")
        keys = sorted({*DEFAULTS, *ENTERPRISE_DEFAULTS})
        parser.add_argument("--permission", required=True, choices=keys, metavar="KEY")
        parser.add_argument(
            "--key", default="", metavar="PREFIX", help="as if by the API key that begins like this"
        )

    def handle(
        self,
        *,
        user: str,
        space: int | None,
        enterprise: int | None,
        permission: str,
        key: str,
        **options: Any,
    ) -> None:
        actor = found_actor(user, key)
        where: Space | Enterprise | None
        if enterprise is not None:
            where = Enterprise.objects.filter(pk=enterprise).first()
        else:
            where = Space.objects.select_related("enterprise").filter(pk=space or 0).first()
        if where is None:
            raise CommandError("There is none of that id.")
        try:
            explanation = (
                explain(actor, permission, space=where)
                if isinstance(where, Space)
                else explain_in_enterprise(actor, permission, enterprise=where)
            )
        except LookupError as error:
            raise CommandError(str(error)) from None
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
