"""The only module that moves an execution's status: along the drawn arrows, by compare-and-set.

Each move appends its status event, changes the row, and moves the run's ticket in one transaction. Lock order:
the stream's row first, then the execution's, then the gates of what has a limit, then the runner's, then tickets.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from functools import partial
from typing import Any, cast

from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.db.models import Field
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.databases import DEADLOCK
from accounts.refusals import Refused
from accounts.rows import read_row
from executions import clock, hints, retries, tickets
from executions.choices import TERMINAL, EventKind, FailureReason, PendingReason, Status
from executions.events import Draft, Head, Source, StreamClosed, append, writing
from executions.models import Execution, ExecutionStream, Lane, Runner
from robots.manifest import Manifest

#: A claim that always comes too late is one that others make: they find what is left.
_MOST_LOOKS = 50
_OPEN_STREAM = (
    "SELECT execution_id FROM executions_executionstream WHERE execution_id = %s AND closed = %s"
)
_NOT_STOPPED = "SELECT id FROM executions_runner WHERE id = %s AND stopped_at IS NULL"
_MOVES = {
    Status.PENDING: {Status.RUNNING, Status.CANCELLED, Status.FAILED},
    Status.RUNNING: {Status.COMPLETED, Status.FAILED, Status.CANCELLED},
}


class WrongMoment(Refused):
    """Somebody else moved it first: the execution can no longer go there."""

    code = "wrong_moment"


@dataclass(frozen=True)
class Ending:
    """How a run ended, and the facts that go on its row."""

    status: Status
    reason: FailureReason | None = None
    message: str = ""
    exit_code: int | None = None
    cpu_seconds: float | None = None
    memory_peak: int | None = None


def status_draft(status: Status, reason: str = "", message: str = "", **more: Any) -> Draft:
    return Draft(
        EventKind.STATUS, {"status": status.value, "reason": reason, "message": message, **more}
    )


@dataclass(frozen=True)
class Request:
    """How a new run is to wait: by what its version says of itself, and how urgent it is."""

    manifest: Manifest
    priority: int = 0
    #: Seconds until it may start.
    delay: float = 0.0
    attempt: int = 1
    #: In place of the pool that its version names.
    pool: str = ""
    #: In place of the lane of that pool and the labels of its version.
    lane: Lane | None = None


def enqueue(execution: Execution, request: Request) -> Head:
    """Save a new execution, begin its stream, and give it its place in the queue: the one way to begin a run."""
    now = clock.now()
    manifest = request.manifest
    ready_at = now + timedelta(seconds=request.delay) if request.delay else None
    lane = request.lane or tickets.lane_of(request.pool or manifest.pool, manifest.labels)
    with writing():
        execution.save(force_insert=True)
        head = _open_stream(execution, request.attempt)
        tickets.enter(
            execution,
            lane,
            priority=request.priority,
            robot_most=manifest.concurrency,
            ready_at=ready_at,
            expires_at=_latest_start(manifest, ready_at or now),
        )
    return head


def _latest_start(manifest: Manifest, waits_since: datetime) -> datetime | None:
    """When a run that has waited since then will have waited for too long; None is never."""
    patience = manifest.queue_timeout or settings.RPA_QUEUE_TIMEOUT
    return waits_since + timedelta(seconds=patience) if patience else None


def _open_stream(execution: Execution, attempt: int) -> Head:
    ExecutionStream.objects.create(execution=execution)
    move = hints.Move(execution.pk, execution.space_id, execution.status, execution.pending_reason)
    transaction.on_commit(partial(hints.ring_move, move))
    more: dict[str, Any] = {"attempt": attempt} if attempt > 1 else {}
    return append(execution.pk, [status_draft(Status.PENDING, execution.pending_reason, **more)])


class Claim(Enum):
    """What came of trying to claim a run."""

    TAKEN = 1
    HELD = 2  # a limit does not allow it now
    LOST = 3  # it is somebody else's by now
    STOPPED = 4  # the runner was taken for dead, or has said goodbye


def claim_next(runner: Runner, only: int | None = None) -> tuple[Execution, str] | None:
    """Give the next waiting run, or `only` that one, to `runner`: it and its fencing token, or None.

    Next is who is first by priority, and then by the fair share of its space, of those whom every limit allows.
    Two runners that want the same run get it once: the loser goes on to the next. One that is stopped gets none:
    whoever has settled what it had would not see another one.
    """
    for _look in range(_MOST_LOOKS):
        ahead = tickets.next_for(runner, only)
        if not ahead:
            return None
        for ticket in ahead:
            token = secrets.token_hex(16)
            try:
                outcome = _claim(ticket, runner, token)
            except OperationalError as error:
                if error.args[:1] != (DEADLOCK,):
                    raise
                continue  # of two who waited for each other, the server has sent us away: look again
            if outcome is Claim.STOPPED:
                return None
            if outcome is Claim.TAKEN:
                claimed = read_row(Execution, ticket.execution_id)
                return None if claimed is None else (claimed, token)
    return None


def _claim(ticket: tickets.Facts, runner: Runner, token: str) -> Claim:
    number = ticket.execution_id
    with writing(), connection.cursor() as cursor:
        # Whom somebody else claims just now is passed over, instead of waited for.
        if not is_free(number):
            return Claim.LOST
        if not tickets.admit(ticket):
            return Claim.HELD
        # Whoever buries the runner waits for this claim, or is waited for.
        sharing = " LOCK IN SHARE MODE" if connection.vendor == "mysql" else ""
        cursor.execute(f"{_NOT_STOPPED}{sharing}", [runner.pk])
        if cursor.fetchone() is None:
            return Claim.STOPPED
        if not tickets.lease(ticket, runner):
            return Claim.LOST
        cursor.execute(
            "UPDATE executions_executionstream SET writer_token = %s, src_offset = 0 "
            "WHERE execution_id = %s",
            [token, number],
        )
        cursor.execute(
            "UPDATE executions_execution SET runner_id = %s, tier = %s WHERE id = %s",
            [runner.pk, runner.tier, number],
        )
    return Claim.TAKEN


def is_free(execution_id: int) -> bool:
    """Lock the stream of a run that has not ended, in the caller's transaction. False where somebody else has it locked."""
    passing = " FOR UPDATE SKIP LOCKED" if connection.vendor == "mysql" else ""
    with connection.cursor() as cursor:
        cursor.execute(f"{_OPEN_STREAM}{passing}", [execution_id, False])
        return cursor.fetchone() is not None


