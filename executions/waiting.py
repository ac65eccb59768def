"""Why a run waits, for people: what it waits for, how many are before it, and about how long it will be."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q

from executions import clock
from executions.choices import PendingReason, Scope, Status, TicketState
from executions.limits import COLUMNS, limits_of
from executions.models import Execution, Pool, Ticket
from executions.shares import expected_milliseconds
from executions.sweeper import REASONS, runners_of
from robots.models import Robot

#: Beyond this nobody counts: the answer is "at least so many".
MOST_AHEAD = 1000
_LOOK_AT = 100


@dataclass(frozen=True)
class Blocker:
    """What is at its limit, and how many runs of it have a place now."""

    scope: Scope
    id: str
    name: str
    running: int
    most: int | None


@dataclass(frozen=True)
class Wait:
    """Why a run has not started."""

    reason: PendingReason
    priority: int
    #: Runs that wait for the same and come first; MOST_AHEAD means that or more.
    ahead: int
    #: Seconds until it may start, if what runs takes as long as it usually does; None where nobody can tell.
    estimate: int | None
    blocked_by: Blocker | None = None


def wait_of(execution: Execution) -> Wait | None:
    """Why the run waits now; None where it does not wait in the queue any more."""
    tickets = Ticket.objects.select_related("lane", "robot", "space", "enterprise", "pool")
    ticket = tickets.filter(pk=execution.pk).exclude(state=TicketState.LEASED).first()
    if ticket is None or execution.status != Status.PENDING:
        return None
    priority = -ticket.precedence
    if ticket.state == TicketState.DELAYED:
        return Wait(PendingReason.RETRY, priority, 0, _until(ticket.ready_at))
    if ticket.state == TicketState.HELD and ticket.held_scope is not None:
        return _held(ticket, Scope(ticket.held_scope), priority)
    serving = runners_of(ticket.lane)
    ahead = _before(ticket, Ticket.objects.filter(lane=ticket.lane, state=TicketState.READY))
    if not serving:
        return Wait(PendingReason.NO_RUNNER, priority, ahead, None)
    slots = sum(runner.slots for runner in serving)
    busy = Ticket.objects.filter(runner__in=serving, state=TicketState.LEASED)
    return Wait(PendingReason.QUEUED, priority, ahead, _estimate(busy, slots, ahead, ticket))


def _held(ticket: Ticket, scope: Scope, priority: int) -> Wait:
    held = Ticket.objects.filter(held_scope=scope, held_by=ticket.held_by)
    running = Ticket.objects.filter(**{COLUMNS[scope]: ticket.held_by}, state=TicketState.LEASED)
    most = _most(ticket, scope)
    count = _some(running)
    if most is not None and count > most:
        # MariaDB may show a claim without the end that it had waited for, for a moment. What is still too many then has
        # begun under another limit.
        count = min(count, _some(running))
    ahead = _before(ticket, held)
    thing = {
        Scope.ROBOT: ticket.robot,
        Scope.SPACE: ticket.space,
        Scope.ENTERPRISE: ticket.enterprise,
        Scope.POOL: ticket.pool,
    }[scope]
    blocker = Blocker(scope, _id_of(thing), str(thing), count, most)
    return Wait(REASONS[scope], priority, ahead, _estimate(running, count, ahead, ticket), blocker)


def _id_of(thing: Any) -> str:
    if isinstance(thing, Robot):
        return str(thing.uid)
    return thing.name if isinstance(thing, Pool) else str(thing.pk)


def _most(ticket: Ticket, scope: Scope) -> int | None:
    belongs = {each: getattr(ticket, column) for each, column in COLUMNS.items()}
    limits = limits_of(belongs, ticket.robot_most)
    return next((limit.most for limit in limits if limit.scope == scope), None)


def _before(ticket: Ticket, waiting: Any) -> int:
    earlier = Q(precedence__lt=ticket.precedence) | Q(
        precedence=ticket.precedence, turn__lt=ticket.turn
    )
    same = Q(precedence=ticket.precedence, turn=ticket.turn, pk__lt=ticket.pk)
    return _some(waiting.filter(earlier | same))


def _some(tickets: Any) -> int:
    """How many there are, as far as MOST_AHEAD: read, so that nobody counts on beyond that."""
    return len(tickets.values_list("pk", flat=True)[:MOST_AHEAD])


def _estimate(running: Any, slots: int, ahead: int, ticket: Ticket) -> int | None:
    """When the next place is free, and how long those before it take in so many places."""
    if not slots:
        return None
    begun = running.values_list("robot", "execution__started_at")[:_LOOK_AT]
    now = clock.now()
    left = sorted(
        max(0.0, expected_milliseconds(robot) / 1000 - (now - started).total_seconds())
        if started
        else expected_milliseconds(robot) / 1000
        for robot, started in begun
    )
    first = left[0] if len(left) >= slots else 0.0
    each = expected_milliseconds(ticket.robot_id) / 1000
    return round(first + ahead * each / slots)


def _until(moment: datetime | None) -> int:
    return max(0, round((moment - clock.now()).total_seconds())) if moment else 0
