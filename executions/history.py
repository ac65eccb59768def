"""Lists of runs, from either end, at a price that does not grow with how many runs there are.

A list that is filtered reads on until it has met enough that fits: where a space rests, or its busy robot is
deleted, that is all of history. So lists are merged instead. The runs that are asked for are divided into parts
that each lie in order in an index, such as the failed runs of one robot. One step into the index finds the head
of each part. The newest runs are those of the parts with the newest heads, and of each of these parts no more is
read than a page holds.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from heapq import nlargest
from itertools import islice, product
from operator import attrgetter
from typing import Any, NamedTuple, Self

from django.db import connection
from django.db.models import QuerySet

from accounts.models import User
from executions.choices import FailureReason, Origin, Status
from executions.models import Execution
from robots.models import RobotQuerySet

#: How many heads are sought, parts read and rows loaded by one statement.
_HEADS, _PARTS, _ROWS = 100, 64, 250
#: A run gets its number and its time in the same breath: of two runs, the one of the higher number is the younger
#: as long as the clocks of no two machines differ by more than this.
_CLOCKS = timedelta(hours=1)

#: The indexes, the narrowest first: in order lie the runs that are equal in all of these columns.
_INDEXES = {
    "execution_of_robot": ("robot_id",),
    "execution_by_status": ("status",),
    "execution_of_robot_by_status": ("robot_id", "status"),
    "execution_of_requester": ("requested_by_id", "robot_id", "status"),
    "execution_of_kind": ("status", "failure_reason", "origin"),
    "execution_of_robot_by_kind": ("robot_id", "status", "failure_reason", "origin"),
}
#: What there is of that which is not asked for.
_EVERY: dict[str, Sequence[str]] = {
    "status": Status.values,
    "failure_reason": ["", *FailureReason.values],
    "origin": Origin.values,
}

#: Columns with operators, and the values that they are compared with.
_Where = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, kw_only=True)
class History:
    """Runs of some robots, or of all, that are of the wanted kind.

    `rows` says what is loaded with each run of a page; it filters nothing.
    """

    rows: QuerySet[Execution]
    #: The keys of the robots whose runs they are; None = everybody's, those of deleted robots too.
    robots: Sequence[int] | None = None
    #: Any of these; empty = all.
    statuses: Sequence[str] = ()
    #: This only together with `robots`, and without the two below: no index knows more.
    requested_by: User | None = None
    failure_reason: str | None = None
    origin: str | None = None
    #: Requested at this moment or later, and before that one.
    since: datetime | None = None
    until: datetime | None = None

    def but(self, **other: Any) -> Self:
        """The same with other fields."""
        return replace(self, **other)

    def newest(self, count: int, *, before: int | None = None) -> list[Execution]:
        """At most `count` runs, the newest first, all of them older than that with the key `before`."""
        edges = () if before is None else (("id < %s", before),)
        return self._load(_Reading(self, 1, edges).keys(count))

    def oldest(self, count: int, *, after: int) -> list[Execution]:
        """At most `count` runs, the oldest first, all of them newer than that with the key `after`."""
        return self._load(_Reading(self, -1, (("id > %s", after),)).keys(count))

    def latest_of_each_robot(self) -> dict[int, Execution]:
        """The newest run of each of the robots that has any, by the robot's key."""
        return {run.robot_id: run for run in self._load(sorted(_Reading(self, 1, ()).heads()))}

    def tally(self, most: int) -> Counter[str]:
        """How many there are of each of the statuses, which must be named; counted up to `most`."""
        return _Reading(self, 1, ()).tally(most)

    def _load(self, keys: list[int]) -> list[Execution]:
        found: dict[int, Execution] = {}
        for first in range(0, len(keys), _ROWS):
            found |= self.rows.in_bulk(keys[first : first + _ROWS])
        return [found[key] for key in keys if key in found]


def keys_of(robots: RobotQuerySet) -> list[int]:
    return list(robots.order_by().values_list("pk", flat=True))


class _Part(NamedTuple):
    """Runs that lie in order in an index: the rank of the first of them, and what they have in common."""

    head: int
    common: dict[str, Any]


