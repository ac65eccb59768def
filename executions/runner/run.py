"""One run, from the claim to its terminal event."""

import errno
import logging
import os
import shutil
import signal
import threading
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from django.conf import settings
from django.db import Error

from accounts.refusals import Unavailable
from executions import lifecycle
from executions.choices import FailureReason, PendingReason, Status
from executions.environments import EnvironmentFailed, EnvironmentStopped
from executions.events import StreamRefused
from executions.lifecycle import Ending, WrongMoment
from executions.models import Execution
from executions.robot_env import (
    SUPPORT,
    interpreter,
    robot_environment,
    run_files,
    workspace_files,
    workspace_folders,
)
from executions.runner.artifacts import (
    Brought,
    artifact_result,
    keep_artifacts,
    last_line_result,
    working_result,
)
from executions.runner.context import RunnerContext
from executions.runner.pump import Cause, Pump, Seen
from executions.runner.writer import StreamWriter
from executions.sandbox import (
    LIMITS,
    Outcome,
    Profile,
    SandboxUnavailable,
    Spec,
)
from executions.sandbox.workspace import Workspace, open_workspace
from resources.storage import Patience
from robots.manifest import Manifest
from robots.models import RobotVersion
from robots.refusals import PackageRefused

logger = logging.getLogger(__name__)


#: How a run ended whose robot never started.
NOTHING = Outcome(
    exit_code=None,
    signal=None,
    oom=False,
    cpu_limited=False,
    started=False,
    cpu_seconds=None,
    memory_peak=None,
)


class Stopped(Exception):
    """The run was asked to end before its robot had started."""


