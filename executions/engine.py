"""The embedded engine: runs robots in threads of this process, for one machine and no services.

One process per data folder has it (a file lock says which); any process may add to the queue, which
is the table of executions. A slot thread lives as long as the engine, because a sandbox dies with
the thread that started it.
"""

import compileall
import fcntl
import logging
import os
import socket
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from django.conf import settings
from django.db import Error, connection
from django.utils import timezone, translation

from executions import lifecycle, reaper, sealing, tickets
from executions.environments import remove_leftovers
from executions.models import Execution, Runner
from executions.robot_env import SUPPORT, SUPPORT_INSIDE
from executions.runner import abilities
from executions.runner.context import RunnerContext
from executions.runner.pump import Cause
from executions.runner.run import Run
from executions.sandbox.workspace import reclaim
from executions.sweeper import Sweeper

logger = logging.getLogger(__name__)

#: How often requests and cancels of other processes are looked for; those of this one ring.
_LOOK_SECONDS = 0.5
_SEAL_SECONDS = 2.0
_SWEEP_SECONDS = 1.0
#: What a stopped run may need beyond its robot's grace, to be killed and written down.
_END_SECONDS = 15.0


class EngineBusy(Exception):
    """Another process has the engine of this data folder."""


class EmbeddedEngine:
    """Slot threads that claim and carry out runs, and one keeper that beats, reaps and looks around.

    With `only`, it carries out that one execution and leaves all others alone.
    """

    def __init__(self, slots: int, only: int | None = None) -> None:
        self.slots = slots
        self._only = only
        self._stopping = threading.Event()
        self._draining = threading.Event()
        self._wanted = threading.Semaphore(0)
        self._claiming = threading.Lock()
        self._runs: dict[int, Run] = {}
        self._threads: list[threading.Thread] = []
        self._owned = ExitStack()
        self.runner: Runner | None = None

    def start(self) -> None:
        """Take the data folder's engine, clear what a killed one left, and begin. Raises EngineBusy."""
        data_dir = Path(settings.RPA_DATA_DIR)
        with ExitStack() as owned:
            _lock(data_dir / "engine.lock", owned)
            context = RunnerContext.make()
            owned.callback(context.sandbox.close)
            _clear(context)
            # Whoever held the lock before us is gone, and with it every run of its own.
            reaper.bury(Runner.objects.filter(stopped_at=None, host=_here(data_dir)))
            self._register(context)
            self._owned = owned.pop_all()
        for slot in range(self.slots):
            self._spawn(f"slot-{slot}", lambda slot=slot: self._work(slot, context))
        self._spawn("engine-keeper", lambda: self._keep(context))
        self._spawn("engine-sealer", self._seal)
        self.wake()

    def stop(self) -> None:
        """End the runs in hand as stopped: asked first, killed after their grace. May be called twice."""
        self._stopping.set()
        for run in list(self._runs.values()):
            run.stop(Cause.SHUTDOWN)
        for _thread in self._threads:
            self._wanted.release()
        deadline = time.monotonic() + settings.RPA_CANCEL_GRACE + _END_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._threads.clear()
        with self._owned:  # whatever still runs is killed with the sandbox; the lock goes last
            if self.runner is not None:
                Runner.objects.filter(pk=self.runner.pk).update(stopped_at=timezone.now())
                self.runner = None

    def drain(self) -> None:
        """Take no more runs; those in hand go on."""
        self._draining.set()
        if self.runner is not None:
            with suppress(Error):  # the keeper says it with the next heartbeat
                Runner.objects.filter(pk=self.runner.pk, draining_at=None).update(
                    draining_at=timezone.now()
                )

    @property
    def drained(self) -> bool:
        """Whether it was told to drain, by whomever, and has no run left."""
        with self._claiming:
            return self._draining.is_set() and not self._runs

    def wake(self) -> None:
        """There may be something to claim: let one idle slot look."""
        self._wanted.release()

    def cancel(self, execution_id: int) -> None:
        """Stop a run of this engine; one that is not here is nobody's business."""
        run = self._runs.get(execution_id)
        if run is not None:
            run.stop(Cause.CANCEL)

    def _spawn(self, name: str, target: object) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)  # type: ignore[arg-type]
        thread.start()
        self._threads.append(thread)

    def _register(self, context: RunnerContext) -> None:
        self.runner = Runner.objects.create(
            host=_here(context.data_dir),
            pid=os.getpid(),
            slots=self.slots,
            pool=abilities.own_pool(),
            labels=abilities.own_labels(),
            version=settings.RPA_VERSION,
            tier=context.sandbox.probe().tier,
        )

    def _work(self, slot: int, context: RunnerContext) -> None:
        translation.deactivate_all()  # what a stream says is data: the same for every reader
        while True:
            self._wanted.acquire()
            while not self._stopping.is_set():
                try:
                    if not self._run_next(slot, context):
                        break
                except Error as error:
                    logger.warning("Slot %s: the database does not answer: %s", slot, error)
                    connection.close()
                    break
            if self._stopping.is_set():
                connection.close()
                return

    def _run_next(self, slot: int, context: RunnerContext) -> bool:
        with self._claiming:
            if self.runner is None or self._draining.is_set():
                return False
            claimed = lifecycle.claim_next(self.runner, self._only)
            if claimed is None:
                return False
            execution, token = claimed
            run = self._runs[execution.pk] = Run(execution, token, slot, context)
        try:
            if self._stopping.is_set():
                run.stop(Cause.SHUTDOWN)
            run.carry_out()
        finally:
            self._runs.pop(execution.pk, None)
        return True

    def _keep(self, context: RunnerContext) -> None:
        beat_at = sweep_at = 0.0
        sweeper = Sweeper()
        while not self._stopping.wait(_LOOK_SECONDS):
            try:
                if time.monotonic() >= sweep_at:
                    sweep_at = time.monotonic() + _SWEEP_SECONDS
                    sweeper.sweep()
                self._look_around()
                if time.monotonic() >= beat_at:
                    beat_at = time.monotonic() + settings.RPA_HEARTBEAT_SECONDS
                    self._beat(context)
                    reaper.reap()
            except Error as error:
                logger.warning("The database does not answer: %s", error)
                connection.close()
        connection.close()

    def _seal(self) -> None:
        while not self._stopping.wait(_SEAL_SECONDS):
            try:
                sealing.seal_due()
            except Error as error:
                logger.warning("The database does not answer: %s", error)
                connection.close()
        connection.close()

    def _beat(self, context: RunnerContext) -> None:
        if self.runner is None:
            return
        alive = Runner.objects.filter(pk=self.runner.pk, stopped_at=None).update(
            heartbeat_at=timezone.now()
        )
        if not alive:
            # We were taken for dead, and our runs were ended: come back as somebody new.
            for run in list(self._runs.values()):
                run.stop(Cause.FENCED)
            self._register(context)
        elif Runner.objects.filter(pk=self.runner.pk, draining_at__isnull=False).exists():
            self._draining.set()
        elif self._draining.is_set():
            self.drain()

    def _look_around(self) -> None:
        idle = self.slots - len(self._runs)
        if idle > 0 and self.runner is not None:
            for _ticket in tickets.next_for(self.runner, self._only)[:idle]:
                self.wake()
        # Nobody may be between the claim and the list of runs while the two are compared.
        with self._claiming:
            mine = Execution.objects.unfinished().filter(runner=self.runner)
            found = list(mine.only("status", "runner", "cancel_requested_at"))
            lost = [each for each in found if each.pk not in self._runs]
        for execution in found:
            if execution.cancel_requested_at is not None:
                self.cancel(execution.pk)
        for execution in lost:
            reaper.settle(execution, "Its runner lost the database while it ran.")