class _Reading:
    """One reading of a history, from its newest end (`sign` 1) or from its oldest (-1).

    The rank of a run is its key with that sign: at either end, what comes first has the higher rank.
    """

    def __init__(self, history: History, sign: int, edges: _Where) -> None:
        self._sign = sign
        index, self._columns = _division(history)
        self._edges = edges + _edges(history)
        self._exactly = _exactly(history)
        # By force: a plan that is good for a part of average size is not good for each of them.
        hint = "INDEXED BY {}" if connection.vendor == "sqlite" else "FORCE INDEX ({})"
        self._table = f"executions_execution {hint.format(index) if index else ''}"

    def heads(self) -> list[int]:
        """The key of the first run of each part."""
        return [self._sign * part.head for part in self._parts()]

    def keys(self, count: int) -> list[int]:
        """The keys of the first `count` runs, in order."""
        parts = nlargest(count, self._parts(), key=attrgetter("head"))
        # So many runs, the heads of the parts, are of this rank or a higher one.
        floor = parts[-1].head if parts and len(parts) == count else None
        enough = floor is not None
        ranks: list[int] = []
        while parts and (floor is None or parts[0].head >= floor):
            now, parts = parts[:_PARTS], parts[_PARTS:]
            # A set: a run that moves meanwhile may be met in two parts.
            ranks = nlargest(
                count, {*ranks, *(rank for _number, rank in self._read(now, count, floor))}
            )
            floor = ranks[-1] if len(ranks) == count else floor
        if enough and len(ranks) < count:
            return self.keys(count)  # a head has moved on: what lies below it was not read
        return [self._sign * rank for rank in ranks]

    def tally(self, most: int) -> Counter[str]:
        """How many runs there are of each status, counted up to `most`."""
        parts = list(self._parts())
        counts: Counter[str] = Counter()
        while parts:
            now, parts = parts[:_PARTS], parts[_PARTS:]
            counts.update(now[number].common["status"] for number, _rank in self._read(now, most))
            parts = [part for part in parts if counts[part.common["status"]] < most]
        return Counter({status: min(count, most) for status, count in counts.items()})

    def _parts(self) -> Iterator[_Part]:
        """The parts that hold any of the wanted runs."""
        every = product(*self._columns.values())
        while some := list(islice(every, _HEADS)):
            parts = [dict(zip(self._columns, values, strict=True)) for values in some]
            for number, head in self._heads([_equal(part) for part in parts]):
                if head is not None:
                    yield _Part(self._sign * head, parts[number])

    def _heads(self, parts: Sequence[_Where]) -> Sequence[tuple[int, int | None]]:
        """The first key in each of the parts, with the part's number."""
        if self._exactly:
            return self._first(parts, 1)
        # One look into the index for each, whatever a planner may think of it.
        end = "MAX" if self._sign > 0 else "MIN"
        return _ask(
            lambda number, where: f"SELECT {number}, {end}(id) FROM {self._table}{where}",
            [part + self._edges for part in parts],
        )

    def _read(
        self, parts: Sequence[_Part], count: int, floor: int | None = None
    ) -> Iterator[tuple[int, int]]:
        """The first `count` ranks of each of the parts, down to `floor`, with the part's number."""
        edge: _Where = ()
        if floor is not None:
            edge = (("id >= %s" if self._sign > 0 else "id <= %s", self._sign * floor),)
        for number, key in self._first([_equal(part.common) + edge for part in parts], count):
            yield number, self._sign * key

    def _first(self, parts: Sequence[_Where], count: int) -> list[tuple[int, int]]:
        order = f"ORDER BY id {'DESC' if self._sign > 0 else 'ASC'} LIMIT {count}"
        return _ask(
            lambda number, where: (
                f"SELECT {number}, id FROM "
                f"(SELECT id FROM {self._table}{where} {order}) AS part{number}"
            ),
            [part + self._edges + self._exactly for part in parts],
        )


def _ask(statement: Callable[[int, str], str], every: Sequence[_Where]) -> list[tuple[int, Any]]:
    """The rows of one statement for each of these conditions, all asked at once."""
    statements = []
    values: list[Any] = []
    for number, conditions in enumerate(every):
        where = " AND ".join(condition for condition, _value in conditions)
        statements.append(statement(number, f" WHERE {where}" if where else ""))
        values += [value for _condition, value in conditions]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(statements), values)
        rows: list[tuple[int, Any]] = cursor.fetchall()
    return rows


def _equal(values: Mapping[str, Any]) -> _Where:
    return tuple((f"{column} = %s", value) for column, value in values.items())


def _division(history: History) -> tuple[str | None, dict[str, Sequence[Any]]]:
    """The narrowest index that knows what is asked for, and the values of its columns that make the parts."""
    asked: dict[str, Sequence[Any]] = {}
    if history.robots is not None:
        asked["robot_id"] = history.robots
    if history.requested_by is not None:
        asked["requested_by_id"] = [history.requested_by.pk]
    if history.statuses:
        asked["status"] = history.statuses
    if history.failure_reason is not None:
        asked["failure_reason"] = [history.failure_reason]
    if history.origin is not None:
        asked["origin"] = [history.origin]
    if not asked:
        return None, {}
    for index, columns in _INDEXES.items():
        if asked.keys() <= set(columns) and set(columns) <= asked.keys() | _EVERY.keys():
            values = {name: asked[name] if name in asked else _EVERY[name] for name in columns}
            return index, {name: list(dict.fromkeys(each)) for name, each in values.items()}
    raise LookupError(f"No index knows all of these: {', '.join(asked)}.")


def _edges(history: History) -> _Where:
    """Keys between which all wanted runs lie, and few others."""
    edges: _Where = ()
    keys = Execution.objects.values_list("pk", flat=True)
    if history.since is not None:
        earlier = keys.filter(requested_at__lt=_moved(history.since, -_CLOCKS))
        last = earlier.order_by("-requested_at").first()
        edges += () if last is None else (("id > %s", last),)
    if history.until is not None:
        later = keys.filter(requested_at__gte=_moved(history.until, _CLOCKS))
        first = later.order_by("requested_at").first()
        edges += () if first is None else (("id < %s", first),)
    return edges


def _moved(moment: datetime, by: timedelta) -> datetime:
    try:
        return moment + by
    except OverflowError:
        return moment  # at the edge of the calendar, beyond which nothing lies


def _exactly(history: History) -> _Where:
    """The times, which the edges make sure of but roughly."""
    where: _Where = ()
    adapt = connection.ops.adapt_datetimefield_value
    if history.since is not None:
        where += (("requested_at >= %s", adapt(history.since)),)
    if history.until is not None:
        where += (("requested_at < %s", adapt(history.until)),)
    return where
