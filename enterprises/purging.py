"""Removing a deleted enterprise for ever, with all that is in it; see accounts/purging.py."""

from django.dispatch import Signal

from accounts.purging import Steps, begin, held, in_turn, remove_row, remove_rows
from enterprises.models import Enterprise

#: Sent with `enterprise`; a receiver returns the steps that remove what it keeps of it.
enterprise_purging = Signal()


def purge_enterprise(enterprise: Enterprise) -> Steps:
    """StillNeeded at once where something in it cannot go yet."""
    return _remove(enterprise, held(enterprise_purging, Enterprise, enterprise=enterprise))


def _remove(enterprise: Enterprise, parts: list[Steps]) -> Steps:
    if not begin(enterprise):
        return
    yield from in_turn(parts)
    yield from remove_rows(enterprise.members.all(), of=enterprise)
    yield from remove_row(enterprise)
