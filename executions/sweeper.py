"""Keeps the queue honest: what is due begins to wait, what waited too long ends, and each run says why it waits.
Invites whose time is over are told so on the way, since this is what comes by again and again.

Everything here is bounded, may be done by several processes at once, and may be killed at any point: the next
sweep does the rest.
"""

import logging
from contextlib import suppress
from datetime import timedelta

from executions import clock, lifecycle, tickets
from executions.choices import PendingReason, Scope, TicketState
from executions.lifecycle import WrongMoment
from executions.models import DEFAULT_POOL, Lane, Runner, Ticket
from joining.services import expire_invites

logger = logging.getLogger(__name__)

_AT_ONCE = 100
#: How many lanes are looked at in one sweep: each is a statement.
_LANES = 50
_INVITES_EVERY_SECONDS = 60.0
#: Who waits no longer than this is not told why: most runs start at once.
_TELL_AFTER = timedelta(seconds=1)

#: What a run is told that is held back, by what is at its limit.
REASONS = {
    Scope.ROBOT: PendingReason.ROBOT_LIMIT,
    Scope.SPACE: PendingReason.SPACE_LIMIT,
    Scope.ENTERPRISE: PendingReason.ENTERPRISE_LIMIT,
    Scope.POOL: PendingReason.POOL_LIMIT,
}


class Sweeper:
    """One process's sweeps, each a bounded piece of the work."""

    def __init__(self) -> None:
        self._looked_at = (0, 0)
        self._lane = 0
        self._invites_from = 0.0

    def sweep(self) -> None:
        """Do what is due."""
        tickets.wake_delayed(_AT_ONCE)
        self._call_what_fits()
        _expire()
        _explain()
        self._explain_lanes()
        self._expire_invites()

    def _call_what_fits(self) -> None:
        """Look at some of what holds runs back: room may have come without the end of a run, by a raised limit."""
        for _look in range(_AT_ONCE):
            found = tickets.next_holding(self._looked_at)
            if found is None:
                self._looked_at = (0, 0)
                break
            self._looked_at = found
            tickets.promote_what_fits(Scope(found[0]), found[1])

    def _expire_invites(self) -> None:
        if clock.ticks() >= self._invites_from and expire_invites(_AT_ONCE) < _AT_ONCE:
            self._invites_from = clock.ticks() + _INVITES_EVERY_SECONDS

    def _explain_lanes(self) -> None:
        """Let the first runs of the next lanes say whether any runner may take them."""
        alive = _taking()
        lanes = list(
            Lane.objects.select_related("pool").filter(pk__gt=self._lane).order_by("pk")[:_LANES]
        )
        self._lane = lanes[-1].pk if len(lanes) == _LANES else 0
        for lane in lanes:
            told, true = PendingReason.QUEUED, PendingReason.NO_RUNNER
            if any(_serves(runner, lane) for runner in alive):
                told, true = true, told
            _retell(lane, told, true)


def _expire() -> None:
    now = clock.now()
    for state in (TicketState.READY, TicketState.HELD, TicketState.DELAYED):
        late = Ticket.objects.filter(state=state, expires_at__lte=now).order_by("expires_at")
        for number in list(late.values_list("pk", flat=True)[:_AT_ONCE]):
            with suppress(WrongMoment):  # it ended meanwhile
                lifecycle.expire(number)


def _explain() -> None:
    """Let the streams of those that are held back, or no longer are, say so."""
    before = clock.now() - _TELL_AFTER
    unsaid = Ticket.objects.filter(explained=False).order_by("execution")[:_AT_ONCE]
    for ticket in unsaid:
        if ticket.state in (TicketState.READY, TicketState.HELD) and ticket.queued_at > before:
            continue
        if ticket.state == TicketState.HELD and ticket.held_scope is not None:
            lifecycle.explain_queueing(ticket.pk, REASONS[Scope(ticket.held_scope)])
        elif ticket.state == TicketState.READY:
            lifecycle.explain_queueing(ticket.pk, PendingReason.QUEUED)
        # What has moved on meanwhile is to be explained again.
        same = Ticket.objects.filter(pk=ticket.pk, state=ticket.state, held_by=ticket.held_by)
        same.update(explained=True)


def runners_of(lane: Lane) -> list[Runner]:
    """Those who are alive and may take the runs of this lane."""
    return [runner for runner in _taking() if _serves(runner, lane)]


def _taking() -> list[Runner]:
    return list(Runner.objects.alive().filter(draining_at=None))


def _serves(runner: Runner, lane: Lane) -> bool:
    mine = runner.pool_id == lane.pool_id
    if runner.pool_id is None:
        mine = lane.pool.name == DEFAULT_POOL
    return mine and lane.wanted <= set(runner.labels)


def _retell(lane: Lane, told: PendingReason, true: PendingReason) -> None:
    before = clock.now() - _TELL_AFTER
    first = Ticket.objects.filter(lane=lane, state=TicketState.READY)
    ahead = first.order_by("precedence", "turn", "execution").values_list(
        "pk", "queued_at", "execution__pending_reason"
    )
    for number, queued_at, reason in ahead[:_AT_ONCE]:
        if reason == told and queued_at < before:
            lifecycle.explain_queueing(number, true)
