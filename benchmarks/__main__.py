"""The command: measure everything once, show it, leave nothing behind."""

import argparse
import asyncio
import json
import os
import platform
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from benchmarks import (
    admission,
    append,
    deaf,
    exec_stream,
    fanout,
    fleet,
    hint_latency,
    live,
    runs,
    storm,
)
from benchmarks.client import Incorrect
from benchmarks.house import House
from benchmarks.report import Figure, table

_LONGEST_SECONDS = 240
#: The fleet starts servers of many kinds, and installs one of them; admission fills six long queues first.
_LONG = {"fleet": 900, "admission": 900}
_PARTS = (
    "runs",
    "live",
    "exec",
    "fanout",
    "deaf",
    "storm",
    "hints",
    "append",
    "admission",
    "fleet",
)


def main() -> int:
    """0 unless the platform was incorrect: timings of a shared machine are for people to judge."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--only", choices=_PARTS, help="measure this part alone")
    options = parser.parse_args()
    # However we are ended, the server that we started is ended first.
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGALRM, _interrupt)
    signal.alarm(_LONG.get(options.only, _LONGEST_SECONDS))
    machine = f"{platform.system()} {platform.release()}, Python {platform.python_version()}, {os.cpu_count()} CPUs"
    before = os.getloadavg()[0]
    print(f"{machine}, load {before:.1f} before the start\n", flush=True)
    began = time.monotonic()
    figures: list[Figure] = []
    faults = ""
    try:
        if options.only == "fleet":
            figures += fleet.measure()
        else:
            with House() as house:
                _measure(house, options.only, figures)
    except* Incorrect as group:
        faults = "\n".join(str(error) for error in group.exceptions)
    except* KeyboardInterrupt:
        print("Interrupted; what follows is incomplete.", file=sys.stderr)
    finally:
        signal.alarm(0)
    print(table(figures))
    print(f"\n{time.monotonic() - began:.0f} s")
    if options.json:
        told = {
            "machine": machine,
            "load": before,
            "figures": [each.to_json() for each in figures],
            "incorrect": faults,
        }
        options.json.write_text(json.dumps(told, indent=1) + "\n")
    if faults:
        print(f"\nINCORRECT: {faults}", file=sys.stderr)
        return 1
    return 0


def _measure(house: House, only: str | None, figures: list[Figure]) -> None:
    for name, part in (("runs", runs), ("live", live), ("exec", exec_stream)):
        if only in (None, name):
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            figures += asyncio.run(part.measure(house))
    streams = (("fanout", fanout), ("deaf", deaf), ("storm", storm), ("hints", hint_latency))
    for name, of_streams in streams:
        if only in (None, name):
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            figures += of_streams.measure(house)
    # Of the latter, there is no time in the run of everything.
    for name, of_database in (("append", append), ("admission", admission)):
        if only == name or (only is None and name not in _LONG):
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            house.stop()
            figures += of_database.measure(house)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
