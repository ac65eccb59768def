"""Shows the tasks of robocorp.tasks, and the functions that they call, as steps while they run.

robocorp.log gives its stream of events to whoever asks, secrets already hidden. Only names are read from it.
"""

from __future__ import annotations

import json
from typing import Any

from rpa_own import rpa

MAX_DEPTH = 5
MAX_FUNCTIONS = 1000

# The library's own phases around the robot's tasks.
_PHASES = {"Collect tasks", "Teardown tasks"}
_MAX_REMEMBERED = 100_000


class _Steps:
    """Reads the event stream: a letter group, a space, fields. Names come once and are then referred to by an id."""

    def __init__(self) -> None:
        self.words: dict[str, str] = {}
        self.places: dict[str, str] = {}
        self.open: list[tuple[str, str, str, str | None] | None] = []
        self.depth = 0
        self.functions = 0
        self.task = ""

    def write(self, line: str) -> None:
        try:
            letters, _space, rest = line.strip().partition(" ")
            handler = getattr(self, "on_" + letters, None)
            if handler:
                handler(rest)
        except Exception:  # noqa: BLE001 - an event in a form not known yet is not worth a robot's run
            return

    def on_M(self, rest: str) -> None:
        number, _colon, word = rest.partition(":")
        if len(word) < rpa._MAX_TEXT and len(self.words) < _MAX_REMEMBERED:
            self.words[number] = json.loads(word)

    def on_P(self, rest: str) -> None:
        number, _colon, fields = rest.partition(":")
        self.places[number] = self.words[fields.split("|")[0]]

    def on_ST(self, rest: str) -> None:
        self.depth = 0
        self.task = self.places[rest.split("|")[0]]
        if self.task in _PHASES:
            self.open.append(None)
        else:
            self._start(self.task, "task")

    def on_ET(self, rest: str) -> None:
        status, message = rest.split("|")[:2]
        while len(self.open) > 1:
            self._end("skipped")
        self._end(self._state(status), self.words.get(message, ""))

    def on_SE(self, rest: str) -> None:
        place, kind = rest.split("|")[:2]
        self.depth += 1
        name = self.places[place]
        # The task's own function is the task.
        shown = (
            self.words.get(kind) == "METHOD"
            and self.depth <= MAX_DEPTH
            and not (self.depth == 1 and name == self.task)
        )
        if shown and self.functions < MAX_FUNCTIONS:
            self.functions += 1
            self._start(name, "step")
            return
        if shown and self.functions == MAX_FUNCTIONS:
            self.functions += 1
            self._start(
                f"Not every step is shown: there are more than {MAX_FUNCTIONS}. The robot's own log has all of them.",
                "step",
            )
            self._end("skipped")
        self.open.append(None)

    def on_EE(self, rest: str) -> None:
        self.depth -= 1
        self._end(self._state(rest.split("|")[1]))

    def _state(self, number: str) -> str:
        return "passed" if self.words.get(number) == "PASS" else "failed"

    def _start(self, name: str, kind: str) -> None:
        parent = next((each[0] for each in reversed(self.open) if each), None)
        opened = rpa.start_step(name, kind, parent)
        self.open.append((opened, name, kind, parent))
        rpa._current.set(opened)

    def _end(self, state: str, message: str = "") -> None:
        ended = self.open.pop() if self.open else None
        if ended:
            opened, name, kind, parent = ended
            rpa.end_step(opened, name, state, message, kind, parent)
            rpa._current.set(parent)


def attach(log: Any) -> None:
    """Listen to `log`, the module robocorp.log, for as long as the process lives."""
    log.add_in_memory_log_output(_Steps().write)
