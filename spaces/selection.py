"""Who and where a command acts for: shared by the commands that take `--user` and `--space`."""

from argparse import ArgumentParser

from django.core.management.base import CommandError

from accounts.actors import Actor
from accounts.models import User
from accounts.pagination import key_of
from spaces.access import spaces_allowing
from spaces.models import Space


def add_user_option(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--user", help="the user name to act as; the first superuser unless given", default=""
    )


def chosen_actor(name: str) -> Actor:
    """The named user, or the first superuser. A command runs on the server: it needs no password."""
    users = User.objects.filter(is_active=True)
    if name:
        user = users.filter(username=name).first()
        if user is None:
            raise CommandError(f"There is no active user named {name}.")
        return Actor(user)
    user = users.filter(is_superuser=True).order_by("pk").first()
    if user is None:
        raise CommandError("There is no superuser. Name a user with --user, or create one first.")
    return Actor(user)


def chosen_space(actor: Actor, name: str, *, permission: str) -> Space:
    """The space with that id or name, or the only one in which `actor` may do `permission`."""
    spaces = spaces_allowing(actor, permission).select_related("enterprise").order_by("pk")
    if name:
        key = key_of(name)
        found = list(spaces.filter(name=name) if key is None else spaces.filter(pk=key))
        if not found:
            raise CommandError(f"{actor.user} has no space named {name} for this.")
    else:
        found = list(spaces[:2])
        if not found:
            raise CommandError(f"{actor.user} has no space for this. Create one first.")
    if len(found) > 1:
        raise CommandError("There are several spaces. Choose one with --space NAME (or its id).")
    return found[0]
