"""Finds runners that died, and settles what they left.

A process that is stopped in the midst of a transaction is as dead as any, and its locks are not: what somebody has
locked is passed over, and is found again at the next look.
"""

import logging

from django.db import InterfaceError, OperationalError
from django.db.models import QuerySet

from accounts.databases import is_in_the_way
from executions import clock, lifecycle
from executions.choices import FailureReason, Status, TicketState
from executions.events import writing
from executions.lifecycle import Ending, WrongMoment
from executions.models import Execution, Runner, Ticket

logger = logging.getLogger(__name__)


def reap() -> int:
    """Bury every runner that missed two heartbeats. Returns how many runs were settled."""
    return bury(Runner.objects.silent())


def bury(dead: QuerySet[Runner]) -> int:
    """Mark these runners stopped, then settle the runs of every stopped runner.

    The second half looks at all of them, so that a reaper which dies between the halves is made up for. One that
    cannot be settled leaves the others alone.
    """
    found = list(dead.values_list("pk", flat=True))
    if found:
        with writing():
            # One that is just claiming is passed over. Who has beaten meanwhile is not dead any more.
            locked = dead.select_for_update(skip_locked=True).filter(pk__in=found)
            free = list(locked.values_list("pk", flat=True))
            Runner.objects.filter(pk__in=free).update(stopped_at=clock.now())
    # By the leases: of those there are no more than slots, and of runs that wait any number.
    left = Ticket.objects.filter(state=TicketState.LEASED, runner__stopped_at__isnull=False)
    left = left.select_related("execution__cancel_requested_by")
    return sum(settle(ticket.execution) for ticket in left)


def settle(execution: Execution, why: str = "Its runner died while it ran.") -> bool:
    """A run whose robot had not started goes back to the queue; another is lost, or was to be cancelled.

    False if it was not to be settled, or could not be. Raises only that the database does not answer.
    """
    try:
        with writing():
            if not lifecycle.is_free(execution.pk):
                return False
            if execution.cancel_requested_at is not None:
                message = lifecycle.cancelled_by(execution.cancel_requested_by)
                lifecycle.finish(execution.pk, Ending(Status.CANCELLED, message=message))
            elif execution.status == Status.PENDING:
                return lifecycle.release(execution)
            else:
                ending = Ending(Status.FAILED, FailureReason.LOST, why)
                lifecycle.finish(execution.pk, ending)
    except WrongMoment:
        return False  # somebody else was first
    except (InterfaceError, OperationalError) as error:
        if not is_in_the_way(error):
            raise
        logger.warning("Execution %s is settled later: %s", execution.pk, error)
        return False
    except Exception:
        logger.exception("Execution %s cannot be settled; the next look tries again.", execution.pk)
        return False
    logger.warning("Execution %s was settled: its runner died.", execution.pk)
    return True
