"""What must hold of a run, whatever was done to the fleet meanwhile."""

import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.chaos.robots import LINES

TERMINAL = {"COMPLETED", "FAILED", "CANCELLED"}
_LOOK_SECONDS = 0.1
_MARK = b"RPA_EXECUTION_ID="


def faults(
    run: dict[str, Any],
    events: Sequence[dict[str, Any]],
    seen: Sequence[dict[str, Any]],
    starts: int,
) -> Iterator[str]:
    """What is wrong with this run: its row, its stream, what was delivered of it, and how often its robot started."""
    uid = run["id"]
    if [event["seq"] for event in events] != list(range(1, len(events) + 1)):
        yield f"{uid}: the stream has holes"
    ends = [
        each["seq"]
        for each in events
        if each["kind"] == "status" and each["data"]["status"] in TERMINAL
    ]
    if ends != [len(events)]:
        yield f"{uid}: it ends at {ends} of {len(events)} events"
    elif events[-1]["data"]["status"] != run["status"]:
        yield f"{uid}: its row says {run['status']}, its stream {events[-1]['data']['status']}"
    if list(seen) != list(events[: len(seen)]):
        yield f"{uid}: a watcher was told something else than what is stored"
    running = sum(e["kind"] == "status" and e["data"]["status"] == "RUNNING" for e in events)
    lines = [line for e in events if e["kind"] == "log" for line in e["data"]["lines"]]
    begun = [line for line in lines if line.startswith("start ")]
    if len(begun) > 1 or starts > 1 or running > 1:
        yield f"{uid}: started {running} times, with {len(begun)} first lines and {starts} processes"
    said = [line for line in lines if line.startswith("line ")]
    if said != [f"line {number}" for number in range(len(said))]:
        yield f"{uid}: lines are lost or doubled: {said}"
    if run["status"] == "COMPLETED" and len(said) != LINES:
        yield f"{uid}: completed after {len(said)} of {LINES} lines"


class Starts:
    """Counts from outside how often each run's robot has started: its processes, as the machine knows them."""

    def __init__(self) -> None:
        self._found: dict[str, set[tuple[int, str]]] = defaultdict(set)
        self._looked: set[tuple[int, str]] = set()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join()

    def of(self, uid: str) -> int:
        return len(self._found[uid])

    def _run(self) -> None:
        while not self._closed.wait(_LOOK_SECONDS):
            for each in Path("/proc").iterdir():
                if each.name.isdigit():
                    with suppress(OSError, ValueError):  # it has gone meanwhile
                        self._look(each)

    def _look(self, process: Path) -> None:
        started = (process / "stat").read_text().rpartition(")")[2].split()[19]
        identity = (int(process.name), started)
        command = (process / "cmdline").read_bytes()
        if (identity in self._looked) or b"robot.py" not in command or b"bwrap" in command:
            return
        for variable in (process / "environ").read_bytes().split(b"\0"):
            if variable.startswith(_MARK):
                self._found[variable.removeprefix(_MARK).decode()].add(identity)
                self._looked.add(identity)
