"""Deeds: what was changed in one transaction becomes one entry, written as the last thing before its end.

`recording()` is the transaction. What changes inside it is noted, by the audited models themselves
(rows.py) or by `note`. `attempt()` gives it all a name, and tells of refusals, which are written
outside of what was rolled back. `deed()` is both.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, connection, models, transaction

from audit import scenes
from audit.chain import Draft, link
from audit.choices import Door, Outcome
from audit.limits import refusals_left
from audit.scenes import NOBODY, Scene, Who, who_is

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

#: One entry is no longer than this; a deed that changes more has several.
_CHANGES = 100
_REFUSALS = {401, 403, 404, 429}
_LONGEST_REASON = 500
_LONGEST_VALUE = 300
MASK = "********"


@dataclass(frozen=True)
class Thing:
    """An object as entries name it."""

    kind: str
    key: str
    name: str

    @classmethod
    def of(cls, row: models.Model) -> "Thing":
        return cls(row._meta.label_lower, "" if row.pk is None else str(row.pk), str(row))


@dataclass
class Change:
    """What became of one row; `root` is the object that it is a part of."""

    root: Thing
    row: Thing
    verb: str
    before: dict[str, Any]
    after: dict[str, Any]
    #: Names of which only is told that they have changed.
    secret: frozenset[str] = frozenset()
    #: The deed that it is a part of.
    trying: "Attempt | None" = None

    def shown(self) -> dict[str, Any]:
        """As the audit keeps it: without secrets, and no longer than a person would read."""
        return {
            "object": f"{self.row.kind}:{self.row.key}",
            "name": self.row.name,
            "verb": self.verb,
            "before": self._shown(self.before),
            "after": self._shown(self.after),
        }

    def _shown(self, values: dict[str, Any]) -> dict[str, Any]:
        return {
            name: MASK if name in self.secret and value else _short(value)
            for name, value in values.items()
        }


def _short(value: Any) -> Any:
    text = value if isinstance(value, str) else json.dumps(value)
    if len(text) <= _LONGEST_VALUE:
        return value
    return f"{text[:_LONGEST_VALUE]}… ({len(text)} characters)"


@dataclass
class Attempt:
    """The deed that is being tried."""

    action: str
    on: models.Model | None
    who: Who | None
    about: dict[str, Any]


@dataclass
class Record:
    """What has been changed so far in a transaction."""

    changes: list[Change] = field(default_factory=list)
    #: Where in `changes` a deed's change of a row is; or was, if its part of the transaction was undone.
    _places: dict[tuple[str, str, int], int] = field(default_factory=dict)

    def add(self, change: Change) -> None:
        """Take note; several changes of one row are one, from the first before to the last after."""
        change.trying = _attempt.get()
        place = self._places.setdefault(_identity(change), len(self.changes))
        for earlier in self.changes[place : place + 1]:
            if _identity(earlier) == _identity(change):
                earlier.before = {**change.before, **earlier.before}
                earlier.after = {**earlier.after, **change.after}
                earlier.verb = "add" if earlier.verb == "add" else change.verb
                return
        self._places[_identity(change)] = len(self.changes)
        self.changes.append(change)


def _identity(change: Change) -> tuple[str, str, int]:
    return change.row.kind, change.row.key, id(change.trying)


class _Here(threading.local):
    """Bound to the thread, as the transaction is."""

    record: Record | None = None


_here = _Here()
_attempt: ContextVar[Attempt | None] = ContextVar("audit_attempt", default=None)


@contextmanager
def recording() -> Iterator[Record]:
    """A transaction whose changes are audited in it: neither is there without the other.

    Inside another one it is a part of that. Services open their transactions by this, so that the
    entry is written last: the chain's lock is then never held while another one is waited for.
    """
    if _here.record is not None:
        noted = len(_here.record.changes)
        try:
            yield _here.record
        except BaseException:
            del _here.record.changes[noted:]
            raise
        return
    with transaction.atomic():
        record = _here.record = Record()
        try:
            yield record
        finally:
            _here.record = None
        _write(record.changes)


@contextmanager
def attempt(
    action: str, on: models.Model | None = None, *, by: Any = None, **about: Any
) -> Iterator[None]:
    """What is recorded inside is `action`, done to `on` by the actor `by`; a refusal is recorded, too.

    Inside another attempt it is a part of that.
    """
    if _attempt.get() is not None:
        yield
        return
    who = None if by is None else who_is(by.user, by.key, by.token)
    trying = Attempt(action, on, who, about)
    before = _attempt.set(trying)
    try:
        yield
    except Exception as error:
        if _is_refusal(error):
            _refuse(trying, error)
        raise
    finally:
        _attempt.reset(before)


@contextmanager
def deed(
    action: str, on: models.Model | None = None, *, by: Any = None, **about: Any
) -> Iterator[Record]:
    """An attempt that is one transaction."""
    with attempt(action, on, by=by, **about), recording() as record:
        yield record


def audited(action: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A service that is a deed: done to its first argument, if that is a row, by the actor `by`."""

    def decorate(service: Callable[P, R]) -> Callable[P, R]:
        @wraps(service)
        def told(*args: P.args, **named: P.kwargs) -> R:
            first = args[0] if args else None
            on = first if isinstance(first, models.Model) else None
            with deed(action, on, by=named.get("by")):
                return service(*args, **named)

        return told

    return decorate


