"""How many runs of something may run at once, and how many do: asked of the leases, never of a counter.

A claim that finds a limit locks the gate of what is limited until it is committed, and so does the end of a
run that has a lease there. Of two claims, the second one therefore counts the first one's lease, and no run is
held back for a lease that is just being given back.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.conf import settings
from django.db import connection

from executions.choices import Scope, TicketState

#: The columns of the tickets and of the limits, in the order in which gates are locked.
COLUMNS = {
    Scope.ENTERPRISE: "enterprise_id",
    Scope.SPACE: "space_id",
    Scope.ROBOT: "robot_id",
    Scope.POOL: "pool_id",
}
#: What a run belongs to, by scope: the keys of its robot, space, enterprise and pool.
Belonging = Mapping[Scope, int | None]
#: What may be limited: a kind of thing, and the key of one.
Place = tuple[Scope, int]


@dataclass(frozen=True)
class Limit:
    """What is limited, to how many runs at once."""

    scope: Scope
    of: int
    most: int

    @property
    def place(self) -> Place:
        return self.scope, self.of


def limits_of(run: Belonging, robot_most: int | None) -> list[Limit]:
    """Every limit that a run is subject to. `robot_most` is what its robot's version says of itself.

    The settings hold where nobody has said otherwise. A robot's version says what more of its runs would break:
    nobody may allow more than that.
    """
    own = _own(run)
    all_most = {
        Scope.SPACE: settings.RPA_SPACE_RUNS or None,
        Scope.ENTERPRISE: settings.RPA_ENTERPRISE_RUNS or None,
        **own,
    }
    if robot_most is not None:
        all_most[Scope.ROBOT] = min(robot_most, own.get(Scope.ROBOT, robot_most))
    found = []
    for scope in COLUMNS:
        most, of = all_most.get(scope), run[scope]
        if most is not None and of is not None:
            found.append(Limit(scope, of, most))
    return found


def _own(run: Belonging) -> dict[Scope, int]:
    known = [(scope, column) for scope, column in COLUMNS.items() if run[scope] is not None]
    where = " OR ".join(f"{column} = %s" for _scope, column in known)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join(COLUMNS.values())}, most FROM executions_runlimit WHERE {where}",
            [run[scope] for scope, _column in known],
        )
        rows = cursor.fetchall()
    own = {}
    for *keys, most in rows:
        scope = next(scope for scope, key in zip(COLUMNS, keys, strict=True) if key is not None)
        own[scope] = most
    return own


def close_gates(places: Iterable[Place]) -> None:
    """Lock what is limited until the end of the transaction. On SQLite, whoever writes is alone anyway.

    A gate stays: it tells that something of the place has had a limit.
    """
    alone = connection.vendor == "sqlite"
    # It locks the row as an update does, whoever was first: IGNORE would share it, and two who share it and want it
    # alone wait for each other.
    lock, twice = (
        ("", "ON CONFLICT DO NOTHING")
        if alone
        else (" FOR UPDATE", "ON DUPLICATE KEY UPDATE scope = scope")
    )
    with connection.cursor() as cursor:
        for place in sorted(places, key=lambda place: [*COLUMNS].index(place[0])):
            cursor.execute(
                f"SELECT id FROM executions_gate WHERE scope = %s AND object_id = %s{lock}", place
            )
            if cursor.fetchone() is None:
                cursor.execute(
                    f"INSERT INTO executions_gate (scope, object_id) VALUES (%s, %s) {twice}", place
                )


def leases(place: Place) -> int:
    """How many runs of it have a lease now."""
    scope, of = place
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT COUNT(*) FROM executions_ticket WHERE {COLUMNS[scope]} = %s AND state = %s",
            [of, TicketState.LEASED],
        )
        (count,) = cursor.fetchone()
    return int(count)
