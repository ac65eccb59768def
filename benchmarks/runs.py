"""What a whole run costs: from the request to its committed terminal event, against a bare sandbox."""

import asyncio
import sqlite3
import time
from contextlib import AsyncExitStack, closing
from itertools import count

from benchmarks.bare import Bare
from benchmarks.client import Commits, Connection
from benchmarks.house import HOST, House
from benchmarks.report import Figure, median, milliseconds

AT_ONCE = 8
_ROUNDS = 5
_RUNS_A_ROUND = 8
_RATE_ROUNDS = 3
_RUNS_A_RATE = 80


async def measure(house: House) -> list[Figure]:
    bare = Bare(house.data_dir / "bare")
    with (
        closing(bare),
        closing(Commits(house.database, look=0.001)) as closely,
        closing(Commits(house.database, look=0.004)) as now_and_then,
    ):
        return [
            *await _alone(house, bare, closely),
            *await _at_once(house, bare, now_and_then),
            await _from_the_queue(house, bare),
        ]


async def _alone(house: House, bare: Bare, commits: Commits) -> list[Figure]:
    """One after the other; both kinds take turns, so that a busy moment of the machine hits both."""
    robot = house.robot("noop")
    ours, theirs, accepted = [], [], []
    async with Connection(HOST, house.port, house.key) as connection:
        await commits.closed(await connection.run_robot(robot))  # unpacks the package
        bare.run(0)
        for _round in range(_ROUNDS):
            theirs += [bare.run(0) for _run in range(_RUNS_A_ROUND)]
            for _run in range(_RUNS_A_ROUND):
                began = time.perf_counter()
                uid = await connection.run_robot(robot)
                accepted.append(time.perf_counter() - began)
                ours.append(await commits.closed(uid) - began)
    ratio = median(ours) / median(theirs)
    return [
        Figure(
            name="no-op run, request to end committed",
            measured=milliseconds(median(ours)),
            baseline=f"{milliseconds(median(theirs))} bare sandbox",
            ratio=ratio,
            goal="<= 3",
            met=ratio <= 3,
        ),
        Figure(name="  of it: the request's own answer", measured=milliseconds(median(accepted))),
    ]


async def _at_once(house: House, bare: Bare, commits: Commits) -> list[Figure]:
    shares, ours, theirs = [], [], []
    cpu = 0.0
    bare.rate(AT_ONCE, AT_ONCE)
    await _rate(house, commits, AT_ONCE)
    for _round in range(_RATE_ROUNDS):
        theirs.append(bare.rate(AT_ONCE, _RUNS_A_RATE))
        cpu -= house.cpu_seconds()
        ours.append(await _rate(house, commits, _RUNS_A_RATE))
        cpu += house.cpu_seconds()
        shares.append(ours[-1] / theirs[-1])
    return [
        Figure(
            name=f"no-op runs a second, {AT_ONCE} at once",
            measured=f"{median(ours):.1f}/s",
            baseline=f"{median(theirs):.1f}/s bare sandboxes",
            ratio=median(shares),
            goal=">= 0.5",
            met=median(shares) >= 0.5,
        ),
        Figure(
            name="  of it: the server's own CPU time a run",
            measured=milliseconds(cpu / (_RATE_ROUNDS * _RUNS_A_RATE)),
        ),
    ]


async def _from_the_queue(house: House, bare: Bare) -> Figure:
    """The runner without the door: runs that wait already when a server of AT_ONCE slots starts."""
    house.stop()
    house.run("benchmarks.backlog", {"robot": house.robot("noop"), "runs": _RUNS_A_RATE})
    house.start(slots=AT_ONCE)
    with closing(sqlite3.connect(f"file:{house.database}?mode=ro", uri=True)) as database:
        while database.execute(
            "SELECT 1 FROM executions_execution WHERE finished_at IS NULL"
        ).fetchone():
            await asyncio.sleep(0.05)
        # The times of the newest runs' first and last events after the request: start and end.
        ((begin, end),) = database.execute(
            "SELECT min(created), max(created) FROM executions_executionevent WHERE seq > 1 AND "
            "execution_id > (SELECT max(id) - ? FROM executions_execution)",
            (_RUNS_A_RATE,),
        )
    ours = _RUNS_A_RATE * 1000 / (end - begin)
    theirs = bare.rate(AT_ONCE, _RUNS_A_RATE)
    house.stop()
    house.start()
    return Figure(
        name="  the same from a full queue: the runner alone",
        measured=f"{ours:.1f}/s",
        baseline=f"{theirs:.1f}/s bare sandboxes",
        ratio=ours / theirs,
    )


async def _rate(house: House, commits: Commits, runs: int) -> float:
    """Runs a second with AT_ONCE callers, each of which waits for its run before it requests the next."""
    tickets = count()
    robot = house.robot("noop")

    async def call(connection: Connection) -> None:
        while next(tickets) < runs:
            await commits.closed(await connection.run_robot(robot))

    async with AsyncExitStack() as stack:
        connections = [
            await stack.enter_async_context(Connection(HOST, house.port, house.key))
            for _caller in range(AT_ONCE)
        ]
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for connection in connections:
                group.create_task(call(connection))
        return runs / (time.perf_counter() - began)
