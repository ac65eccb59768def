"""Trying again what failed, where its robot says that doing its work twice is safe."""

from dataclasses import dataclass

from django.db import connection
from django.utils import timezone

from executions.choices import FailureReason, PendingReason, Status
from executions.models import Execution, ExecutionStream, Lane, Retry
from robots.manifest import Manifest

#: What a robot may ask to be tried again after.
RETRIED = (FailureReason.LOST, FailureReason.ERROR, FailureReason.TIMEOUT)
_LONGEST_DELAY = 3600.0
#: Whether a robot, its space and its enterprise are there. By hand, since every request asks it: the ORM would take
#: as long as the rest of the transaction.
STILL_THERE = """
    SELECT robot.id FROM robots_robot robot
    JOIN agent_space room ON room.id = robot.space_id
    LEFT JOIN agent_enterprise house ON house.id = room.enterprise_id
    WHERE robot.id = %s AND NOT robot.deleted AND NOT room.deleted
    AND (house.id IS NULL OR NOT house.deleted)
"""
#: The same, and whether its runs are not refused because the enterprise has expired.
_MAY_RUN = f"{STILL_THERE} AND (house.expire_time IS NULL OR house.expire_time > %s)"


@dataclass(frozen=True)
class Successor:
    """The next attempt of a run, not yet saved, and when it may start."""

    execution: Execution
    manifest: Manifest
    #: The failed one's: what has become of the pool's name meanwhile does not keep a run from its end.
    lane: Lane
    attempt: int
    #: Seconds.
    delay: float


def successor_of(
    execution_id: int, status: Status, reason: FailureReason | None
) -> Successor | None:
    """The run that is to follow one that ends like this; None where nothing follows.

    Locks the run's stream, so that nobody asks for its end meanwhile: what is to be cancelled is not tried again.
    """
    if status != Status.FAILED or reason not in RETRIED:
        return None
    _hold_robot(execution_id)
    ExecutionStream.objects.select_for_update().filter(pk=execution_id).first()
    known = Execution.objects.select_related("version", "retry", "space", "ticket__lane")
    failed = known.filter(pk=execution_id).first()
    if failed is None or not hasattr(failed, "ticket"):
        return None  # it has ended already
    manifest = Manifest.from_json(failed.version.manifest)
    policy = manifest.retry
    attempt = failed.retry.attempt if hasattr(failed, "retry") else 1
    if policy is None or reason.value not in policy.on or attempt >= policy.max_attempts:
        return None
    if failed.cancel_requested_at is not None or not _may_run(failed):
        return None
    again = Execution(
        robot_id=failed.robot_id,
        version=failed.version,
        space=failed.space,
        requested_by_id=failed.requested_by_id,
        api_key_id=failed.api_key_id,
        origin=failed.origin,
        task=failed.task,
        params=failed.params,
        timeout_seconds=failed.timeout_seconds,
        rerun_of_id=failed.rerun_of_id,
        trace_id=failed.trace_id,
        request_digest=failed.request_digest,
        pending_reason=PendingReason.RETRY if policy.backoff else PendingReason.QUEUED,
    )
    delay = min(policy.backoff * 2.0 ** (attempt - 1), _LONGEST_DELAY)
    return Successor(again, manifest, failed.ticket.lane, attempt + 1, delay)


def _hold_robot(execution_id: int) -> None:
    """On MariaDB and MySQL: lock the rows that a successor will refer to before the stream.

    Whoever hides a robot locks it, then its space, then the streams of its runs. Adding the successor with the
    stream in hand would wait for them as they wait for the stream.
    """
    if connection.vendor != "mysql":
        return
    run = Execution.objects.filter(pk=execution_id).values_list("robot", "space").first()
    if run is None:
        return
    with connection.cursor() as cursor:
        for table, key in zip(("robots_robot", "agent_space"), run, strict=True):
            cursor.execute(f"SELECT id FROM {table} WHERE id = %s LOCK IN SHARE MODE", [key])  # noqa: S608 - names of tables
            cursor.fetchall()


def _may_run(failed: Execution) -> bool:
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    with connection.cursor() as cursor:
        cursor.execute(_MAY_RUN, [failed.robot_id, now])
        return cursor.fetchone() is not None


def note(successor: Successor, *, of: int) -> None:
    """Keep what follows what, once the successor is saved."""
    Retry.objects.create(execution=successor.execution, failed_id=of, attempt=successor.attempt)
