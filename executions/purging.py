"""Removing the runs of a robot that goes for ever: events, segments and files, then the runs; see accounts/purging.py."""

from typing import Any

from django.dispatch import Signal
from django.utils.translation import gettext as _

from accounts.purging import Steps, StillNeeded
from audit.recording import deed, note
from executions import retention
from executions.events import writing
from executions.models import Execution
from robots.models import Robot

#: Sent with `runs` (their keys) in the transaction that removes them.
runs_purged = Signal()
_BATCH = 20


def purge_runs_of(robot: Robot, **_of_signal: Any) -> Steps:
    """StillNeeded at once while one of them has not ended."""
    if Execution.objects.filter(robot=robot).unfinished().exists():
        raise StillNeeded(_("%(name)s has a run that has not ended.") % {"name": robot})
    return _remove(robot)


def _remove(robot: Robot) -> Steps:
    runs = Execution.objects.filter(robot=robot).select_related("stream", "requested_by")
    while batch := list(runs.defer("params", "result").order_by("pk")[:_BATCH]):
        for run in batch:
            retention.remove(run.stream)
            yield
        keys = [run.pk for run in batch]
        with deed("robot.purge", robot), writing():
            for run in batch:
                note(run, _facts(run), {}, "delete")
            runs_purged.send(Execution, runs=keys)
            Execution.objects.filter(pk__in=keys).delete()
        yield


def _facts(run: Execution) -> dict[str, Any]:
    """Who asked for it, when and by which door, which no row tells any more."""
    return {
        "requested_by": run.requested_by.uid,
        "requested_at": run.requested_at.isoformat(),
        "origin": run.origin,
        "status": run.status,
    }
