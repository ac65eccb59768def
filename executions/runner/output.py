"""Turns what a robot prints into lines and messages.

A message is `ESC ] 7313 ; JSON BEL`, anywhere in the output: terminals do not show it, and its place
between the lines is kept. Everything here is a stranger's data: bounded, decoded with replacement.
"""

import logging
import math
import re
from dataclasses import dataclass
from typing import Any

from executions.choices import EventKind
from executions.events import Draft
from robots.json_values import BadJson, clean, read_json

logger = logging.getLogger(__name__)

MAX_LINE = 16 * 1024
MAX_MESSAGE = 60 * 1024
MAX_RESULT = 1024 * 1024
_OPENING = b"\x1b]7313;"
_MESSAGE = re.compile(rb"\x1b\]7313;([^\x07\n]{0,%d})\x07" % MAX_MESSAGE)
_STEP_TYPES = {"suite", "test", "task", "keyword", "step"}
_STEP_STATES = {"started", "passed", "failed", "skipped"}


@dataclass(frozen=True)
class Line:
    text: str


class OutputReader:
    """Assembles one stream. A line ends at its newline, or where it reaches MAX_LINE bytes."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[Line | Draft]:
        """What `chunk` completes, in order."""
        found: list[Line | Draft] = []
        *whole, rest = (self._rest + chunk).split(b"\n")
        for raw in whole:
            self._take(raw, found)
        if _OPENING in rest:
            rest = self._without_messages(rest, found)
        # An unfinished message may be longer than a line may be.
        limit = MAX_MESSAGE + MAX_LINE if _OPENING in rest else MAX_LINE
        while len(rest) > limit:
            found.append(_line(rest[:MAX_LINE]))
            rest = rest[MAX_LINE:]
        self._rest = rest
        return found

    def finish(self) -> list[Line | Draft]:
        """The last line, if it had no newline."""
        found: list[Line | Draft] = []
        if self._rest:
            self._take(self._rest, found)
        self._rest = b""
        return found

    def _take(self, raw: bytes, found: list[Line | Draft]) -> None:
        if _OPENING in raw:
            raw = self._without_messages(raw, found)
        while len(raw) > MAX_LINE:
            found.append(_line(raw[:MAX_LINE]))
            raw = raw[MAX_LINE:]
        found.append(_line(raw))

    @staticmethod
    def _without_messages(raw: bytes, found: list[Line | Draft]) -> bytes:
        def note(match: re.Match[bytes]) -> bytes:
            draft = parse_message(match[1])
            if draft is not None:
                found.append(draft)
            return b""

        return _MESSAGE.sub(note, raw)


def _line(raw: bytes) -> Line:
    return Line(raw.removesuffix(b"\r").decode("utf-8", "replace"))


def parse_message(raw: bytes) -> Draft | None:
    """The event that a message asks for, or None if it is none that a robot may make. Raises nothing."""
    try:
        message = read_json(raw, limit=MAX_MESSAGE)
        return _event(message) if isinstance(message, dict) else None
    except BadJson:
        return None
    except Exception:
        # Whatever a robot writes, and whatever we forgot: no message ends a run.
        logger.exception("A message of a robot could not be read")
        return None


def _event(message: dict[str, Any]) -> Draft | None:
    match message.get("kind"):
        case "progress":
            return _progress(message)
        case "step":
            return _step(message)
        case "result":
            return Draft(EventKind.RESULT, {"value": message.get("value")})
    return None


def result_line(line: str) -> Draft | None:
    """The result that `::result {...}` carries, or None if the line is not one (or is no JSON)."""
    if not line.startswith("::result "):
        return None
    try:
        value = read_json(line.removeprefix("::result "), limit=MAX_RESULT)
    except BadJson:
        return None
    return Draft(EventKind.RESULT, {"value": clean(value)})


def _progress(message: dict[str, Any]) -> Draft | None:
    percent = message.get("percent")
    if isinstance(percent, bool) or not isinstance(percent, int | float):
        return None
    try:
        value = float(percent)
    except OverflowError:
        return None
    if not math.isfinite(value):
        return None
    words = str(message.get("message") or "")[:200]
    return Draft(EventKind.PROGRESS, {"percent": min(max(value, 0.0), 100.0), "message": words})


def _step(message: dict[str, Any]) -> Draft | None:
    identity, state = message.get("id"), message.get("state")
    if not isinstance(identity, str | int):
        return None
    if not isinstance(state, str) or state not in _STEP_STATES:
        return None
    parent, kind = message.get("parent"), message.get("type")
    data: dict[str, Any] = {
        "id": str(identity)[:64],
        "parent": None if parent is None else str(parent)[:64],
        "name": str(message.get("name") or "")[:300],
        "type": kind if isinstance(kind, str) and kind in _STEP_TYPES else "step",
        "state": state,
    }
    if message.get("message"):
        data["message"] = str(message["message"])[:1000]
    return Draft(EventKind.STEP, data)
