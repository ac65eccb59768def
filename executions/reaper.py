"""Finds runners that died, and settles what they left."""

import logging

from django.db import InterfaceError, OperationalError
from django.db.models import QuerySet

from executions import clock, lifecycle
from executions.choices import FailureReason, Status
from executions.lifecycle import Ending, WrongMoment
from executions.models import Execution, Runner

logger = logging.getLogger(__name__)

_BATCH = 200


def reap() -> int:
    """Bury every runner that missed two heartbeats. Returns how many runs were settled."""
    return bury(Runner.objects.silent())


def bury(dead: QuerySet[Runner]) -> int:
    """Mark these runners stopped, then settle the runs of every stopped runner.

    The second half looks at all of them, so that a reaper which dies between the halves is made up for. One that
    cannot be settled leaves the others alone.
    """
    dead.update(stopped_at=clock.now())
    left = Execution.objects.unfinished().filter(runner__stopped_at__isnull=False)
    settled = 0
    for execution in left.select_related("cancel_requested_by")[:_BATCH]:
        settled += settle(execution)
    return settled


def settle(execution: Execution, why: str = "Its runner died while it ran.") -> bool:
    """A run whose robot had not started goes back to the queue; another is lost, or was to be cancelled.

    False if it was not to be settled, or could not be. Raises only that the database does not answer.
    """
    try:
        if execution.cancel_requested_at is not None:
            by = execution.cancel_requested_by
            message = f"Cancelled by {by}; its runner had died."
            lifecycle.finish(execution.pk, Ending(Status.CANCELLED, message=message))
        elif execution.status == Status.PENDING:
            return lifecycle.release(execution)
        else:
            ending = Ending(Status.FAILED, FailureReason.LOST, why)
            lifecycle.finish(execution.pk, ending)
    except WrongMoment:
        return False  # somebody else was first
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        logger.exception("Execution %s cannot be settled; the next look tries again.", execution.pk)
        return False
    logger.warning("Execution %s was settled: its runner died.", execution.pk)
    return True
