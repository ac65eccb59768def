"""What may be done with executions: request, cancel, run again."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.actors import Actor
from accounts.models import User
from accounts.refusals import Forbidden, Invalid, NotFound, Refused
from audit.recording import attempt, note, recording
from executions import engine, lifecycle, tickets
from executions.choices import Origin, PendingReason, Status
from executions.events import writing
from executions.models import DEFAULT_POOL, Execution
from executions.retries import STILL_THERE
from robots.json_values import BadJson, clean
from robots.manifest import Manifest, TaskNotFound
from robots.models import Robot, RobotVersion
from robots.parameters import problems, with_defaults
from spaces.access import may, require

MAX_PARAMS_BYTES = 256 * 1024
MOST_PRIORITY = 100


class NoVersion(Refused):
    code = "no_enabled_version"


class KeyReused(Refused):
    """The same idempotency key came with another request."""

    code = "idempotency_key_reused"


@dataclass(frozen=True)
class Requested:
    """A request's execution; `created` is false when an idempotency key found the one of before."""

    execution: Execution
    created: bool


def request_execution(
    *,
    robot: Robot,
    by: Actor,
    origin: Origin,
    params: Mapping[str, Any] | None = None,
    version: RobotVersion | None = None,
    task: str = "",
    timeout_seconds: int | None = None,
    idempotency_key: str | None = None,
    trace_id: str = "",
    rerun_of: Execution | None = None,
    priority: int = 0,
    pool: str = "",
) -> Requested:
    """Queue one run of `robot`. The engine hears of it only once it is committed.

    The version is pinned now. `idempotency_key` (per user) makes a repeated request return the run
    of the first one; with other contents it raises KeyReused. Another `priority` than 0 takes the
    permission to give one. `pool` comes in place of the one that the version names.
    """
    _require_run(robot, by)
    if priority:
        require(by, "execution.set_priority", space=robot.space)
        _check_priority(priority)
    digest = _digest_of(robot, version, params, task, timeout_seconds, *([pool] if pool else []))
    key = _checked_key(idempotency_key)
    earlier = _earlier(by, key, digest)
    if earlier is not None:
        return Requested(earlier, created=False)
    pinned = version or _enabled_version(robot)
    manifest = Manifest.from_json(pinned.manifest)
    execution = Execution(
        robot=robot,
        version=pinned,
        space=robot.space,
        requested_by=by.user,
        api_key=by.key,
        origin=origin,
        task=_checked_task(manifest, task),
        params=_checked_params(pinned, {} if params is None else params),
        timeout_seconds=_checked_timeout(
            manifest.timeout if timeout_seconds is None else timeout_seconds
        ),
        rerun_of=rerun_of,
        trace_id=trace_id[:128],
        idempotency_key=key,
        request_digest=digest,
        pending_reason=PendingReason.QUEUED,
    )
    try:
        with writing():
            wanted = lifecycle.Request(manifest, priority=priority, pool=pool)
            lifecycle.enqueue(execution, wanted)
            _require_still_there(robot)
            transaction.on_commit(partial(engine.wake, pool or manifest.pool or DEFAULT_POOL))
    except IntegrityError:
        # Two requests with one key raced, and the constraint let one of them in.
        earlier = _earlier(by, key, digest)
        if earlier is None:
            raise
        return Requested(earlier, created=False)
    return Requested(execution, created=True)


def set_priority(execution: Execution, priority: int, *, by: Actor) -> None:
    """Let a waiting run wait with another priority, -100 to 100: the higher, the earlier. Raises WrongMoment."""
    _check_priority(priority)
    _move_in_queue(
        execution, {"priority": priority}, by, partial(tickets.set_priority, priority=priority)
    )


def run_next(execution: Execution, *, by: Actor) -> None:
    """Let a waiting run be the next one of its lane that starts, whatever waits before it. Raises WrongMoment."""
    _move_in_queue(execution, {"next": True}, by, tickets.put_first)


