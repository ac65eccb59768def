"""Batches a robot's output into appends, as its only writer."""

import logging
import time
from collections.abc import Callable

from django.db import Error, connection

from executions import lifecycle
from executions.choices import EventKind
from executions.events import Draft, Source
from executions.runner.output import Line

logger = logging.getLogger(__name__)

WINDOW_SECONDS = 0.1
_MAX_WINDOW = 0.5
_MAX_BYTES = 64 * 1024
_MAX_LINES = 1000
_MAX_EVENTS = 500
#: How long the database may be away before a run is given up.
_PATIENCE_SECONDS = 60.0


class StreamWriter:
    """Collects lines and messages and appends them: at once after a quiet moment, else every 100 ms,
    64 KiB or 1,000 lines. Slow appends stretch the window to half a second.

    Nothing is dropped but lines over the log limit, which a notice counts. An append that the
    database did not answer is repeated; the offsets make the repetition harmless.
    """

    def __init__(self, execution_id: int, token: str, *, log_limit: int) -> None:
        self._execution_id = execution_id
        self._token = token
        self._offset = 0
        self._drafts: list[Draft] = []
        self._stream = ""
        self._lines: list[str] = []
        self._bytes = 0
        self._count = 0
        self._flushed_at = 0.0
        self._window = WINDOW_SECONDS
        self._log_left = log_limit
        self._log_limit = log_limit
        self._dropped_lines = 0
        self._dropped_bytes = 0

    def add(self, stream: str, items: list[Line | Draft]) -> None:
        """Take what was read from `stream` (stdout, stderr, setup, system); it may append at once."""
        for item in items:
            if isinstance(item, Draft):
                self.add_event(item)
            else:
                self._add_line(stream, item.text)
            if self._count >= _MAX_LINES or self._bytes >= _MAX_BYTES:
                self.flush()

    def say(self, text: str, *, stream: str = "system") -> None:
        """A line of the platform's own."""
        self.add(stream, [Line(text)])

    def add_event(self, draft: Draft) -> None:
        self._close_lines()
        self._drafts.append(draft)
        self._bytes += 256
        if len(self._drafts) >= _MAX_EVENTS:
            self.flush()

    def wait(self) -> float | None:
        """Seconds until `flush` is due; None if there is nothing to flush."""
        if not self._drafts and not self._lines:
            return None
        return max(0.0, self._flushed_at + self._window - time.monotonic())

    def flush_if_due(self) -> None:
        if self.wait() == 0.0:
            self.flush()

    def flush(self) -> None:
        """Append everything collected. Raises StreamRefused if this writer may not write any more."""
        drafts = self._take()
        if drafts:
            self.commit(
                len(drafts), lambda source: lifecycle.record(self._execution_id, drafts, source)
            )

    def finish(self, ending: lifecycle.Ending) -> None:
        """Append what is left and the end, together."""
        if self._dropped_lines:
            self.add_event(
                Draft(
                    EventKind.NOTICE,
                    {
                        "code": "log_limited",
                        "message": f"{self._dropped_lines} lines ({self._dropped_bytes} bytes) of "
                        f"output were left out: the limit is {self._log_limit} bytes.",
                        "lines": self._dropped_lines,
                        "bytes": self._dropped_bytes,
                    },
                )
            )
        drafts = self._take()
        # The status event of the end counts as one more.
        self.commit(
            len(drafts) + 1,
            lambda source: lifecycle.finish(
                self._execution_id, ending, drafts=drafts, source=source
            ),
        )

    def commit(self, events: int, deed: Callable[[Source], object]) -> None:
        """Do `deed`, which appends `events` events under the source that it is given, until the
        database has answered. Raises StreamRefused if this writer may not write any more.
        """
        source = Source(self._token, self._offset, self._offset + events)
        began = time.monotonic()
        pause = 0.05
        while True:
            try:
                deed(source)
                break
            except Error as error:
                connection.close()
                if time.monotonic() - began > _PATIENCE_SECONDS:
                    raise
                logger.warning("Append to execution %s failed: %s", self._execution_id, error)
                time.sleep(pause)
                pause = min(pause * 2, 2.0)
        self._offset = source.end
        self._flushed_at = time.monotonic()
        self._window = min(max(WINDOW_SECONDS, 5 * (self._flushed_at - began)), _MAX_WINDOW)

    def _add_line(self, stream: str, text: str) -> None:
        size = len(text) + 1
        if size > self._log_left:
            if not self._dropped_lines:
                self._close_lines()
                self._drafts.append(
                    Draft(
                        EventKind.NOTICE,
                        {
                            "code": "log_limited",
                            "message": f"The output reached its limit of {self._log_limit} bytes: "
                            "what follows is counted, not kept.",
                        },
                    )
                )
            self._log_left = 0
            self._dropped_lines += 1
            self._dropped_bytes += size
            return
        self._log_left -= size
        if stream != self._stream:
            self._close_lines()
            self._stream = stream
        self._lines.append(text)
        self._bytes += size
        self._count += 1

    def _close_lines(self) -> None:
        if self._lines:
            self._drafts.append(
                Draft(EventKind.LOG, {"stream": self._stream}, lines=tuple(self._lines))
            )
            self._lines.clear()

    def _take(self) -> list[Draft]:
        self._close_lines()
        drafts, self._drafts = self._drafts, []
        self._bytes = self._count = 0
        return drafts