class Run:
    """Carries out one claimed execution in the calling thread, which must live as long as the robot."""

    _manifest: Manifest
    _brought: Brought

    def __init__(self, execution: Execution, token: str, slot: int, context: RunnerContext) -> None:
        self.execution = execution
        self.slot = slot
        self._context = context
        self._writer = StreamWriter(
            execution.pk, token, log_limit=settings.RPA_LOG_LIMIT_MIB * 2**20
        )
        self._asked: Cause | None = None
        self._asked_at = 0.0
        self._lock = threading.Lock()
        self._woken = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def stop(self, cause: Cause) -> None:
        """Ask the run to end, from any thread; the first cause counts."""
        with self._lock:
            if self._woken < 0:
                return
            if self._asked is None:
                self._asked, self._asked_at = cause, time.monotonic()
            os.eventfd_write(self._woken, 1)

    def carry_out(self) -> None:
        """Run the robot and end the stream. Raises nothing: what goes wrong ends the run with a reason.

        Where even that goes wrong, its runner finds it among those that it has and does not carry out, and settles it.
        """
        try:
            ending = self._ending()
            if ending is None:
                self._writer.flush()
                lifecycle.release(self.execution)
            else:
                self._writer.finish(ending)
        except (StreamRefused, WrongMoment) as error:
            # Somebody else ended it or took it over; the sandbox is gone by now, and so is our right to write.
            logger.info("Execution %s: %s", self.execution.pk, error)
        except Error:
            logger.exception("Execution %s: the database is away", self.execution.pk)
        except Exception:
            logger.exception("Execution %s could not be ended", self.execution.pk)
        finally:
            with self._lock:
                os.close(self._woken)
                self._woken = -1

    def _ending(self) -> Ending | None:
        """How the run ended; None if it goes back to the queue, its robot not having started."""
        try:
            with ExitStack() as stack:
                return self._run(stack)
        except Stopped:
            if self._asked is Cause.SHUTDOWN:
                return None
            return self._stopped(self._asked, NOTHING)
        except EnvironmentFailed as error:
            return Ending(Status.FAILED, FailureReason.ENVIRONMENT, str(error)[:2000])
        except SandboxUnavailable as error:
            return Ending(Status.FAILED, FailureReason.INFRASTRUCTURE, str(error)[:2000])
        except PackageRefused as error:
            return Ending(Status.FAILED, FailureReason.INFRASTRUCTURE, str(error)[:2000])
        except OSError as error:
            if error.errno == errno.ENOSPC:
                message = "The package does not fit into the workspace of a run."
                return Ending(Status.FAILED, FailureReason.QUOTA, message)
            logger.exception("Execution %s could not be run", self.execution.pk)
            message = f"The platform could not run it: {error.strerror or error}."
            return Ending(Status.FAILED, FailureReason.INFRASTRUCTURE, message)

        except (StreamRefused, WrongMoment, Error):
            raise
        except Exception:
            # A fault of ours must not leave a run that never ends.
            logger.exception("Execution %s could not be run", self.execution.pk)
            message = "The platform could not run it; the server's log says why."
            return Ending(Status.FAILED, FailureReason.INFRASTRUCTURE, message)

    def _run(self, stack: ExitStack) -> Ending:
        version = self._context.version(self.execution.version_id)
        self._manifest = Manifest.from_json(version.manifest)
        package = self._package(version)
        environment = self._environment()
        limits = LIMITS[Profile(self._manifest.profile)]
        if self._manifest.memory:
            limits = replace(limits, memory=self._manifest.memory * 2**20)
        workspace = open_workspace(
            self._context.workspaces,
            self.slot,
            self._context.sandbox.uid(self.slot),
            limits.workspace,
            limits.inodes,
        )
        stack.callback(workspace.destroy)
        self._fill(workspace, package)
        spec = Spec(
            command=("unset",),
            workspace=workspace.path,
            slot=self.slot,
            env=robot_environment(
                self._manifest,
                execution_id=str(self.execution.uid),
                has_environment=environment is not None,
            ),
            profile=Profile(self._manifest.profile),
            limits=limits,
            environment=environment,
            package=package,
            support=SUPPORT,
            files=run_files(self.execution.params),
        )
        if self._asked is not None:
            raise Stopped
        self._writer.commit(1, lambda source: lifecycle.start(self.execution, source))
        return self._commands(spec, workspace)

    def _commands(self, spec: Spec, workspace: Workspace) -> Ending:
        """The preparing scripts and then the task; the first that fails is the last."""
        deadline = time.monotonic() + self.execution.timeout_seconds
        python = interpreter(has_environment=spec.environment is not None)
        seen, outcome = Seen(), NOTHING
        cause: Cause | None = None
        for command in self._manifest.commands(self.execution.task, python=python):
            with closing(self._context.sandbox.start(replace(spec, command=command))) as process:
                pump = Pump(
                    process, self._writer, seen, woken=self._woken, asked=lambda: self._asked
                )
                cause = pump.run(
                    deadline=deadline, grace=settings.RPA_CANCEL_GRACE, workspace=workspace
                )
                outcome = process.outcome()
            if cause is not None or outcome.exit_code != 0:
                break
        return self._judged(cause, outcome, seen, workspace)

    def _judged(
        self, cause: Cause | None, outcome: Outcome, seen: Seen, workspace: Workspace
    ) -> Ending:
        if cause is Cause.FENCED:
            raise StreamRefused("Another writer owns the stream.")
        patience = Patience(over=lambda: self._left_alone(cause))
        folder = self._manifest.artifacts
        keep_artifacts(
            self.execution, workspace.path, folder, self._brought, self._writer, patience
        )
        self._take_result(seen, workspace)
        if cause is not None:
            return self._stopped(cause, outcome)
        status, reason, message = verdict(outcome, seen, workspace)
        return _ending(status, reason, message, outcome)

    def _take_result(self, seen: Seen, workspace: Workspace) -> None:
        """The SDK's newest, which is in the stream unless it was large; else the `::result` line, else result.json."""
        in_artifacts = partial(
            artifact_result,
            workspace.path,
            self._manifest.artifacts,
            self._brought,
            self._writer,
        )
        match seen.result:
            case "message":
                return
            case "file":
                draft = in_artifacts()
            case None:
                draft = (
                    last_line_result(seen.last_line, self._writer)
                    or working_result(workspace.path, self._brought, self._writer)
                    or in_artifacts()
                )
        if draft is not None:
            self._writer.add_event(draft)

    def _stopped(self, cause: Cause | None, outcome: Outcome) -> Ending:
        match cause:
            case Cause.TIMEOUT:
                message = f"It ran longer than {self.execution.timeout_seconds} seconds."
                return _ending(Status.FAILED, FailureReason.TIMEOUT, message, outcome)
            case Cause.SHUTDOWN:
                message = "The runner was stopped while it ran."
                return _ending(Status.FAILED, FailureReason.LOST, message, outcome)
            case Cause.QUOTA:
                message = "It filled its workspace beyond the limit."
                return _ending(Status.FAILED, FailureReason.QUOTA, message, outcome)
        self.execution.refresh_from_db(fields=["cancel_requested_by"])
        by = self.execution.cancel_requested_by
        return _ending(Status.CANCELLED, None, f"Cancelled by {by}." if by else "", outcome)

    def _package(self, version: RobotVersion) -> Path:
        def asked() -> bool:
            return self._asked is not None

        if asked():
            raise Stopped
        try:
            return self._context.unpacked(version, Patience(over=asked))
        except Unavailable:
            if asked():
                raise Stopped from None
            raise

    def _left_alone(self, cause: Cause | None) -> bool:
        """Whether what the robot has left, whose end had this `cause`, is not worth waiting for any more.

        Where the runner stops, and nothing but this is left to do, for as long as a robot would have had.
        """
        if self._asked is Cause.SHUTDOWN and cause is not Cause.SHUTDOWN:
            return time.monotonic() > self._asked_at + settings.RPA_CANCEL_GRACE
        return self._asked is not None

    def _environment(self) -> Path | None:
        spec = self._manifest.environment
        if spec is None:
            return None
        try:
            built = self._context.environments.ensure(
                spec,
                on_line=self._setup_line,
                should_stop=self._asked_to_stop,
                slot=self.slot,
            )
        except EnvironmentStopped:
            raise Stopped from None
        if self._asked is not None:
            raise Stopped
        return built.path

    def _setup_line(self, line: str) -> None:
        if self.execution.pending_reason != PendingReason.ENVIRONMENT:
            self.execution.pending_reason = PendingReason.ENVIRONMENT
            self._writer.commit(
                1,
                lambda source: lifecycle.explain_wait(
                    self.execution, PendingReason.ENVIRONMENT, source
                ),
            )
        self._writer.say(line, stream="setup")
        self._writer.flush_if_due()

    def _asked_to_stop(self) -> bool:
        self._writer.flush_if_due()
        return self._asked is not None

    def _fill(self, workspace: Workspace, package: Path) -> None:
        """A private writable copy of the package, owned by the robot's user."""
        shutil.copytree(package, workspace.path, dirs_exist_ok=True, copy_function=_copy)
        for name in workspace_folders(self._manifest):
            (workspace.path / name).mkdir(parents=True, exist_ok=True)
        for name, content in workspace_files(self.execution.params).items():
            target = workspace.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        self._brought = Brought.into(workspace.path, self._manifest.artifacts)
        uid = self._context.sandbox.uid(self.slot)
        if uid == os.getuid():
            return
        for folder, folders, names in os.walk(workspace.path):
            for name in (*folders, *names):
                os.chown(f"{folder}/{name}", uid, uid, follow_symlinks=False)