def _lock(path: Path, owned: ExitStack) -> None:
    """Hold the lock for as long as `owned`. Raises EngineBusy."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    owned.callback(os.close, lock)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise EngineBusy from None


def _clear(context: RunnerContext) -> None:
    """Remove what a killed engine left, and make ready what every run needs."""
    context.workspaces.mkdir(parents=True, exist_ok=True, mode=0o711)
    context.sandbox.reclaim()
    reclaim(context.workspaces)
    remove_leftovers(context.environments.root)
    # Robots cannot write there: the Python of each would compile these modules anew.
    compileall.compile_dir(SUPPORT, ddir=SUPPORT_INSIDE, quiet=2)


def _here(data_dir: Path) -> str:
    return f"{socket.gethostname()}:{data_dir}"[:255]


_engine: EmbeddedEngine | None = None
_waiting: threading.Thread | None = None
_given_up = threading.Event()


def start(slots: int | None = None, *, only: int | None = None) -> EmbeddedEngine:
    """Start this process's engine. Raises EngineBusy if another process has it."""
    global _engine
    if _engine is None:
        engine = EmbeddedEngine(slots or settings.RPA_SLOTS, only)
        engine.start()
        _engine = engine
    return _engine


def start_when_free(slots: int | None = None, *, only: int | None = None) -> None:
    """Start this process's engine now, or as soon as the process that has it has ended."""
    global _waiting
    with suppress(EngineBusy):
        start(slots, only=only)
        return
    logger.info("Another process has the engine of this data folder; waiting for its end.")
    _given_up.clear()
    _waiting = threading.Thread(target=_take_turn, args=(slots, only), name="engine-waiting")
    _waiting.daemon = True
    _waiting.start()


def _take_turn(slots: int | None, only: int | None) -> None:
    while not _given_up.wait(_LOOK_SECONDS):
        try:
            start(slots, only=only)
            break
        except EngineBusy:
            continue
        except Error as error:
            logger.warning("The database does not answer: %s", error)
            connection.close()
    connection.close()


def stop() -> None:
    """Stop this process's engine, if it has one, and wait for none any more."""
    global _engine, _waiting
    _given_up.set()
    if _waiting is not None:
        _waiting.join()
        _waiting = None
    if _engine is not None:
        with suppress(Error):
            _engine.stop()
        _engine = None


def wake() -> None:
    """Tell this process's engine, if it has one, that a run waits; another's finds it by looking."""
    if _engine is not None:
        _engine.wake()


def cancel(execution_id: int) -> None:
    """Tell this process's engine, if it has one, to stop a run; another's finds it by looking."""
    if _engine is not None:
        _engine.cancel(execution_id)
