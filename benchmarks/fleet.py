"""What a run costs on a fleet: Celery, Redis and MariaDB, against bare sandboxes, bare Celery and Prefect."""

import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks import fleet_others
from benchmarks.bare import Bare
from benchmarks.chaos.house import House
from benchmarks.client import Connection, Incorrect
from benchmarks.report import Figure, median, milliseconds, percentile
from scripts.fleet import HOST, ROOT

RUNNERS, SLOTS = 2, 4
_AT_ONCE = RUNNERS * SLOTS
_RUNS = 240
_ROUNDS = 5
_ALONE = 40
_PAUSE_SECONDS = 0.2


def measure() -> list[Figure]:
    with (
        tempfile.TemporaryDirectory(prefix="rpa-bench-") as folder,
        House(broker="redis", runners=RUNNERS, slots=SLOTS, bucket=False, heartbeat=60) as house,
    ):
        Path(folder).chmod(0o711)
        with closing(Bare(Path(folder) / "bare")) as bare:
            figures = asyncio.run(_latency(house))
            rate, more = _rate(house, bare)
        figures += more
        house.fleet.stop()
        celery = fleet_others.celery_rate(house.redis.url, _AT_ONCE)
        figures.append(
            Figure(
                name="  Celery's own no-op tasks, without a robot",
                measured=f"{celery:.0f}/s",
                baseline=f"{rate:.1f}/s, whole runs",
                ratio=celery / rate,
            )
        )
        prefect = fleet_others.prefect_rate(Path(folder), _AT_ONCE)
    figures.append(
        Figure(
            name="no-op runs a second, against Prefect's process worker",
            measured=f"{rate:.1f}/s",
            baseline=f"{prefect:.2f}/s" if prefect else "Prefect could not be installed",
            ratio=rate / prefect if prefect else None,
            goal=">= 25",
            met=rate / prefect >= 25 if prefect else None,
        )
    )
    return figures


async def _latency(house: House) -> list[Figure]:
    """One run after the other on a fleet that does nothing else: from before the request to RUNNING committed."""
    took = []
    async with Connection(HOST, house.fleet.port, str(house.seed["api_key"])) as connection:
        with closing(_Database(house)) as database:
            for number in range(_ALONE + 8):
                began = time.perf_counter()
                uid = await connection.run_robot(house.robot("noop"))
                started = await database.until(uid, "status <> 'PENDING'") - began
                await database.until(uid, "finished_at IS NOT NULL")
                if number >= 8:  # the first ones unpack the package
                    took.append(started)
                await asyncio.sleep(_PAUSE_SECONDS)
    return [
        Figure(
            name="request to RUNNING committed, idle fleet, p50",
            measured=milliseconds(median(took)),
            goal="<= 100 ms",
            met=median(took) <= 0.1,
        ),
        Figure(
            name="request to RUNNING committed, idle fleet, p99",
            measured=milliseconds(percentile(took, 99)),
        ),
    ]


def _rate(house: House, bare: Bare) -> tuple[float, list[Figure]]:
    """Runs a second from a queue that is full when the runners begin; they and bare sandboxes take turns."""
    ours, theirs, shares = [], [], []
    bare.rate(_AT_ONCE, _AT_ONCE)
    for _round in range(_ROUNDS):
        theirs.append(bare.rate(_AT_ONCE, _RUNS))
        ours.append(_from_the_queue(house))
        shares.append(ours[-1] / theirs[-1])
    figure = Figure(
        name=f"no-op runs a second on a fleet, {RUNNERS} x {SLOTS} slots",
        measured=f"{median(ours):.1f}/s",
        baseline=f"{median(theirs):.1f}/s bare sandboxes",
        ratio=median(shares),
        goal=">= 0.6",
        met=median(shares) >= 0.6,
    )
    return median(ours), [figure]


def _from_the_queue(house: House) -> float:
    for runner in house.fleet.runners:
        runner.send(signal.SIGSTOP)  # for less than its lease
    subprocess.run(
        [sys.executable, "-m", "benchmarks.backlog"],
        input=json.dumps({"robot": house.robot("noop"), "runs": _RUNS}).encode(),
        cwd=ROOT,
        env=house.fleet.web.environment,
        check=True,
    )
    for runner in house.fleet.runners:
        runner.send(signal.SIGCONT)
    with closing(_Database(house)) as database:
        while database.one("SELECT 1 FROM executions_execution WHERE finished_at IS NULL LIMIT 1"):
            time.sleep(0.2)
        newest = f"SELECT id FROM executions_execution ORDER BY id DESC LIMIT {_RUNS}"
        begin, end, done = database.one(
            "SELECT MIN(e.started_at), MAX(e.finished_at), SUM(e.status = 'COMPLETED') "
            f"FROM executions_execution e JOIN ({newest}) newest ON newest.id = e.id"
        )
    if done != _RUNS:
        raise Incorrect(f"{_RUNS - done} of {_RUNS} runs did not complete.")
    return float(_RUNS / (end - begin).total_seconds())


class _Database:
    """Looks from outside: what it sees is committed."""

    def __init__(self, house: House) -> None:
        import MySQLdb

        self._connection: Any = MySQLdb.connect(
            host=HOST, port=house.database.port, user="root", db="soak", autocommit=True
        )

    def close(self) -> None:
        self._connection.close()

    def one(self, sql: str) -> Any:
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone()

    async def until(self, uid: str, condition: str) -> float:
        """The moment (perf_counter) at which the run was seen to be so."""
        name = uid.replace("-", "")
        while not self.one(
            f"SELECT 1 FROM executions_execution WHERE uid = '{name}' AND {condition}"
        ):
            await asyncio.sleep(0.001)
        return time.perf_counter()
