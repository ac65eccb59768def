"""Removing a deleted space for ever, with all that is in it; see accounts/purging.py."""

from typing import Any

from django.dispatch import Signal

from accounts.models import ApiKey
from accounts.purging import Steps, begin, held, in_turn, remove_row, remove_rows
from enterprises.models import Enterprise
from spaces.models import Space, SpaceKey

#: Sent with `space`; a receiver returns the steps that remove what it keeps of it.
space_purging = Signal()


def purge_space(space: Space) -> Steps:
    """StillNeeded at once where something in it cannot go yet."""
    return _begin_and_remove(space, held(space_purging, Space, space=space))


def purge_spaces_of(enterprise: Enterprise, **_of_signal: Any) -> Steps:
    """All spaces of an enterprise that goes, deleted by themselves or not."""
    return in_turn(
        [
            _remove(space, held(space_purging, Space, space=space))
            for space in Space.objects.filter(enterprise=enterprise).order_by("pk")
        ]
    )


def _begin_and_remove(space: Space, parts: list[Steps]) -> Steps:
    if begin(space):
        yield from _remove(space, parts)


def _remove(space: Space, parts: list[Steps]) -> Steps:
    yield from in_turn(parts)
    keys = SpaceKey.objects.filter(space=space)
    yield from remove_rows(ApiKey.objects.filter(pk__in=keys.values("pk")), of=space)
    yield from remove_rows(space.members.all(), of=space)
    yield from remove_row(space)
