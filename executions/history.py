"""Lists of runs, from either end, at a price that does not grow with how many runs there are.

A list that is filtered reads on until it has met enough that fits: where a space rests, or its busy robot is
deleted, that is all of history. So lists are merged instead. The runs that are asked for are divided into parts
that each lie in order in an index, such as the failed runs of one robot. One step into the index finds the head
of each part. The newest runs are those of the parts with the newest heads, and of each of these parts no more is
read than a page holds.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
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

#: How many parts are looked into by one statement, which is as many as SQLite allows; how many are read by one, all
#: that is wanted of them; and how many rows are loaded.
_LOOKS, _PARTS, _ROWS = 500, 64, 250
#: A tally reads so many runs of each part first. Where many parts have more, it reads so many times more of those.
_FEW, _TIMES = 20, 8
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

    def glance(
        self,
        lists: Sequence[tuple[Collection[str], int]],
        tallied: Sequence[tuple[Collection[str], datetime | None]],
        most: int,
    ) -> tuple[list[list[Execution]], Counter[str]]:
        """Several lists, each of the newest so many of some statuses; and tallies of some statuses since a moment.

        All of it is read off the same heads, and the beginnings of all that is to be read are read together: as few
        statements as a page has for it, however many robots there are.
        """
        every = self.but(statuses=Status.values)
        reading = _Reading(every, 1, ())
        parts = list(reading.parts())
        openings = [
            reading.opening(count, [part for part in parts if part.common["status"] in statuses])
            for statuses, count in lists
        ]
        tally = _Tally(most)
        for statuses, since in tallied if parts else ():
            part_reading = reading if since is None else _Reading(every.but(since=since), 1, ())
            tally.add(part_reading, [part for part in parts if part.common["status"] in statuses])
        looks = [look for opening in openings for look in opening.looks]
        found = _ask([*looks, *tally.looks()])
        tally.take(found[len(looks) :])
        keys: list[list[int]] = []
        for (statuses, count), opening in zip(lists, openings, strict=True):
            mine, found = found[: len(opening.looks)], found[len(opening.looks) :]
            of_list = nlargest(count, {key for some in mine for key in some})
            if opening.enough and len(of_list) < count:  # a head has moved on, as in _Reading.keys
                of_list = _Reading(self.but(statuses=sorted(statuses)), 1, ()).keys(count)
            keys.append(of_list)
        rows = {run.pk: run for run in self._load([key for some in keys for key in some])}
        return [[rows[key] for key in some if key in rows] for some in keys], tally.finished()

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


class _Look(NamedTuple):
    """A question for keys in an index: what is selected from where, and a limit of its own."""

    selected: str
    rest: str
    values: Sequence[Any]
    limit: str = ""

    def numbered(self, number: int) -> str:
        """As a part of a union, whose rows tell by the number which one they are of."""
        if not self.limit:
            return f"SELECT {number}, {self.selected} {self.rest}"
        if connection.vendor == "mysql":
            return f"(SELECT {number}, {self.selected} {self.rest} {self.limit})"
        part = f"SELECT {self.selected} {self.rest} {self.limit}"
        return f"SELECT {number}, id FROM ({part}) AS part{number}"


class _Opening(NamedTuple):
    """The beginning of a list: looks into its parts; and whether as many parts have a run as it has room for."""

    looks: list[_Look]
    enough: bool


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
        return [self._sign * part.head for part in self.parts()]

    def keys(self, count: int) -> list[int]:
        """The keys of the first `count` runs, in order."""
        parts = nlargest(count, self.parts(), key=attrgetter("head"))
        # So many runs, the heads of the parts, are of this rank or a higher one.
        floor = parts[-1].head if parts and len(parts) == count else None
        enough = floor is not None
        ranks: list[int] = []
        while parts and (floor is None or parts[0].head >= floor):
            now, parts = parts[:_PARTS], parts[_PARTS:]
            found = _ask([self.look(part.common, count, floor) for part in now])
            # A set: a run that moves meanwhile may be met in two parts.
            ranks = nlargest(count, {*ranks, *(self._sign * key for some in found for key in some)})
            floor = ranks[-1] if len(ranks) == count else floor
        if enough and len(ranks) < count:
            return self.keys(count)  # a head has moved on: what lies below it was not read
        return [self._sign * rank for rank in ranks]

    def opening(self, count: int, parts: Iterable[_Part]) -> _Opening:
        """As `keys` reads these parts, of a list that is short enough to be read at once."""
        chosen = nlargest(count, parts, key=attrgetter("head"))
        floor = chosen[-1].head if chosen and len(chosen) == count else None
        looks = [self.look(part.common, count, floor) for part in chosen]
        return _Opening(looks, floor is not None)

    def parts(self) -> Iterator[_Part]:
        """The parts that hold any of the wanted runs."""
        every = product(*self._columns.values())
        while some := list(islice(every, _LOOKS)):
            parts = [dict(zip(self._columns, values, strict=True)) for values in some]
            for part, found in zip(parts, _ask([self._head(part) for part in parts]), strict=True):
                for key in found:
                    if key is not None:
                        yield _Part(self._sign * key, part)

    def _head(self, common: Mapping[str, Any]) -> _Look:
        """A look for the first key of a part."""
        if self._exactly:
            return self.look(common, 1)
        # One look into the index for each, whatever a planner may think of it.
        rest, values = self._of(_equal(common) + self._edges)
        return _Look("MAX(id)" if self._sign > 0 else "MIN(id)", rest, values)

    def look(self, common: Mapping[str, Any], count: int, floor: int | None = None) -> _Look:
        """A look for the first `count` keys of a part, down to the rank `floor`."""
        edge: _Where = ()
        if floor is not None:
            edge = (("id >= %s" if self._sign > 0 else "id <= %s", self._sign * floor),)
        rest, values = self._of(_equal(common) + edge + self._edges + self._exactly)
        order = f"ORDER BY id {'DESC' if self._sign > 0 else 'ASC'} LIMIT {count}"
        return _Look("id", rest, values, order)

    def _of(self, conditions: _Where) -> tuple[str, list[Any]]:
        where = " AND ".join(condition for condition, _value in conditions)
        values = [value for _condition, value in conditions]
        return f"FROM {self._table}{f' WHERE {where}' if where else ''}", values


class _Tally:
    """How many runs there are of each status in some parts, counted up to `most`.

    Each part is read as far as a few runs, and those that have more are read again and further. So a part that is
    read far is one of few.
    """

    def __init__(self, most: int) -> None:
        self._counts: Counter[str] = Counter()
        self._open: list[tuple[_Reading, _Part]] = []
        self._most, self._limit = most, min(_FEW, most)

    def add(self, reading: _Reading, parts: Iterable[_Part]) -> None:
        self._open += [(reading, part) for part in parts]

    def looks(self) -> list[_Look]:
        return [reading.look(part.common, self._limit) for reading, part in self._open]

    def take(self, found: Sequence[Sequence[int]]) -> None:
        """What the looks have found: a part with fewer runs than was asked for is counted."""
        longer = []
        at_least = Counter(self._counts)
        for (reading, part), keys in zip(self._open, found, strict=True):
            status = part.common["status"]
            at_least[status] += len(keys)
            if len(keys) < self._limit:
                self._counts[status] += len(keys)
            else:
                longer.append((reading, part))
        for status, count in at_least.items():
            if count >= self._most:
                self._counts[status] = self._most
        self._open = [each for each in longer if at_least[each[1].common["status"]] < self._most]
        few = len(self._open) <= _PARTS
        self._limit = self._most if few else min(self._limit * _TIMES, self._most)

    def finished(self) -> Counter[str]:
        while self._open:
            self.take(_ask(self.looks()))
        return self._counts


def _ask(looks: Sequence[_Look]) -> list[list[Any]]:
    """What each of the looks finds, many of them asked at once."""
    found: list[list[Any]] = [[] for _look in looks]
    for first in range(0, len(looks), _LOOKS):
        some = looks[first : first + _LOOKS]
        union = " UNION ALL ".join(look.numbered(first + n) for n, look in enumerate(some))
        with connection.cursor() as cursor:
            cursor.execute(union, [value for look in some for value in look.values])
            for number, key in cursor.fetchall():
                found[number].append(key)
    return found


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
