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
from robots.json_values import BadJson, read_json

logger = logging.getLogger(__name__)

MAX_LINE = 16 * 1024
MAX_MESSAGE = 60 * 1024
MAX_RESULT = 1024 * 1024
TOO_LARGE = f"It has more than {MAX_RESULT // 2**20} MiB."
_OPENING = b"\x1b]7313;"
_MESSAGE = re.compile(rb"\x1b\]7313;([^\x07\n]{0,%d})\x07" % MAX_MESSAGE)
_RESULT = b"::result "
_STEP_TYPES = {"suite", "test", "task", "keyword", "step"}
_STEP_STATES = {"started", "passed", "failed", "skipped"}


@dataclass(frozen=True)
class Line:
    """A line, or a piece of a long one."""

    text: str
    #: The whole line, if this is the last piece of one that begins with `::result `.
    result: bytes | None = None


@dataclass(frozen=True)
class ResultFile:
    """What the robot says when its newest result lies in `result.json` of its artifacts folder."""


#: What output is made of.
Item = Line | Draft | ResultFile


class OutputReader:
    """Assembles one stream. A line ends at its newline, or where it reaches MAX_LINE bytes.

    Of one that gives a result, the whole is kept as well, up to what a result may have and a piece more.
    """

    def __init__(self) -> None:
        self._rest = b""
        #: Whether pieces of the unfinished line are given already, and its whole if it gives a result.
        self._is_cut = False
        self._result: bytearray | None = None

    def feed(self, chunk: bytes) -> list[Item]:
        """What `chunk` completes, in order."""
        found: list[Item] = []
        *whole, rest = (self._rest + chunk).split(b"\n")
        for raw in whole:
            self._take(raw, found)
        if _OPENING in rest:
            rest = self._without_messages(rest, found)
        # An unfinished message may be longer than a line may be.
        limit = MAX_MESSAGE + MAX_LINE if _OPENING in rest else MAX_LINE
        self._rest = self._cut(rest, limit, found)
        return found

    def finish(self) -> list[Item]:
        """The last line, if it had no newline."""
        found: list[Item] = []
        if self._rest or self._is_cut:
            self._take(self._rest, found)
        self._rest = b""
        return found

    def _take(self, raw: bytes, found: list[Item]) -> None:
        if _OPENING in raw:
            raw = self._without_messages(raw, found)
        last = self._cut(raw, MAX_LINE, found)
        self._keep(last)
        whole = None if self._result is None else bytes(self._result)
        found.append(Line(_text(last), whole))
        self._is_cut, self._result = False, None

    def _cut(self, raw: bytes, limit: int, found: list[Item]) -> bytes:
        """What is left of `raw` when pieces have been taken off until it is within `limit`."""
        while len(raw) > limit:
            piece, raw = raw[:MAX_LINE], raw[MAX_LINE:]
            self._keep(piece)
            found.append(Line(_text(piece)))
            self._is_cut = True
        return raw

    def _keep(self, piece: bytes) -> None:
        if not self._is_cut and piece.startswith(_RESULT):
            self._result = bytearray()
        if self._result is not None and len(self._result) <= len(_RESULT) + MAX_RESULT:
            self._result += piece

    @staticmethod
    def _without_messages(raw: bytes, found: list[Item]) -> bytes:
        def note(match: re.Match[bytes]) -> bytes:
            said = parse_message(match[1])
            if said is not None:
                found.append(said)
            return b""

        return _MESSAGE.sub(note, raw)


def _text(raw: bytes) -> str:
    return raw.removesuffix(b"\r").decode("utf-8", "replace")


def parse_message(raw: bytes) -> Draft | ResultFile | None:
    """What a message asks for, or None if it is none that a robot may send. Raises nothing."""
    try:
        message = read_json(raw, limit=MAX_MESSAGE)
        return _event(message) if isinstance(message, dict) else None
    except BadJson:
        return None
    except Exception:
        # Whatever a robot writes, and whatever we forgot: no message ends a run.
        logger.exception("A message of a robot could not be read")
        return None


def _event(message: dict[str, Any]) -> Draft | ResultFile | None:
    match message.get("kind"):
        case "progress":
            return _progress(message)
        case "step":
            return _step(message)
        case "result":
            return Draft(EventKind.RESULT, {"value": message.get("value")})
        case "result_file":
            return ResultFile()
    return None


def result_line(line: bytes) -> Draft:
    """The result that `::result {...}` carries. Raises BadJson if it is none."""
    content = line.removeprefix(_RESULT).strip()
    if len(content) > MAX_RESULT:  # and how much longer it was is not known
        raise BadJson(TOO_LARGE)
    value = read_json(content.decode("utf-8", "replace"), limit=MAX_RESULT)
    return Draft(EventKind.RESULT, {"value": value})


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
