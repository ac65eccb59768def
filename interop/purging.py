"""What was purged here is not brought across again: a note stays that it was here."""

from collections.abc import Iterator
from typing import Any

from accounts.purging import Steps
from enterprises.models import Enterprise
from interop.models import PURGED, Imported
from spaces.models import Space


def forget_enterprise(enterprise: Enterprise, **_of_signal: Any) -> Steps:
    return _forget("agent_enterprise", enterprise.pk)


def forget_space(space: Space, **_of_signal: Any) -> Steps:
    return _forget("agent_space", space.pk)


def _forget(table: str, key: int) -> Iterator[None]:
    Imported.objects.filter(table=table, ours=key).update(ours=PURGED)
    yield