def release(execution: Execution) -> bool:
    """Hand a claimed run, whose robot has not started, back to the queue. False if it has moved on.

    It waits anew, in its old place: a runner had it, and that was no waiting.
    One that was to be cancelled ends instead: nobody would be left to hear of it.
    """
    with writing():
        ExecutionStream.objects.select_for_update().filter(pk=execution.pk).first()
        claimed = Execution.objects.filter(
            pk=execution.pk, status=Status.PENDING, runner=execution.runner_id
        ).exclude(runner=None)
        unwanted = claimed.exclude(cancel_requested_at=None).first()
        if unwanted is not None:
            message = cancelled_by(unwanted.cancel_requested_by)
            finish(unwanted.pk, Ending(Status.CANCELLED, message=message))
            return True
        if not claimed.update(runner=None, pending_reason=PendingReason.QUEUED):
            return False
        manifest = Manifest.from_json(execution.version.manifest)
        tickets.give_back(execution.pk, expires_at=_latest_start(manifest, clock.now()))
        ExecutionStream.objects.filter(pk=execution.pk).update(writer_token="", src_offset=0)
        append(execution.pk, [status_draft(Status.PENDING, PendingReason.QUEUED)])
        _ring(execution.pk, Status.PENDING, PendingReason.QUEUED, space_id=execution.space_id)
    return True


def explain_wait(execution: Execution, reason: PendingReason, source: Source) -> None:
    """Say why a claimed run has not started yet."""
    with writing():
        append(execution.pk, [status_draft(Status.PENDING, reason)], source=source)
        waiting = Execution.objects.filter(pk=execution.pk, status=Status.PENDING)
        if not waiting.update(pending_reason=reason):
            raise WrongMoment(_("The execution has already started."))
        _ring(execution.pk, Status.PENDING, reason, space_id=execution.space_id)


def explain_queueing(execution_id: int, reason: PendingReason) -> bool:
    """Say why a run that nobody has claimed still waits. False if it does not wait, or says so already."""
    with writing():
        ExecutionStream.objects.select_for_update().filter(pk=execution_id).first()
        waiting = Execution.objects.filter(pk=execution_id, status=Status.PENDING, runner=None)
        if not waiting.exclude(pending_reason=reason).update(pending_reason=reason):
            return False
        append(execution_id, [status_draft(Status.PENDING, reason)])
        _ring(execution_id, Status.PENDING, reason)
    return True


def expire(execution_id: int) -> bool:
    """End a run that has waited for longer than it may. False if it does not wait any more."""
    with writing():
        ExecutionStream.objects.select_for_update().filter(pk=execution_id).first()
        if not Execution.objects.filter(
            pk=execution_id, status=Status.PENDING, runner=None
        ).exists():
            return False
        message = "It waited longer than it may."
        finish(execution_id, Ending(Status.FAILED, FailureReason.EXPIRED, message))
    return True


def start(execution: Execution, source: Source) -> None:
    """PENDING -> RUNNING, by the runner that holds the claim. It may repeat it."""
    now = timezone.now()
    with writing():
        head = append(execution.pk, [status_draft(Status.RUNNING)], source=source)
        if not head.repeated:
            _move(execution.pk, Status.RUNNING, pending_reason="", started_at=now)
            _ring(execution.pk, Status.RUNNING, space_id=execution.space_id)
    execution.status, execution.started_at = Status.RUNNING, now