def note(
    row: models.Model, before: Mapping[str, Any], after: Mapping[str, Any], verb: str = "change"
) -> None:
    """Record a change of what no audited model has noted by itself."""
    thing = Thing.of(row)
    with recording() as record:
        record.add(Change(thing, thing, verb, dict(before), dict(after)))


def tell(
    action: str,
    *,
    who: Who | None = None,
    outcome: Outcome = Outcome.DONE,
    on: models.Model | None = None,
    **about: Any,
) -> None:
    """Write an entry about what is no change of a row."""
    thing = Thing.of(on) if on is not None else Thing("", "", "")
    _link([_draft(action, thing, about, who=who, outcome=outcome)])


def refused(draft_about: Mapping[str, Any], *, action: str, who: Who | None = None) -> None:
    """Write of a refusal, if not too many have been written of late. In no transaction that may be undone."""
    draft = _draft(action, Thing("", "", ""), dict(draft_about), who=who, outcome=Outcome.REFUSED)
    _write_refusals([draft])


def flush(scene: Scene) -> None:
    """At the end of a request: write the refusals that had to wait for the end of its transaction."""
    waiting, scene.waiting = scene.waiting, []
    _write_refusals(waiting)


def _write(changes: list[Change]) -> None:
    """One entry for a named deed; otherwise one for each object that was changed."""
    groups: dict[Any, list[Change]] = {}
    for change in changes:
        if change.before != change.after or change.verb == "delete":
            whole = id(change.trying) if change.trying else (change.root.kind, change.root.key)
            groups.setdefault(whole, []).append(change)
    drafts = []
    for group in groups.values():
        thing, action, about = _named(group)
        for start in range(0, len(group), _CHANGES):
            part = [each.shown() for each in group[start : start + _CHANGES]]
            who = group[0].trying.who if group[0].trying else None
            drafts.append(_draft(action, thing, {**about, "changes": part}, who=who))
    if drafts:
        _link(drafts)


def _named(changes: list[Change]) -> tuple[Thing, str, Mapping[str, Any]]:
    """The object of an entry, what was done to it, and what is known of it besides."""
    first, trying = changes[0], changes[0].trying
    if trying is not None:
        root = Thing.of(trying.on) if trying.on is not None and trying.on.pk else first.root
        return root, trying.action, trying.about
    whole = next((each for each in changes if each.row == each.root), first)
    return first.root, f"{whole.row.kind.rpartition('.')[2]}.{whole.verb}", {}


def _draft(
    action: str,
    thing: Thing,
    detail: Mapping[str, Any],
    *,
    who: Who | None = None,
    outcome: Outcome = Outcome.DONE,
) -> Draft:
    scene = scenes.current()
    trying = _attempt.get()
    actor = who or (trying.who if trying else None) or (scene.actor() if scene else NOBODY)
    credential = {"token": actor.token, "key_of": actor.key_of}
    return Draft(
        who=actor,
        door=scene.door if scene else Door.PLATFORM,
        address=scene.address if scene else "",
        action=action,
        outcome=outcome,
        object_type=thing.kind,
        object_id=thing.key,
        object_name=thing.name,
        detail={**detail, **{name: value for name, value in credential.items() if value}},
    )


def _link(drafts: list[Draft]) -> None:
    with transaction.atomic():
        link(drafts)


def _is_refusal(error: Exception) -> bool:
    return isinstance(error, PermissionDenied) or getattr(error, "status", None) in _REFUSALS


def _refuse(trying: Attempt, error: Exception) -> None:
    on = trying.on
    thing = Thing.of(on) if on is not None and on.pk else Thing("", "", "")
    reason = {"code": getattr(error, "code", "forbidden"), "reason": str(error)[:_LONGEST_REASON]}
    draft = _draft(trying.action, thing, {**trying.about, **reason}, outcome=Outcome.REFUSED)
    scene = scenes.current()
    if connection.in_atomic_block and scene is not None:
        scene.waiting.append(draft)
        scene.refused = True
    elif not connection.needs_rollback:
        _write_refusals([draft])


def _write_refusals(drafts: list[Draft]) -> None:
    """A refusal is one, whether it can be told of or not."""
    scene = scenes.current()
    if scene is not None and drafts:
        scene.refused = True
    for draft in drafts:
        left = refusals_left(draft.who.uid or draft.address)
        if left == 0:
            continue
        more = {} if left > 1 else {"note": "Further refusals of this minute are not recorded."}
        try:
            _link([replace(draft, detail={**draft.detail, **more})])
        except DatabaseError:
            logger.exception("A refusal could not be recorded: %s by %s", draft.action, draft.who)