def _move_in_queue(
    execution: Execution, after: dict[str, Any], by: Actor, deed: Callable[[int], bool]
) -> None:
    with attempt("execution.set_priority", execution, by=by):
        require(by, "execution.set_priority", space=execution.space)
        with recording():
            if not deed(execution.pk):
                raise lifecycle.WrongMoment(_("The execution does not wait any more."))
            note(execution, dict.fromkeys(after), after)
            transaction.on_commit(engine.wake)


def _check_priority(priority: int) -> None:
    if not -MOST_PRIORITY <= priority <= MOST_PRIORITY:
        message = _("A priority is a whole number from -100 to 100.")
        raise Invalid(message, details={"errors": [{"where": "priority", "message": message}]})


def _require_still_there(robot: Robot) -> None:
    """Raise NotFound where the robot or its space was hidden while its run was requested.

    Adding the run has locked the rows that it refers to. Whoever hides one of them either has done so before and
    is seen here, or waits for the end of this transaction and then finds the run to cancel.
    """
    with connection.cursor() as cursor:
        cursor.execute(STILL_THERE, [robot.pk])
        if cursor.fetchone() is None:
            raise NotFound(_("Not found."))


def cancel_execution(execution: Execution, *, by: Actor) -> bool:
    """Ask for the end of a run: True if it has ended already, False while its runner stops it.

    Raises WrongMoment if it had ended before.
    """
    with attempt("execution.cancel", execution, by=by):
        _require_cancel(execution, by)
        with recording():
            before = _facts(execution)
            ended = _cancel(execution, by.user)
            note(execution, before, _facts(execution))
            return ended


def _require_run(robot: Robot, by: Actor) -> None:
    """The audit hears of refusals alone: what was requested is told by the run itself, which stays."""
    with attempt("execution.run", robot, by=by):
        require(by, "execution.run", space=robot.space)


def _require_cancel(execution: Execution, by: Actor) -> None:
    own = execution.requested_by_id == by.user.pk
    if not (own and may(by, "execution.cancel_own", space=execution.space)) and not may(
        by, "execution.cancel_any", space=execution.space
    ):
        require(by, "execution.view", space=execution.space)
        raise Forbidden(
            _("You may cancel only the runs that you requested."),
            details={"permission": "execution.cancel_any"},
        )


def _facts(execution: Execution) -> dict[str, Any]:
    asked = execution.cancel_requested_at
    return {"status": str(execution.status), "cancel_requested_at": asked and asked.isoformat()}


def abandon_execution(execution: Execution) -> bool:
    """As `cancel_execution`, by the platform itself: nobody waits for the run any more."""
    return _cancel(execution, None)


def abandon_executions(robot: Robot, **_of_signal: Any) -> None:
    """Ask for the end of every run of a robot that is no longer there."""
    unfinished = Execution.objects.filter(robot=robot, cancel_requested_at=None).unfinished()
    for execution in unfinished.iterator():
        with suppress(lifecycle.WrongMoment):  # it ended meanwhile
            abandon_execution(execution)


def abandon_waiting_executions(spaces: Sequence[int], **_of_signal: Any) -> None:
    """Cancel every run that waits in spaces that are being hidden. What runs there comes to its own end."""
    waiting = Execution.objects.filter(
        space__in=spaces, status=Status.PENDING, cancel_requested_at=None
    )
    for execution in waiting.iterator():
        with suppress(lifecycle.WrongMoment):  # it ended meanwhile
            abandon_execution(execution)


def _cancel(execution: Execution, by: User | None) -> bool:
    ended = lifecycle.request_cancel(execution, by=by, at=timezone.now())
    if not ended:
        transaction.on_commit(partial(engine.cancel, execution.pk))
    execution.refresh_from_db()
    return ended


