"""One thread that looks at the running robots for what the kernel only reports or does not know."""

import logging
import threading
from typing import Protocol

logger = logging.getLogger(__name__)

_INTERVAL = 0.1


class Watched(Protocol):
    """What the watchdog needs of a run."""

    def check(self) -> bool:
        """Enforce the limits; False when there is nothing to watch any more."""


class Watchdog:
    """Checks every watched run ten times a second. Its thread exists only while there are any."""

    def __init__(self) -> None:
        """Watch nothing."""
        self._changed = threading.Condition()
        self._watched: set[Watched] = set()
        self._thread: threading.Thread | None = None

    def watch(self, run: Watched) -> None:
        """Check `run` from now on until it is over."""
        with self._changed:
            self._watched.add(run)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="sandbox-watchdog", daemon=True
                )
                self._thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait(_INTERVAL)
                if not self._watched:
                    self._thread = None
                    return
                watched = tuple(self._watched)
            over = {run for run in watched if not self._check(run)}
            with self._changed:
                self._watched -= over

    def _check(self, run: Watched) -> bool:
        try:
            return run.check()
        except (OSError, ValueError):
            # The next look may succeed; the limits that the kernel enforces hold meanwhile.
            logger.exception("A run could not be checked against its limits.")
            return True
