"""What every engine shares: a process that holds a data folder, is a runner, and carries out runs.

Who says "carry out what waits", and in which threads, is the engine's. A runner lives by its
heartbeat, in the database's time; one that was taken for dead comes back as somebody new.
"""

import compileall
import fcntl
import logging
import math
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from uuid import UUID, uuid4

from django.conf import settings
from django.db import Error, connection
from django.db.models import QuerySet
from django.utils import translation

from executions import clock, lifecycle, reaper, sealing, tickets
from executions.choices import TicketState
from executions.engine.patience import hurry
from executions.environments import remove_leftovers
from executions.models import Execution, Runner, Ticket
from executions.robot_env import SUPPORT, SUPPORT_INSIDE
from executions.runner import abilities
from executions.runner.context import RunnerContext
from executions.runner.pump import Cause
from executions.runner.run import Run
from executions.sandbox.workspace import reclaim
from executions.sweeper import Sweeper

logger = logging.getLogger(__name__)

#: How often requests and cancels of other processes are looked for; those of this one ring.
LOOK_SECONDS = 0.5
_SEAL_SECONDS = 2.0
_SWEEP_SECONDS = 1.0
_REAP_SECONDS = 1.0
#: What a stopped run may need beyond its robot's grace, to be killed and written down.
_END_SECONDS = 15.0


class EngineBusy(Exception):
    """Another process has the engine of this data folder."""