def rerun_execution(
    execution: Execution,
    *,
    by: Actor,
    origin: Origin,
    params: Mapping[str, Any] | None = None,
    enabled_version: bool = False,
    idempotency_key: str | None = None,
) -> Requested:
    """Request the robot again with the parameters of `execution`, or with `params` in their place.

    It runs the version that ran, so that the same happens again; `enabled_version` asks for the one
    that is enabled now. A robot at rest is not run again.
    """
    robot = execution.robot
    _require_run(robot, by)
    enabled = _enabled_version(robot)
    same = not enabled_version or execution.version_id == enabled.pk
    return request_execution(
        robot=robot,
        by=by,
        origin=origin,
        params=execution.params if params is None else params,
        version=execution.version if same else None,
        task=execution.task if same else task_in(enabled, execution),
        timeout_seconds=execution.timeout_seconds,
        idempotency_key=idempotency_key,
        rerun_of=execution,
    )


def task_in(version: RobotVersion, execution: Execution) -> str:
    """The task of `version` that continues what `execution` ran; empty is the version's only one.

    Where a robot had a single task, its name was nobody's choice, and a later version may change it.
    """
    single = len(execution.version.manifest["tasks"]) == 1
    names = [task["name"] for task in version.manifest["tasks"]]
    return "" if single and execution.task not in names else execution.task


def _enabled_version(robot: Robot) -> RobotVersion:
    if robot.enabled_version is None:
        raise NoVersion(
            _("%(robot)s has no enabled version. Publish one, or enable an older one.")
            % {"robot": robot.name}
        )
    return robot.enabled_version


def _digest_of(robot: Robot, version: RobotVersion | None, *request: Any) -> str:
    wanted = [robot.pk, version.pk if version else None, *request]
    try:
        text = json.dumps(wanted, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        raise _invalid_params([{"where": "params", "message": str(error)}]) from None
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _earlier(by: Actor, key: str | None, digest: str) -> Execution | None:
    if key is None:
        return None
    earlier = Execution.objects.filter(requested_by=by.user, idempotency_key=key).first()
    if earlier is not None and earlier.request_digest != digest:
        raise KeyReused(
            _("This idempotency key was used for another request. Use a new one for each request.")
        )
    return earlier


def _checked_params(version: RobotVersion, params: Mapping[str, Any]) -> dict[str, Any]:
    try:
        value = clean(params)
    except BadJson as error:
        raise _invalid_params([{"where": "params", "message": str(error)}]) from None
    if len(json.dumps(value)) > MAX_PARAMS_BYTES:
        message = _("At most %(limit)d bytes.") % {"limit": MAX_PARAMS_BYTES}
        raise _invalid_params([{"where": "params", "message": message}])
    schema = version.parameters or None
    if isinstance(value, dict):
        value = with_defaults(schema, value)
    found = problems(schema, value)
    if found:
        raise _invalid_params(
            [
                {"where": f"params.{each.path}" if each.path else "params", "message": each.message}
                for each in found[:20]
            ]
        )
    return dict(value)


def _invalid_params(errors: list[dict[str, str]]) -> Invalid:
    where = errors[0]["where"].removeprefix("params.")
    return Invalid(
        _("The parameters do not fit: %(where)s: %(message)s")
        % {"where": where, "message": errors[0]["message"]},
        code="invalid_params",
        details={"errors": errors},
    )


def _checked_task(manifest: Manifest, task: str) -> str:
    try:
        return manifest.task(task or None)
    except TaskNotFound as error:
        raise Invalid(
            str(error),
            code="unknown_task",
            details={"errors": [{"where": "task", "message": str(error)}]},
        ) from None


def _checked_timeout(seconds: int | None) -> int:
    if seconds is None:
        return int(settings.RPA_RUN_TIMEOUT)
    if not 1 <= seconds <= 24 * 3600:
        message = _("A time limit is 1 to 86400 seconds.")
        raise Invalid(message, details={"errors": [{"where": "timeout", "message": message}]})
    return seconds


def _checked_key(key: str | None) -> str | None:
    if key is None or key == "":
        return None
    if len(key) > 255 or not key.isprintable():
        message = _("An idempotency key has at most 255 printable characters.")
        raise Invalid(
            message, details={"errors": [{"where": "Idempotency-Key", "message": message}]}
        )
    if key.isascii() and key == key.strip().lower():
        return key
    # Databases may take capitals for small letters, and then two keys for one; not so with hashes.
    return "sha256:" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
