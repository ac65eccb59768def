"""Writing entries at the end of the chain, and walking it to see that nobody has changed it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db import transaction
from django.db.models import Subquery
from django.db.models.functions import Coalesce

from audit.choices import Door, Outcome
from audit.models import BEGINNING, Entry, Head
from audit.scenes import Who

_BATCH = 1000
_HEAD = 1


@dataclass(frozen=True)
class Draft:
    """An entry that has no place in the chain yet."""

    who: Who
    door: Door
    address: str
    action: str
    outcome: Outcome = Outcome.DONE
    object_type: str = ""
    object_id: str = ""
    object_name: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


def link(drafts: Sequence[Draft]) -> None:
    """Add entries at the end of the chain, in the caller's transaction.

    It takes the head's lock until the transaction ends, so it is the last thing that a transaction
    does: whoever took another lock after it could wait for somebody who waits for it.
    """
    with transaction.atomic(savepoint=False):
        head, _made = Head.objects.select_for_update().get_or_create(pk=_HEAD)
        entries = []
        for draft in drafts:
            entry = _entry(draft, head.number + 1, head.digest)
            head.number, head.digest = entry.number, entry.digest
            entries.append(entry)
        Entry.objects.bulk_create(entries)
        Head.objects.filter(pk=_HEAD).update(number=head.number, digest=head.digest)


def _entry(draft: Draft, number: int, previous: str) -> Entry:
    entry = Entry(
        number=number,
        at=datetime.now(UTC),
        door=draft.door.value,
        address=draft.address,
        actor_uid=draft.who.uid,
        actor=draft.who.name,
        key_prefix=draft.who.key_prefix,
        action=draft.action,
        outcome=draft.outcome.value,
        object_type=draft.object_type,
        object_id=draft.object_id,
        object_name=draft.object_name,
        detail=json.dumps(draft.detail, sort_keys=True, separators=(",", ":")),
        previous=previous,
    )
    for name in ("address", "actor_uid", "actor", "action", "object_id", "object_name"):
        setattr(entry, name, _fitting(name, getattr(entry, name)))
    entry.digest = entry.sealed()
    return entry


def _fitting(column: str, text: str) -> str:
    """What the column takes and gives back unchanged: no more than it holds, and no half characters."""
    longest = Entry._meta.get_field(column).max_length  # type: ignore[union-attr]
    return text.encode("utf-8", "replace").decode()[:longest].replace("\x00", "?")


class Broken(Exception):
    """The chain is not what was written; the text names the first entry at which that shows."""


@dataclass(frozen=True)
class Link:
    """A place in the chain. Written down elsewhere, it proves that what lies before it has not changed."""

    number: int
    digest: str

    def __str__(self) -> str:
        return f"{self.number}:{self.digest}"


def reached() -> int:
    """The number of the last entry: whoever reads up to it finds all that are before it."""
    return _end().number


def verify(known: Link | None = None) -> Link:
    """Walk the whole chain and return its end, or raise Broken. Memory is bounded; writers may go on.

    `known` is an end that an earlier walk has returned.
    """
    head = _end()
    last = Link(0, BEGINNING)
    for entry in _entries(head.number):
        if entry.number != last.number + 1:
            raise Broken(f"Entry {last.number + 1} is missing.")
        if entry.previous != last.digest:
            raise Broken(f"Entry {entry.number} does not follow the one before it.")
        if entry.digest != entry.sealed():
            raise Broken(f"Entry {entry.number} was changed.")
        last = Link(entry.number, entry.digest)
        if known is not None and known.number == last.number and known != last:
            raise Broken(f"Entry {last.number}: the known digest is not the one that is there.")
    if last.number != head.number:
        raise Broken(f"Entry {last.number + 1} is missing.")
    if last.digest != head.digest:
        raise Broken(f"Entry {last.number} is not the one that the head of the chain names.")
    # Asked as one statement: entries are added meanwhile, and the head moves with them.
    end = Head.objects.filter(pk=_HEAD).values("number")
    beyond = Entry.objects.filter(number__gt=Coalesce(Subquery(end), 0)).order_by("number")
    stray = beyond.first()
    if stray is not None:
        raise Broken(f"Entry {stray.number} lies beyond the head of the chain.")
    if known is not None and known.number > last.number:
        raise Broken(f"Entry {known.number}, which is known, is missing.")
    return last


def _end() -> Head:
    """The head as it is now; that of a chain which has not begun is at 0."""
    return Head.objects.filter(pk=_HEAD).first() or Head()


def _entries(up_to: int) -> Iterator[Entry]:
    after = None
    while True:
        found = Entry.objects.filter(number__lte=up_to).order_by("number")
        batch = list((found if after is None else found.filter(number__gt=after))[:_BATCH])
        yield from batch
        if len(batch) < _BATCH:
            return
        after = batch[-1].number
