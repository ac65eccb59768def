"""Objects in storage that no row names yet: noted before the upload, claimed in the transaction that names them.

What was not claimed was left by a process that died, and is swept. Whoever claims an object and whoever sweeps it
take turns by the note's row, and a claim that comes late is refused some time before the first sweep may begin:
a sweeper that dies with the object gone and the note still there leaves nothing that anybody could claim.
"""

from datetime import timedelta
from typing import TYPE_CHECKING

from django.core.files.storage import default_storage
from django.db import transaction

from executions import clock
from executions.models import UnclaimedObject

if TYPE_CHECKING:
    from django.db.models import QuerySet

#: An upload takes less. Both are by the database's time: machines need not agree on theirs.
_CLAIMED_WITHIN = timedelta(minutes=45)
_SWEPT_AFTER = timedelta(hours=1)


class TooLate(Exception):
    """The object was not claimed in time: it is swept, or about to be."""


def note(key: str) -> None:
    """Say that an object of this key is about to be uploaded. May be repeated."""
    noted = UnclaimedObject(object_key=key, created_at=clock.now())
    UnclaimedObject.objects.bulk_create([noted], ignore_conflicts=True)


def claim(key: str) -> None:
    """Keep the object for good, if the caller's transaction is committed. Raises TooLate.

    Before anything else is locked: a sweep of it in hand is waited for.
    """
    since = clock.now() - _CLAIMED_WITHIN
    claimed, _each = UnclaimedObject.objects.filter(object_key=key, created_at__gt=since).delete()
    if not claimed:
        raise TooLate(f"{key} was not claimed in time.")


def unclaimed() -> "QuerySet[UnclaimedObject]":
    """What was noted long ago and never claimed."""
    return UnclaimedObject.objects.filter(created_at__lt=clock.now() - _SWEPT_AFTER)


def sweep(found: UnclaimedObject) -> bool:
    """Delete the object, if nobody has claimed or swept it since it was found."""
    # No longer than this is anybody kept waiting but who claims this very object, so it is not `writing`.
    with transaction.atomic():
        noted, _each = UnclaimedObject.objects.filter(pk=found.pk).delete()
        if noted:
            default_storage.delete(found.object_key)
    return bool(noted)
