"""What a place in the queue costs when very many wait: a thousand runs of a hundred spaces, then ten and a hundred times that."""

import json
import shutil
from pathlib import Path
from tempfile import mkdtemp

from benchmarks.house import House
from benchmarks.report import Figure, microseconds
from benchmarks.soak.backing import MariaDB

#: Spaces, and runs that wait.
_SIZES = ((100, 1_000), (1_000, 10_000), (10_000, 100_000))
#: The logarithm of what waits grows by two thirds; the caches of the processor have their say as well.
_MOST_RATIO = 2.0
_LEAST_FAIRNESS = 0.9
#: What can be counted, and does not depend on who else uses the machine.
_WORK = {"SQLite": "steps of its machine", "MariaDB": "rows read"}


def measure(house: House) -> list[Figure]:
    """The server must not run: this is about one runner's claims."""
    figures = _figures("SQLite", house)
    if shutil.which("mariadbd") is None:
        return [*figures, Figure(name=_name("MariaDB"), measured="not measured: no mariadbd")]
    return [*figures, *_figures("MariaDB", house)]


def _name(database: str) -> str:
    spaces, runs = _SIZES[-1]
    return f"request, claim and end of a run among {runs:,} of {spaces:,} spaces, {database}"


def _figures(database: str, house: House) -> list[Figure]:
    short, middle, long = (_told(house, size, database) for size in _SIZES)
    spaces, runs = _SIZES[-1]
    ratios = {key: long[key] / short[key] for key in ("seconds", "work")}
    among = [f"among {few:,}" for _spaces, few in _SIZES[-2::-1]]
    times = [microseconds(each["seconds"]) for each in (middle, short)]
    works = [f"{each['work']:,.0f}" for each in (middle, short)]
    return [
        Figure(
            name=_name(database),
            measured=microseconds(long["seconds"]),
            baseline=", ".join(map(" ".join, zip(times, among, strict=True))),
            ratio=ratios["seconds"],
            goal=f"<= {_MOST_RATIO}",
            met=ratios["seconds"] <= _MOST_RATIO,
        ),
        Figure(
            name=f"  {_WORK[database]}",
            measured=f"{long['work']:,.0f}",
            baseline=", ".join(map(" ".join, zip(works, among, strict=True))),
            ratio=ratios["work"],
            goal=f"<= {_MOST_RATIO}",
            met=ratios["work"] <= _MOST_RATIO,
        ),
        Figure(
            name="  of them, those that start before a newcomer's first",
            measured=f"{long['behind']:.0f}",
            baseline=f"{runs:,} by age",
            goal=f"<= {spaces:,}, one a space",
            met=long["behind"] <= spaces,
        ),
        Figure(
            name="  fairness of the starts, by weight (Jain's index)",
            measured=f"{short['fairness']:.3f}",
            goal=f">= {_LEAST_FAIRNESS}",
            met=short["fairness"] >= _LEAST_FAIRNESS,
        ),
    ]


def _told(house: House, size: tuple[int, int], database: str) -> dict[str, float]:
    folder = Path(mkdtemp(prefix="rpa-bench-queue-"))
    folder.chmod(0o711)
    url, server = f"sqlite:///{folder}/queue.sqlite3", None
    try:
        if database == "MariaDB":
            server = MariaDB(folder / "mariadb")
            server.start()
            server.create()
            url = server.url
        spaces, runs = size
        told = house.run(
            "benchmarks.admission_worker", {"spaces": spaces, "runs": runs}, RPA_DATABASE_URL=url
        )
    finally:
        if server is not None:
            server.kill()
        shutil.rmtree(folder)
    found: dict[str, float] = json.loads(told)
    return found