class RunnerHost:
    """Claims and carries out runs in the threads that call `work`, in at most `slots` of them.

    Threads of its own beat, look for runs and cancels of other processes, reap, sweep and seal, each for itself: what
    makes one of them wait delays none of the others. Where they find that a run waits and a slot is idle, they
    call `wake`, which has another thread call `work`.
    With `only`, it carries out that one execution and leaves all others alone.
    """

    def __init__(self, slots: int, wake: Callable[[], None], only: int | None = None) -> None:
        self.slots = slots
        self.runner: Runner | None = None
        self._wake = wake
        self._only = only
        self._context: RunnerContext
        self._lock_file = -1
        self._stopping = threading.Event()
        self._draining = threading.Event()
        self._claiming = threading.Lock()
        self._runs: dict[int, Run] = {}
        self._threads: list[threading.Thread] = []
        self._owned = ExitStack()
        #: By our ticks: until when nobody can have taken us for dead, and from when we may take others for it.
        self._leased_until = 0.0
        self._reaps_from = math.inf

    def start(self) -> None:
        """Take the data folder, clear what a killed one left, and become a runner. Raises EngineBusy."""
        data_dir = Path(settings.RPA_DATA_DIR)
        with ExitStack() as owned:
            self._lock_file = _lock(data_dir / "engine.lock", owned)
            self._context = RunnerContext.make()
            owned.callback(self._context.sandbox.close)
            _clear(self._context)
            # Whoever held the lock before us is gone, and with it every run of its own. By a name it would be somebody
            # else's as well: machines may be copies of each other.
            reaper.bury(Runner.objects.filter(stopped_at=None, uid__in=_holders(self._lock_file)))
            self._register()
            self._owned = owned.pop_all()
        self._spawn("engine-heart", self._beat, settings.RPA_HEARTBEAT_SECONDS)
        self._spawn("engine-keeper", self._look_around, LOOK_SECONDS)
        self._spawn("engine-reaper", self._reap, _REAP_SECONDS)
        self._spawn("engine-sweeper", Sweeper().sweep, _SWEEP_SECONDS)
        self._spawn("engine-sealer", sealing.seal_due, _SEAL_SECONDS)

    def halt(self) -> None:
        """Begin to stop: whoever is at `work` ends its run as stopped, and returns. May be called twice."""
        self._stopping.set()
        for run in list(self._runs.values()):
            run.stop(Cause.SHUTDOWN)

    def close(self, threads: list[threading.Thread]) -> None:
        """After `halt`: wait for `threads`, which work here, and give the data folder back."""
        deadline = time.monotonic() + settings.RPA_CANCEL_GRACE + _END_SECONDS
        for thread in (*threads, *self._threads):
            thread.join(max(0.0, deadline - time.monotonic()))
        self._threads.clear()
        with self._owned:  # whatever still runs is killed with the sandbox; the lock goes last
            if self.runner is not None:
                Runner.objects.filter(pk=self.runner.pk).update(stopped_at=clock.now())
                self.runner = None
            self._lock_file = -1  # its number may soon be another file's

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    @property
    def idle(self) -> int:
        """How many more runs it could take at once."""
        return 0 if self._draining.is_set() else self.slots - len(self._runs)

    def drain(self) -> None:
        """Take no more runs; those in hand go on."""
        self._draining.set()
        if self.runner is not None:
            with suppress(Error):  # the heart says it with the next beat
                Runner.objects.filter(pk=self.runner.pk, draining_at=None).update(
                    draining_at=clock.now()
                )

    @property
    def drained(self) -> bool:
        """Whether it was told to drain, by whomever, and has no run left."""
        with self._claiming:
            return self._draining.is_set() and not self._runs

    def cancel(self, execution_id: int) -> None:
        """Stop a run that is in hand here; one that is not is nobody's business."""
        run = self._runs.get(execution_id)
        if run is not None:
            run.stop(Cause.CANCEL)

    def work(self) -> None:
        """Carry out one waiting run after the other in the calling thread, until none waits or no slot is idle."""
        translation.deactivate_all()  # what a stream says is data: the same for every reader
        hurry()
        try:
            while not self._stopping.is_set() and self._carry_out_next():
                pass
        except Error as error:
            logger.warning("No run can be claimed: the database does not answer: %s", error)
            connection.close()
        except Exception:
            logger.exception("No run can be claimed; the next one who looks tries again.")

    def _carry_out_next(self) -> bool:
        with self._claiming:
            if self.runner is None or not self.idle or self._overdue():
                return False
            claimed = lifecycle.claim_next(self.runner, self._only)
            if claimed is None:
                return False
            execution, token = claimed
            slot = min(set(range(self.slots)) - {each.slot for each in list(self._runs.values())})
            run = self._runs[execution.pk] = Run(execution, token, slot, self._context)
        try:
            if self._stopping.is_set():
                run.stop(Cause.SHUTDOWN)
            run.carry_out()
        finally:
            self._runs.pop(execution.pk)
        return True

    def _overdue(self) -> bool:
        """Whether we may have been taken for dead: a run that we claimed now would be settled under our hands."""
        return clock.ticks() > self._leased_until

    def _spawn(self, name: str, deed: Callable[[], object], pause: float) -> None:
        """Do it again and again in a thread, for as long as we live and whatever goes wrong in it."""

        def again() -> None:
            hurry()
            soon = pause
            while not self._stopping.wait(soon):
                soon = pause
                try:
                    deed()
                except Error as error:
                    logger.warning("%s: the database does not answer: %s", name, error)
                    connection.close()
                    soon = min(pause, LOOK_SECONDS)
                except Exception:
                    # A fault of ours. Without this thread nothing that it does would be done any more.
                    logger.exception("%s failed, and tries again.", name)
            connection.close()

        thread = threading.Thread(target=again, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _register(self) -> None:
        now = clock.measure()
        uid = uuid4()
        # Before anybody knows us: whoever comes after us must know whom to bury.
        _sign(self._lock_file, uid)
        self.runner = Runner.objects.create(
            uid=uid,
            host=_here(self._context.data_dir),
            pid=os.getpid(),
            slots=self.slots,
            pool=abilities.own_pool(),
            labels=abilities.own_labels(),
            version=settings.RPA_VERSION,
            tier=self._context.sandbox.probe().tier,
            started_at=now,
            heartbeat_at=now,
        )
        self._leased()

    def _leased(self) -> None:
        """We have just beaten. Where we could not before, nobody could, and the others have yet to."""
        lease = 2 * settings.RPA_HEARTBEAT_SECONDS
        now = clock.ticks()
        if now > self._leased_until or self._reaps_from == math.inf:
            self._reaps_from = now + lease
        self._leased_until = now + lease

    def _beat(self) -> None:
        try:
            alive = self._say_that_we_live()
        except Error:
            self._reaps_from = math.inf
            raise
        if not alive:
            # We were taken for dead, and our runs were ended: come back as somebody new.
            with self._claiming:
                for run in list(self._runs.values()):
                    run.stop(Cause.FENCED)
                self._register()

    def _say_that_we_live(self) -> bool:
        """False where we were taken for dead."""
        if self.runner is None:
            return True  # we are just saying goodbye
        us = Runner.objects.filter(pk=self.runner.pk, stopped_at=None)
        if not us.update(heartbeat_at=clock.measure()):
            return False
        self._leased()
        if us.exclude(draining_at=None).exists():
            self._draining.set()
        elif self._draining.is_set():
            self.drain()
        return True

    def _look_around(self) -> None:
        """Hear requests and cancels of other processes. It waits for nobody who claims."""
        runner, idle = self.runner, self.idle
        if runner is None:
            return
        if idle > 0:
            for _ticket in tickets.next_for(runner, self._only)[:idle]:
                self._wake()
        unwanted = _in_hand(runner).filter(execution__cancel_requested_at__isnull=False)
        for number in list(unwanted.values_list("pk", flat=True)):
            self.cancel(number)

    def _reap(self) -> None:
        if clock.ticks() >= self._reaps_from and not self._overdue():
            reaper.reap()
        # Nobody may be between the claim and the list of runs while the two are compared.
        with self._claiming:
            if self.runner is None:
                return
            mine = list(_in_hand(self.runner).values_list("pk", flat=True))
            lost = [number for number in mine if number not in self._runs]
        for execution in Execution.objects.filter(pk__in=lost):
            reaper.settle(execution, "Its runner could not write down its end.")


def _in_hand(runner: Runner) -> QuerySet[Ticket]:
    """The tickets of what it has claimed, by the leases: its history is long, and its slots are few."""
    return Ticket.objects.filter(runner=runner, state=TicketState.LEASED)


def _lock(path: Path, owned: ExitStack) -> int:
    """Hold the lock for as long as `owned`, and return its file. Raises EngineBusy."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    owned.callback(os.close, lock)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise EngineBusy from None
    return lock


def _holders(lock: int) -> list[UUID]:
    """The runner that held the lock last, if it is known. One that is not is found dead by its silence."""
    try:
        return [UUID(os.pread(lock, 64, 0).decode())]
    except ValueError:
        return []


def _sign(lock: int, runner: UUID) -> None:
    os.pwrite(lock, str(runner).encode(), 0)
    os.fsync(lock)


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