def record(execution_id: int, drafts: Sequence[Draft], source: Source) -> Head:
    """Append what a robot said; its progress and result are folded into the row with it."""
    folded = _fold(drafts)
    with writing():
        head = append(execution_id, drafts, source=source)
        if folded:
            Execution.objects.filter(pk=execution_id).exclude(status__in=TERMINAL).update(**folded)
    return head


def finish(
    execution_id: int, ending: Ending, *, drafts: Sequence[Draft] = (), source: Source | None = None
) -> Head:
    """Move to a terminal status with the last events of the stream, `drafts` first. Raises WrongMoment.

    Where its robot says that trying again is safe, the next attempt is queued in the same transaction.
    """
    fields: dict[str, Any] = {
        **_fold(drafts),
        "pending_reason": "",
        "failure_reason": ending.reason or "",
        "message": ending.message,
        "exit_code": ending.exit_code,
        "cpu_seconds": ending.cpu_seconds,
        "memory_peak": ending.memory_peak,
        "finished_at": timezone.now(),
    }
    with writing():
        successor = retries.successor_of(execution_id, ending.status, ending.reason)
        more = {"retried_as": str(successor.execution.uid)} if successor else {}
        last = status_draft(
            ending.status, ending.reason or "", ending.message, exit_code=ending.exit_code, **more
        )
        try:
            head = append(execution_id, [*drafts, last], source=source, close=True)
        except StreamClosed as error:
            raise WrongMoment(_("The execution has already ended.")) from error
        if not head.repeated:
            _move(execution_id, ending.status, **fields)
            _ring(execution_id, ending.status, space_id=tickets.leave(execution_id))
            if successor is not None:
                enqueue(
                    successor.execution,
                    Request(
                        successor.manifest,
                        delay=successor.delay,
                        attempt=successor.attempt,
                        lane=successor.lane,
                    ),
                )
                retries.note(successor, of=execution_id)
    return head


def request_cancel(execution: Execution, *, by: Any, at: datetime) -> bool:
    """Ask for the end of a run. True if it ended at once, False if its runner must stop it first."""
    with writing():
        stream = ExecutionStream.objects.select_for_update().get(pk=execution.pk)
        execution.refresh_from_db(fields=["status", "runner", "cancel_requested_at"])
        if stream.closed or execution.is_terminal:
            raise WrongMoment(_("The execution has already ended."))
        if execution.runner_id is None:
            finish(execution.pk, Ending(Status.CANCELLED, message=cancelled_by(by)))
            return True
        asked = Execution.objects.filter(pk=execution.pk, cancel_requested_at=None).update(
            cancel_requested_at=at, cancel_requested_by=by
        )
        if asked:
            note = {"code": "cancel_requested", "message": cancelled_by(by)}
            append(execution.pk, [Draft(EventKind.NOTICE, note)])
    return False


def cancelled_by(user: Any) -> str:
    """What a cancelled run says of itself; nobody is the platform, whose caller waited for long enough."""
    return f"Cancelled by {user}." if user else "Cancelled."


def _fold(drafts: Sequence[Draft]) -> dict[str, Any]:
    folded: dict[str, Any] = {}
    for draft in drafts:
        if draft.kind == EventKind.PROGRESS:
            folded["progress"] = draft.data["percent"]
            folded["progress_message"] = draft.data["message"]
        elif draft.kind == EventKind.RESULT:
            folded["result"] = draft.data["value"]
    return folded


def _move(execution_id: int, to: Status, **fields: Any) -> None:
    origins = [start for start, ends in _MOVES.items() if to in ends]
    columns = [cast("Field[Any, Any]", Execution._meta.get_field(name)) for name in fields]
    values = [
        column.get_db_prep_save(value, connection)
        for column, value in zip(columns, fields.values(), strict=True)
    ]
    assignments = "".join(f", {column.column} = %s" for column in columns)
    marks = ", ".join(["%s"] * len(origins)) or "NULL"
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE executions_execution SET status = %s{assignments} "  # noqa: S608 - names of columns
            f"WHERE id = %s AND status IN ({marks})",
            [to, *values, execution_id, *origins],
        )
        moved = cursor.rowcount
    if not moved:
        raise WrongMoment(
            _("The execution can no longer become %(status)s.") % {"status": to.label}
        )


def _ring(
    execution_id: int, status: Status, pending_reason: str = "", *, space_id: int | None = None
) -> None:
    """Tell those who show lists of the run's space, once this is committed. The space is asked if it is not given."""
    if space_id is None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT space_id FROM executions_execution WHERE id = %s", [execution_id]
            )
            (space_id,) = cursor.fetchone()
    move = hints.Move(execution_id, space_id, str(status), str(pending_reason))
    transaction.on_commit(partial(hints.ring_move, move))
