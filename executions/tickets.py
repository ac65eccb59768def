"""The queue: which run is next, what holds a run back, and who has a lease.

Raw SQL, because every run goes through here three times: it enters, is leased, and leaves. Each of these looks
at a bounded number of index entries, however many runs wait. Call them in the transaction of the move that they
belong to, with the run's stream locked; gates are locked after streams, tickets after gates.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from accounts.refusals import Invalid
from executions import clock
from executions.choices import Scope, TicketState
from executions.limits import COLUMNS, Belonging, Limit, Place, close_gates, leases, limits_of
from executions.models import DEFAULT_POOL, Execution, Lane, Pool, Runner, Ticket
from executions.shares import next_turn

#: How many of the next runs a claim looks at: what others are just claiming is passed over.
_LOOK_AT = 8
#: How many runs of what is at its limit are held back at once, so that the next claim need not meet them.
_HOLD_AT_ONCE = 200
#: How many sets of labels the robots of a pool may ask for.
MOST_LANES = 200

_FACTS = (
    "execution_id, precedence, turn, robot_most, state, robot_id, space_id, enterprise_id, pool_id"
)


@dataclass(frozen=True)
class Facts:
    """What is asked about a ticket while it is moved."""

    execution_id: int
    precedence: int
    turn: int
    robot_most: int | None
    state: TicketState
    belongs: Belonging
    #: Whether runs of its robot have had a limit of their own, be it by another version.
    robot_limited: bool = False

    @classmethod
    def of(cls, row: Sequence[Any]) -> "Facts":
        number, precedence, turn, robot_most, state, robot, space, enterprise, pool, *gate = row
        belongs = {
            Scope.ROBOT: robot,
            Scope.SPACE: space,
            Scope.ENTERPRISE: enterprise,
            Scope.POOL: pool,
        }
        limited = any(gate)
        return cls(number, precedence, turn, robot_most, TicketState(state), belongs, limited)

    def limits(self) -> list[Limit]:
        return limits_of(self.belongs, self.robot_most)


class TooManyLanes(Invalid):
    """The robots of a pool ask for too many different sets of labels: each claim looks at all of them."""

    code = "too_many_lanes"


class UnknownPool(Invalid):
    """A robot asks for runners of a pool that there is not."""

    code = "unknown_pool"


def lane_of(pool: str, labels: Iterable[str]) -> Lane:
    """The lane of runs that ask for this pool and these labels, made where it is the first such run."""
    wanted, name = ",".join(sorted(set(labels))), pool or DEFAULT_POOL
    lane = next(iter(_lanes("name", name, wanted)), None)
    if lane is None:
        named = Pool.objects.filter(name=name).first()
        if named is None:
            raise UnknownPool(
                _(
                    "The robot asks for the pool %(pool)s, which is not there. An operator can make it."
                )
                % {"pool": name}
            )
        if len(Lane.objects.filter(pool=named).values_list("pk")[:MOST_LANES]) == MOST_LANES:
            raise TooManyLanes(
                _(
                    "Robots of the pool %(pool)s ask for %(most)d sets of labels already. Use one of those."
                )
                % {"pool": name, "most": MOST_LANES}
            )
        lane, _made = Lane.objects.get_or_create(pool=named, labels=wanted)
    return lane


def enter(
    execution: Execution,
    lane: Lane,
    *,
    priority: int = 0,
    robot_most: int | None = None,
    ready_at: datetime | None = None,
    expires_at: datetime | None = None,
) -> None:
    """Queue a new run; with `ready_at`, it becomes one that waits only then."""
    turn = next_turn(
        lane_id=lane.pk,
        precedence=-priority,
        space_id=execution.space_id,
        robot_id=execution.robot_id,
    )
    Ticket(
        execution=execution,
        lane=lane,
        pool_id=lane.pool_id,
        robot_id=execution.robot_id,
        space_id=execution.space_id,
        enterprise_id=execution.space.enterprise_id,
        state=TicketState.READY if ready_at is None else TicketState.DELAYED,
        precedence=-priority,
        turn=turn.begin,
        turn_end=turn.end,
        robot_most=robot_most,
        ready_at=ready_at,
        expires_at=expires_at,
    ).save(force_insert=True)


def lanes_for(runner: Runner) -> list[int]:
    """The lanes of the runner's pool, the default one if it has none, whose runs ask for nothing that it lacks."""
    has = set(runner.labels)
    lanes = _lanes("id", runner.pool_id) if runner.pool_id else _lanes("name", DEFAULT_POOL)
    return [lane.pk for lane in lanes if lane.wanted <= has]


def _lanes(column: str, of: Any, labels: str | None = None) -> list[Lane]:
    """The lanes of the pool with this `id` or `name`, or the one for these labels."""
    alone = "" if labels is None else " AND lane.labels = %s"
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT lane.id, lane.pool_id, lane.labels FROM executions_lane lane "
            f"JOIN executions_pool pool ON pool.id = lane.pool_id WHERE pool.{column} = %s{alone}",
            [of] if labels is None else [of, labels],
        )
        return [
            Lane.from_db(connection.alias, ("id", "pool_id", "labels"), row)
            for row in cursor.fetchall()
        ]


