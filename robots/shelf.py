"""Packages are kept once for all versions with the same bytes: whoever takes the last one away, or counts on finding
one there, does so in turn."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction

from robots.models import PackageShelf

_ONLY = 1


@contextmanager
def shelf() -> Iterator[None]:
    """Nobody else takes a package away before the transaction ends. Locked after all rows but the audit's head."""
    with transaction.atomic(savepoint=False):
        PackageShelf.objects.select_for_update().get_or_create(pk=_ONLY)
        yield
