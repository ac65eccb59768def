"""One reading of one stream, from its first event to its end, byte by byte."""

import hashlib
import json
from typing import Any

from benchmarks.soak.script import data_of, probe

_TERMINAL = ("COMPLETED", "FAILED", "CANCELLED")
_decode = json.JSONDecoder().raw_decode


class Fault(Exception):
    """The stream did what a stream must never do. `kind` is gap, duplicate or wrong."""

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(kind, what)
        self.kind = kind
        self.what = what


class Reading:
    """Takes what was delivered, across as many connections as it took; anything unexpected is a Fault."""

    def __init__(self, number: int, uid: str) -> None:
        self.number = number
        self.uid = uid
        #: The last event that was taken: the cursor to go on with.
        self.seq = 0
        self.status = ""
        self._drafts = 0
        self._lines = 0
        self._digest = hashlib.sha256()

    @property
    def complete(self) -> bool:
        """Whether the terminal event was taken."""
        return self.status in _TERMINAL

    @property
    def digest(self) -> str:
        """Of all bytes so far: the same for every reader who is as far."""
        return self._digest.hexdigest()

    @property
    def drafts(self) -> int:
        """How many of the robot's drafts were taken."""
        return self._drafts

    def take_all(self, text: str, start: int) -> int:
        """Take the events of a JSON array whose first one begins at `start`. Returns how many."""
        before = self.seq
        while True:
            event, end = _decode(text, start)
            self._take(event, text[start:end])
            if text[end] == "]":
                return self.seq - before
            start = end + 1

    def take(self, text: str) -> None:
        """Take one event."""
        self._take(json.loads(text), text)

    def end(self, told: dict[str, Any]) -> None:
        """Take the news that this was all."""
        if not self.complete or (told["status"], told["last_seq"]) != (self.status, self.seq):
            raise self._wrong(f"ended as {told} after event {self.seq} with status {self.status}")

    def _take(self, event: dict[str, Any], text: str) -> None:
        seq, kind, data = event["seq"], event["kind"], event["data"]
        if seq != self.seq + 1:
            fault = "gap" if seq > self.seq else "duplicate"
            raise Fault(fault, f"Run {self.number}: event {seq} came after {self.seq}.")
        if self.complete:
            raise self._wrong(f"event {seq} came after the terminal one")
        self.seq = seq
        self._digest.update(text.encode())
        match kind:
            case "log" | "progress":
                if data != data_of(self.uid, self._drafts, self._lines):
                    raise self._wrong(f"event {seq} is not draft {self._drafts}: {text[:200]}")
                self._drafts += 1
                self._lines += len(data.get("lines", ()))
            case "status":
                self._move(data["status"])
            case "result":
                if data != {"value": self._drafts}:
                    raise self._wrong(f"the result is {data} after {self._drafts} drafts")
            case "notice":
                number = int(data["message"].split(" ")[0])
                if data != {"code": "probe", "message": probe(self.uid, number)}:
                    raise self._wrong(f"event {seq} was never written: {text[:200]}")
            case _:
                raise self._wrong(f"event {seq} is of kind {kind}")

    def _move(self, status: str) -> None:
        after = {"": ("PENDING",), "PENDING": ("RUNNING", *_TERMINAL), "RUNNING": _TERMINAL}
        if status not in after[self.status]:
            raise self._wrong(f"it went from {self.status or 'nothing'} to {status}")
        self.status = status

    def _wrong(self, what: str) -> Fault:
        return Fault("wrong", f"Run {self.number}: {what}.")
