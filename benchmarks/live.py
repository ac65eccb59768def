"""How old a printed line is when it reaches those who watch, and whether they all get all of it."""

import asyncio
import json
from typing import Any

from benchmarks.client import Connection, Incorrect
from benchmarks.house import HOST, House
from benchmarks.report import Figure, milliseconds, percentile

RUNS, WATCHERS = 20, 10
_LINES = 120
#: Lines printed before all watchers had been connected for this long are checked, but not timed.
_SETTLE_NS = 500_000_000
_PATIENCE_SECONDS = 90.0


async def measure(house: House) -> list[Figure]:
    """Raises Incorrect if any watcher lost, repeated or reordered a line."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        return _judged(await _watch(house))


async def _watch(house: House) -> dict[str, Any]:
    params = {"lines": _LINES}
    robot = house.robot("ticker")
    async with Connection(HOST, house.port, house.key) as connection:
        executions = [await connection.run_robot(robot, params) for _run in range(RUNS)]
    given = {
        "host": HOST,
        "port": house.port,
        "key": house.key,
        "executions": executions,
        "each": WATCHERS,
        "lines": _LINES,
    }
    process = house.popen("benchmarks.watchers")
    assert process.stdin
    assert process.stdout
    try:
        process.stdin.write(json.dumps(given).encode())
        process.stdin.close()
        connected = await asyncio.to_thread(process.stdout.readline)
        seen = await asyncio.to_thread(process.stdout.readline)
        if not seen:
            raise Incorrect("The watchers' process died.")
        told: dict[str, Any] = {**json.loads(connected), **json.loads(seen)}
        return told
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _judged(told: dict[str, Any]) -> list[Figure]:
    if told["faults"]:
        some = "\n".join(told["faults"][:10])
        raise Incorrect(f"{len(told['faults'])} faults of the streams, such as:\n{some}")
    if len(told["seen"]) != RUNS * WATCHERS * _LINES:
        raise Incorrect(f"{len(told['seen'])} lines were seen instead of all.")
    begin = told["connected"] + _SETTLE_NS
    ages = [age / 1e9 for printed, age in told["seen"] if printed >= begin]
    p50, p99 = percentile(ages, 50), percentile(ages, 99)
    name = f"line printed to watcher, {RUNS} runs x {WATCHERS} watchers"
    return [
        Figure(name=f"{name}, p50", measured=milliseconds(p50), goal="<= 60 ms", met=p50 <= 0.06),
        Figure(name=f"{name}, p99", measured=milliseconds(p99), goal="<= 200 ms", met=p99 <= 0.2),
        Figure(
            name="  of it: deliveries, each checked / timed",
            measured=f"{len(told['seen'])} / {len(ages)}",
            goal="none lost, repeated, reordered",
            met=True,
        ),
    ]
