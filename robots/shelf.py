"""Packages are kept once for all versions with the same bytes: whoever takes the last one away, or counts on finding
one there, does so in turn."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from robots.models import PackageShelf, RobotVersion, UnnamedPackage

_ONLY = 1
#: To publish takes less; a publisher that takes longer finds the package gone, and stores it again.
_SWEPT_AFTER = timedelta(days=1)


@contextmanager
def shelf() -> Iterator[None]:
    """Nobody else takes a package away before the transaction ends. Locked after all rows but the audit's head."""
    with transaction.atomic(savepoint=False):
        PackageShelf.objects.select_for_update().get_or_create(pk=_ONLY)
        yield


def note_package(key: str) -> None:
    """Say that a package is about to be stored that no version names."""
    UnnamedPackage.objects.update_or_create(storage_key=key, defaults={"noted_at": timezone.now()})


def settle_package(key: str) -> None:
    """A version names the package: in the transaction that says so."""
    UnnamedPackage.objects.filter(storage_key=key).delete()


def unnamed_packages() -> QuerySet[UnnamedPackage]:
    """What was noted long ago, and no version has named since."""
    return UnnamedPackage.objects.filter(noted_at__lt=timezone.now() - _SWEPT_AFTER)


def sweep_package(found: UnnamedPackage) -> bool:
    """Delete the package, unless a version names it."""
    key = found.storage_key
    with shelf():
        named = RobotVersion.objects.filter(digest=key.rpartition("/")[2], storage_key=key).exists()
        if not named:
            default_storage.delete(key)
        found.delete()
    return not named