def _copy(source: str, target: str) -> None:
    """What may be carried out stays so; the package is read-only, and its copy is not."""
    shutil.copyfile(source, target)
    Path(target).chmod(0o600 | Path(source).stat().st_mode & 0o111)


def verdict(
    outcome: Outcome, seen: Seen, workspace: Workspace
) -> tuple[Status, FailureReason | None, str]:
    """What the end of the robot's process means, from the strongest evidence to the weakest."""
    if outcome.oom:
        return Status.FAILED, FailureReason.OUT_OF_MEMORY, "It used more memory than its limit."
    if not outcome.started:
        message = seen.last_error or "The sandbox could not start the robot."
        return Status.FAILED, FailureReason.INFRASTRUCTURE, message
    if outcome.exit_code == 0:
        return Status.COMPLETED, None, ""
    if outcome.cpu_limited:
        return Status.FAILED, FailureReason.QUOTA, "It used more CPU time than its limit."
    if _is_full(workspace):
        message = f"It filled its workspace. {seen.last_error}".strip()
        return Status.FAILED, FailureReason.QUOTA, message
    if outcome.signal is not None:
        name = signal.Signals(outcome.signal).name
        return Status.FAILED, FailureReason.KILLED, f"The robot was killed by {name}."
    message = seen.last_error or f"The robot ended with exit code {outcome.exit_code}."
    return Status.FAILED, FailureReason.ERROR, message


def _is_full(workspace: Workspace) -> bool:
    """Whether next to nothing more fitted in when the robot ended."""
    size, inodes = workspace.usage()
    return size > 0.98 * workspace.size or inodes >= workspace.inodes - 1


def _ending(status: Status, reason: FailureReason | None, message: str, outcome: Outcome) -> Ending:
    return Ending(
        status,
        reason,
        message[:2000],
        outcome.exit_code,
        outcome.cpu_seconds,
        outcome.memory_peak,
    )