def next_for(runner: Runner, only: int | None = None) -> list[Facts]:
    """The first runs that wait for such a runner, or `only` that one; a claim may still fail on each."""
    lanes = lanes_for(runner)
    if not lanes:
        return []
    marks = ", ".join(["%s"] * len(lanes))
    with connection.cursor() as cursor:
        if only is not None:
            cursor.execute(
                f"SELECT {_FACTS} FROM executions_ticket "
                f"WHERE execution_id = %s AND state = %s AND lane_id IN ({marks})",
                [only, TicketState.READY, *lanes],
            )
        else:
            heads = " UNION ALL ".join([_HEADS] * len(lanes))
            values = [value for lane in lanes for value in (lane, TicketState.READY, _LOOK_AT)]
            order = "precedence, turn, execution_id"
            cursor.execute(f"{heads} ORDER BY {order} LIMIT %s", [*values, _LOOK_AT])
        return [Facts.of(row) for row in cursor.fetchall()]


_HEADS = (
    f"SELECT * FROM (SELECT {_FACTS} FROM executions_ticket WHERE lane_id = %s AND state = %s "
    "ORDER BY precedence, turn, execution_id LIMIT %s) heads"
)


def admit(ticket: Facts) -> bool:
    """Whether every limit allows the run now. If not, it is held back, and so are others that meet the same limit."""
    limits = ticket.limits()
    if not limits:
        return True
    close_gates([limit.place for limit in limits])
    full = [limit for limit in limits if leases(limit.place) >= limit.most]
    if not full:
        return True
    _hold(ticket, full[0])
    for limit in (each for each in limits if each not in full):
        # What waited for that one alone must not wait behind this run, which now waits for another.
        _promote(limit.place)
    return False


def _hold(ticket: Facts, limit: Limit) -> None:
    """Hold back a run and the next ones that the same limit concerns. Whoever has a lease there calls one of them later.

    The versions of a robot may differ: a limit that one says of itself holds for those that allow no more.
    """
    waiting = Ticket.objects.filter(
        **{COLUMNS[limit.scope]: limit.of}, state=TicketState.READY
    ).order_by("precedence", "turn", "execution")
    found: Iterable[tuple[int, int | None]] = waiting.values_list("pk", "robot_most")[
        :_HOLD_AT_ONCE
    ]
    if limit.scope == Scope.ROBOT and limit.most == ticket.robot_most:
        found = [each for each in found if each[1] is not None and each[1] <= limit.most]
    numbers = [ticket.execution_id, *(number for number, _most in found)]
    Ticket.objects.filter(pk__in=numbers, state=TicketState.READY).update(
        state=TicketState.HELD, held_scope=limit.scope, held_by=limit.of, explained=False
    )


