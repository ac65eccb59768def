"""A process that appends to streams as a runner does, beside the server.

Told on stdin, line by line, what to do; says on stdout what came of it. The first line says nothing.
Each line of a stream begins with the moment of its append, in nanoseconds.
"""

import json
import sys
import time
from typing import Any

import django

_BATCH_BYTES = 64 * 1024


def main() -> None:
    django.setup()
    sys.stdin.readline()
    while line := sys.stdin.readline():
        command = json.loads(line)
        told = {"new": new, "say": say, "pour": pour}[command.pop("do")](**command)
        print(json.dumps(told), flush=True)


def new() -> dict[str, Any]:
    """A run that nobody carries out, and its websocket."""
    from accounts.actors import Actor
    from accounts.models import User
    from executions import services
    from executions.choices import Origin
    from robots.models import Robot

    run = services.request_execution(
        robot=Robot.objects.select_related("space__enterprise").get(name="noop"),
        by=Actor(User.objects.get(username="alice")),
        origin=Origin.COMMAND,
    ).execution
    return {"number": run.pk, "path": f"/ws/executions/{run.uid}/"}


def say(number: int, times: int, rate: float, size: int) -> dict[str, Any]:
    """So many lines of `size` bytes, evenly spaced, each an event."""
    return _append(number, times, rate, lambda: [f"{time.time_ns()} ".ljust(size, "x")])


def pour(number: int, mib: int, seconds: float) -> dict[str, Any]:
    """So many MiB in events of 64 KiB of lines, evenly spaced."""
    times = mib * 2**20 // _BATCH_BYTES
    rest = ["x" * 79] * (_BATCH_BYTES // 80)
    return _append(number, times, times / seconds, lambda: [f"{time.time_ns()} ", *rest])


def _append(number: int, times: int, rate: float, lines: Any) -> dict[str, Any]:
    from executions.choices import EventKind
    from executions.events import Draft, append, head_of

    began = time.perf_counter()
    for turn in range(times):
        time.sleep(max(0.0, began + turn / rate - time.perf_counter()))
        append(number, [Draft(EventKind.LOG, {"stream": "stdout"}, lines())])
    return {"seq": head_of(number).last_seq}


if __name__ == "__main__":
    main()
