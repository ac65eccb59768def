"""Rings at the fleet's door from a thread of its own: whoever requests a run never waits for a broker."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping

logger = logging.getLogger(__name__)

#: Of one pool, this many rings are passed on at once: those who hear them go on until nothing waits.
MOST_AT_ONCE = 64
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 5.0
#: How long the end of a process waits for its last rings.
_CLOSE_SECONDS = 2.0


class Bell:
    """Passes rings on to `publish`, several at once where they come faster than it takes them.

    Where it fails, it is left alone for a while, each time longer; what rings meanwhile is one ring
    a pool. Nothing is lost by that but time: whoever carries out runs looks for them as well.
    """

    def __init__(self, publish: Callable[[Mapping[str, int]], None]) -> None:
        self._publish = publish
        self._rings: Counter[str] = Counter()
        self._some = threading.Condition()
        self._closed = False
        self._failing = False
        self._thread: threading.Thread | None = None

    def ring(self, pool: str) -> None:
        """Something may wait in this pool. Returns at once."""
        with self._some:
            most = 1 if self._failing else MOST_AT_ONCE
            self._rings[pool] = min(self._rings[pool] + 1, most)
            self._some.notify()
            if self._thread is None:  # most processes never ring
                self._thread = threading.Thread(target=self._run, name="bell", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Pass on what has rung and stop, unless that takes too long."""
        with self._some:
            self._closed = True
            self._some.notify()
        if self._thread is not None:
            self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            with self._some:
                self._some.wait_for(lambda: self._rings or self._closed)
                rings, self._rings = self._rings, Counter()
            if rings:
                try:
                    self._publish(rings)
                    self._failing, pause = False, _FIRST_PAUSE
                # A broker's client raises errors of many kinds, and none of them is the requester's.
                except Exception as error:  # noqa: BLE001
                    if not self._failing:
                        logger.warning("The broker takes no rings, runs start later: %s", error)
                    self._failing = True
            with self._some:
                if self._closed:
                    return
                if self._failing:
                    self._some.wait_for(lambda: self._closed, timeout=pause)
                    pause = min(pause * 2, _LONGEST_PAUSE)