def lease(ticket: Facts, runner: Runner) -> bool:
    """Give the run to `runner`; False if it is not to be had any more."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE executions_ticket SET state = %s, runner_id = %s "
            "WHERE execution_id = %s AND state = %s",
            [TicketState.LEASED, runner.pk, ticket.execution_id, TicketState.READY],
        )
        return bool(cursor.rowcount)


def give_back(execution_id: int, *, expires_at: datetime | None) -> None:
    """Let a leased run wait again, in its old place, and for so long."""
    ticket = _ticket(execution_id)
    if ticket is None or ticket.state != TicketState.LEASED:
        return
    places = _places(ticket)
    close_gates(places)
    Ticket.objects.filter(pk=execution_id).update(
        state=TicketState.READY, runner=None, expires_at=expires_at
    )
    for place in places:
        _promote(place)


def leave(execution_id: int) -> int | None:
    """The run has ended: its place is gone, and what it kept from starting may start.

    Returns the key of its space; None if it had no place.
    """
    ticket = _ticket(execution_id)
    if ticket is None:
        return None
    places = _places(ticket) if ticket.state == TicketState.LEASED else []
    close_gates(places)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM executions_ticket WHERE execution_id = %s", [execution_id])
    for place in places:
        _promote(place)
    return ticket.belongs[Scope.SPACE]


def _places(ticket: Facts) -> list[Place]:
    """Where the lease of this run is counted, and others may wait for its end."""
    places = [limit.place for limit in ticket.limits()]
    robot = ticket.belongs[Scope.ROBOT]
    if ticket.robot_limited and robot is not None and (Scope.ROBOT, robot) not in places:
        places.append((Scope.ROBOT, robot))
    return places


_WITH_GATE = (
    f"SELECT {_FACTS}, (SELECT 1 FROM executions_gate gate WHERE gate.scope = %s "
    "AND gate.object_id = robot_id) FROM executions_ticket WHERE execution_id = %s"
)


def _ticket(execution_id: int) -> Facts | None:
    with connection.cursor() as cursor:
        cursor.execute(_WITH_GATE, [Scope.ROBOT, execution_id])
        row = cursor.fetchone()
    return None if row is None else Facts.of(row)


def _held(place: Place) -> QuerySet[Ticket]:
    """The tickets that are held back by this, the first ones first."""
    scope, of = place
    held = Ticket.objects.filter(held_scope=scope, held_by=of)
    return held.order_by("precedence", "turn", "execution")


def _bearing(held: QuerySet[Ticket], running: int) -> QuerySet[Ticket]:
    """Those whose version bears one more run of their robot than are running.

    The others are passed over, which where versions differ may be all that the robot has held back: nobody else pays.
    """
    return held.filter(Q(robot_most=None) | Q(robot_most__gt=running))


def _promote(place: Place) -> None:
    """Let the first run that is held back by this, and now need not be, wait for a runner again."""
    held = _held(place)
    if place[0] == Scope.ROBOT:
        held = _bearing(held, leases(place))
    _call(held.values_list("pk", flat=True)[:1])


def _call(numbers: Iterable[int]) -> int:
    """Let these wait for a runner again, if they are held back. Returns how many were."""
    numbers = list(numbers)
    return Ticket.objects.filter(pk__in=numbers, state=TicketState.HELD).update(
        state=TicketState.READY, held_scope=None, held_by=None, explained=False
    )


def next_holding(after: tuple[int, int]) -> tuple[int, int] | None:
    """The next thing that holds runs back, by scope and key, that comes after this one; None after the last."""
    scope, of = after
    holding = Ticket.objects.order_by("held_scope", "held_by").values_list("held_scope", "held_by")
    same = holding.filter(held_scope=scope, held_by__gt=of).first()
    found = same or holding.filter(held_scope__gt=scope).first()
    return found and (int(found[0] or 0), int(found[1] or 0))


def promote_what_fits(scope: Scope, of: int) -> int:
    """Call those that are held back by what has room, as where its limit was raised. Returns how many."""
    place = (scope, of)
    number = _held(place).values_list("pk", flat=True).first()
    ticket = None if number is None else _ticket(number)
    if ticket is None:
        return 0
    # What holds for all of them: not what this one's version says of itself.
    limits = limits_of(ticket.belongs, None)
    most = next((limit.most for limit in limits if limit.scope == scope), None)
    close_gates([place])
    running = leases(place)
    ready = Ticket.objects.filter(**{COLUMNS[scope]: of}, state=TicketState.READY)
    if scope == Scope.ROBOT and most is None:
        ready = ready.exclude(robot_most=None)
    taken = running + len(ready.values_list("pk")[:_HOLD_AT_ONCE])
    held = _bearing(_held(place), taken) if scope == Scope.ROBOT else _held(place)
    numbers = []
    for found, robot_most in held.values_list("pk", "robot_most")[:_HOLD_AT_ONCE]:
        bounds = [most, robot_most if scope == Scope.ROBOT else None]
        if all(bound is None or taken < bound for bound in bounds):
            numbers.append(found)
            taken += 1
    return _call(numbers)


def wake_delayed(count: int) -> int:
    """Queue those whose time has come, `count` at most. Returns how many."""
    due = Ticket.objects.filter(state=TicketState.DELAYED, ready_at__lte=clock.now())
    numbers = list(due.order_by("ready_at").values_list("pk", flat=True)[:count])
    return Ticket.objects.filter(pk__in=numbers, state=TicketState.DELAYED).update(
        state=TicketState.READY, ready_at=None, explained=False
    )


def set_priority(execution_id: int, priority: int) -> bool:
    """Let a waiting run wait with another priority, at the end of those. False if it does not wait any more."""
    ticket = Ticket.objects.filter(pk=execution_id).exclude(state=TicketState.LEASED).first()
    if ticket is None:
        return False
    turn = next_turn(
        lane_id=ticket.lane_id,
        precedence=-priority,
        space_id=ticket.space_id,
        robot_id=ticket.robot_id,
    )
    return _replace(ticket, precedence=-priority, turn=turn.begin, turn_end=turn.end)


def put_first(execution_id: int) -> bool:
    """Let a waiting run be the next one of its lane that starts, even if it was to start later.

    False if it does not wait any more.
    """
    ticket = Ticket.objects.filter(pk=execution_id).exclude(state=TicketState.LEASED).first()
    if ticket is None:
        return False
    heads = [ticket]
    for state in (TicketState.READY, TicketState.HELD):
        # One step into the index for each: together they would be all that wait, to be sorted.
        ahead = Ticket.objects.filter(lane=ticket.lane_id, state=state)
        heads += ahead.order_by("precedence", "turn", "execution")[:1]
    first = min(heads, key=lambda each: (each.precedence, each.turn))
    place: dict[str, Any] = {"precedence": first.precedence, "turn": first.turn - 1}
    if ticket.state == TicketState.DELAYED:
        place |= {"state": TicketState.READY, "ready_at": None, "explained": False}
    return _replace(ticket, **place, turn_end=first.turn)


def _replace(ticket: Ticket, **place: Any) -> bool:
    waiting = Ticket.objects.filter(pk=ticket.pk).exclude(state=TicketState.LEASED)
    return bool(waiting.update(**place))
