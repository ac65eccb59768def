"""Moves a robot's output into its stream, and ends the robot when it is time."""

import os
import selectors
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal

from executions.choices import EventKind
from executions.events import Draft, StreamRefused
from executions.runner.output import Item, OutputReader, ResultFile
from executions.runner.writer import StreamWriter
from executions.sandbox import Process
from executions.sandbox.workspace import Workspace

_CHUNK = 64 * 1024
#: How often a workspace that no mount bounds is measured.
_MEASURE_SECONDS = 1.0
_DEATH_SECONDS = 10.0


class Cause(Enum):
    """Why the runner, and not the robot, ended a run."""

    CANCEL = auto()
    TIMEOUT = auto()
    SHUTDOWN = auto()
    QUOTA = auto()
    FENCED = auto()


@dataclass
class Seen:
    """What the end of a run needs to know of its output."""

    last_error: str = ""
    #: The last line of standard output, if it gives a result.
    last_line: bytes | None = None
    #: Where the SDK gave its newest result: in a message, in a file, or nowhere yet.
    result: Literal["message", "file"] | None = None

    def note(self, stream: str, item: Item) -> None:
        if isinstance(item, ResultFile):
            self.result = "file"
        elif isinstance(item, Draft):
            if item.kind == EventKind.RESULT:
                self.result = "message"
        elif item.text.strip() or item.result is not None:
            if stream == "stderr":
                self.last_error = item.text.strip()[:500]
            else:
                self.last_line = item.result


class Pump:
    """Reads one process to its end in the calling thread."""

    def __init__(
        self,
        process: Process,
        writer: StreamWriter,
        seen: Seen,
        *,
        woken: int,
        asked: Callable[[], Cause | None],
    ) -> None:
        self._process = process
        self._writer = writer
        self._seen = seen
        self._woken = woken
        self._asked = asked
        self._cause: Cause | None = None
        self._kill_at: float | None = None
        self._readers = {"stdout": OutputReader(), "stderr": OutputReader()}

    def run(self, *, deadline: float, grace: float, workspace: Workspace) -> Cause | None:
        """Return when the whole tree is dead and its output is taken: the cause, if it was not the robot's own end."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ, "stdout")
            selector.register(self._process.stderr, selectors.EVENT_READ, "stderr")
            selector.register(self._woken, selectors.EVENT_READ, "woken")
            open_streams = 2
            measure_at = time.monotonic() + _MEASURE_SECONDS
            while open_streams:
                for key, _events in selector.select(self._patience(deadline)):
                    if key.data == "woken":
                        selector.unregister(self._woken)
                        self._end(self._asked() or Cause.CANCEL, grace)
                    elif not self._read(key.data, key.fd):
                        selector.unregister(key.fd)
                        open_streams -= 1
                now = time.monotonic()
                if now >= deadline:
                    self._end(Cause.TIMEOUT, grace)
                if self._kill_at is not None and now >= self._kill_at:
                    self._process.kill()
                    self._kill_at = None
                if now >= measure_at:
                    measure_at = now + _MEASURE_SECONDS
                    if not workspace.bounded and workspace.is_over():
                        self._end(Cause.QUOTA, 0)
                self._write(self._writer.flush_if_due)
        if not self._process.wait_dead(_DEATH_SECONDS):
            self._process.kill()
            self._process.wait_dead(_DEATH_SECONDS)
        for name, reader in self._readers.items():
            self._take(name, reader.finish())
        return self._cause

    def _patience(self, deadline: float) -> float:
        now = time.monotonic()
        waits = [_MEASURE_SECONDS]
        if self._cause is None:
            waits.append(deadline - now)
        if self._kill_at is not None:
            waits.append(self._kill_at - now)
        due = self._writer.wait()
        if due is not None:
            waits.append(due)
        return max(0.0, min(waits))

    def _read(self, name: str, fd: int) -> bool:
        """Take what there is; False at the end of the stream."""
        with suppress(BlockingIOError):
            chunk = os.read(fd, _CHUNK)
            if not chunk:
                return False
            self._take(name, self._readers[name].feed(chunk))
        return True

    def _take(self, name: str, items: list[Item]) -> None:
        for item in items:
            self._seen.note(name, item)
        shown = [item for item in items if not isinstance(item, ResultFile)]
        self._write(lambda: self._writer.add(name, shown))

    def _write(self, deed: Callable[[], None]) -> None:
        if self._cause is Cause.FENCED:
            return
        try:
            deed()
        except StreamRefused:
            self._end(Cause.FENCED, 0)

    def _end(self, cause: Cause, grace: float) -> None:
        """Ask the robot to stop, and set the moment at which it is killed."""
        if self._cause is not None and cause is not Cause.FENCED:
            return
        self._cause = cause
        if grace > 0:
            self._process.terminate()
        self._kill_at = time.monotonic() + grace
