"""Writers as a runner is one: each holds the token of the runs that it writes, and may die at any moment."""

import os
import random
import secrets
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

from accounts.actors import Actor
from accounts.models import User
from benchmarks.soak import script
from benchmarks.soak.judge import Fault
from benchmarks.soak.tally import Tally, surely
from executions import hints, lifecycle, services
from executions.choices import EventKind, Origin, Status
from executions.events import Draft, Fenced, Head, Source, StreamClosed, read_page, writing
from executions.models import Execution, ExecutionStream
from robots.models import Robot

THREADS = 3


class Writers:
    """The writing threads of one process. Its `name` is on their runs: a successor finds them by it."""

    def __init__(self, name: str, tally: Tally, seed: int) -> None:
        self.name = name
        self._tally = tally
        self._lock = threading.Lock()
        self._in_hand: set[int] = set()
        self._threads = [
            threading.Thread(target=self._work, args=(random.Random(f"{seed} {number}"),))
            for number in range(THREADS)
        ]
        _lose_hints(random.Random(seed), tally)

    def start(self) -> None:
        for each in self._threads:
            each.daemon = True
            each.start()

    @property
    def done(self) -> bool:
        """Whether all is written and nothing new will be begun."""
        return not any(each.is_alive() for each in self._threads)

    def _work(self, dice: random.Random) -> None:
        try:
            while (run := surely(self._take, self._tally)) is not None:
                Writing(run, self._tally, dice).carry_out()
        except Fenced:
            # As a runner that was taken for dead: end at once, and with it all that it does.
            os._exit(FENCED)
        except Fault as fault:
            self._tally.fault(fault)
        finally:
            connection.close()

    def _take(self) -> Execution | None:
        """A run that a predecessor left, or a new one; None where there is neither."""
        with self._lock:
            mine = Execution.objects.unfinished().filter(trace_id=self.name)
            run = mine.exclude(pk__in=self._in_hand).order_by("pk").first()
            if run is None and not self._tally.ending.is_set():
                robot = Robot.objects.select_related("space__enterprise", "enabled_version").first()
                assert robot is not None
                by = Actor(User.objects.get(username="alice"))
                run = services.request_execution(
                    robot=robot, by=by, origin=Origin.COMMAND, trace_id=self.name
                ).execution
            if run is not None:
                self._in_hand.add(run.pk)
            return run


#: The exit code of a writer that found itself replaced.
FENCED = 17


class Writing:
    """One run, from the claim of its token to its end, or to the end of its writer."""

    def __init__(self, run: Execution, tally: Tally, dice: random.Random) -> None:
        self._run = run
        self._tally = tally
        self._dice = dice
        self._token = secrets.token_hex(16)
        self._offset = 0
        self._acknowledged = _Acknowledged(run.pk)

    def carry_out(self) -> None:
        """Write what is not yet in. Raises Fenced when a successor has taken over."""
        if not surely(self._claim, self._tally):
            return
        try:
            self._write()
        except StreamClosed:
            self._tally.count(cancelled=1)

    def _claim(self) -> bool:
        with writing():
            stream = ExecutionStream.objects.filter(pk=self._run.pk, closed=False)
            return bool(stream.update(writer_token=self._token, src_offset=0))

    def _write(self) -> None:
        uid, total = str(self._run.uid), script.length(str(self._run.uid))
        # Looked at first: whoever is stopped here has a successor, to whom more is acknowledged meanwhile.
        acknowledged = self._acknowledged.drafts
        written = surely(partial(_drafts_in, self._run.pk), self._tally)
        if written < acknowledged:
            what = f"Run {self._run.pk}: {acknowledged} drafts were acknowledged, {written} are in."
            raise Fault("gap", what)
        self._run = surely(partial(Execution.objects.get, pk=self._run.pk), self._tally)
        if self._run.status == Status.PENDING:
            self._append(1, lambda source: lifecycle.start(self._run, source))
        while written < total and not self._tally.ending.is_set():
            count = min(self._dice.choice((1, 1, 2, 5, 20, 40)), total - written)
            drafts = [script.draft(uid, number) for number in range(written, written + count)]
            self._append(count, partial(lifecycle.record, self._run.pk, drafts))
            written += count
            self._acknowledged.drafts = written
            self._tally.count(appends=1, events=count)
            self._tally.ending.wait(self._dice.choice((0, 0.01, 0.02, 0.05)))
        ending = lifecycle.Ending(Status.COMPLETED, exit_code=0)
        result = Draft(EventKind.RESULT, {"value": written})
        self._append(2, partial(self._finish, ending, [result]))

    def _finish(
        self, ending: lifecycle.Ending, drafts: Sequence[Draft], source: Source
    ) -> Head | None:
        try:
            return lifecycle.finish(self._run.pk, ending, drafts=drafts, source=source)
        except lifecycle.WrongMoment as error:
            raise StreamClosed from error

    def _append(self, count: int, deed: Callable[[Source], Any]) -> None:
        """Do it, and sometimes once more, as if its answer had been lost on the way."""
        source = Source(self._token, self._offset, self._offset + count)
        surely(partial(deed, source), self._tally)
        self._offset += count
        if self._dice.random() < 0.2:
            head = surely(partial(deed, source), self._tally)
            self._tally.count(repeats=1)
            if head is not None and not head.repeated:
                raise Fault("duplicate", f"Run {self._run.pk}: an append went in twice.")


class _Acknowledged:
    """How many drafts of a run were said to be in, kept where a successor finds it."""

    def __init__(self, number: int) -> None:
        self._path = Path(settings.RPA_DATA_DIR) / "acknowledged" / str(number)

    @property
    def drafts(self) -> int:
        return self._path.stat().st_size if self._path.exists() else 0

    @drafts.setter
    def drafts(self, count: int) -> None:
        # Its length is the number: there is no moment at which it is half written.
        self._path.touch()
        os.truncate(self._path, count)


def _drafts_in(number: int) -> int:
    count, after = 0, 0
    while frames := read_page(number, after=after):
        count += sum(frame.kind in ("log", "progress") for frame in frames)
        after = frames[-1].seq
    return count


def _lose_hints(dice: random.Random, tally: Tally) -> None:
    """From now on this process loses 0 to 100 % of a run's hints, and tells some of old heads again."""
    ring = hints.ring
    last: dict[int, Head] = {}

    def lossy(number: int, head: Head) -> None:
        if dice.random() < number % 5 / 4:
            tally.count(hints_lost=1)
            return
        if dice.random() < 0.1 and number in last:
            ring(number, last[number])
        last[number] = head
        ring(number, head)

    hints.ring = lossy
