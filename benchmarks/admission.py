"""What a place in the queue costs when very many wait: a hundred spaces with a thousand runs, then a hundred times that."""

import json
import shutil
from pathlib import Path
from tempfile import mkdtemp

from benchmarks.house import House
from benchmarks.report import Figure, microseconds
from benchmarks.soak.backing import MariaDB

_SHORT = (100, 1_000)
_LONG = (10_000, 100_000)
#: The logarithm of what waits grows by two thirds; the caches of the processor have their say as well.
_MOST_RATIO = 2.0
_LEAST_FAIRNESS = 0.9


def measure(house: House) -> list[Figure]:
    """The server must not run: this is about one runner's claims."""
    figures = _figures("SQLite", house)
    if shutil.which("mariadbd") is None:
        return [*figures, Figure(name=_name("MariaDB"), measured="not measured: no mariadbd")]
    return [*figures, *_figures("MariaDB", house)]


def _name(database: str) -> str:
    return f"request, claim and end of a run among {_LONG[1]:,} of {_LONG[0]:,} spaces, {database}"


def _figures(database: str, house: House) -> list[Figure]:
    short, long = (_told(house, size, database) for size in (_SHORT, _LONG))
    ratio = long["seconds"] / short["seconds"]
    return [
        Figure(
            name=_name(database),
            measured=microseconds(long["seconds"]),
            baseline=f"{microseconds(short['seconds'])} among {_SHORT[1]:,} of {_SHORT[0]:,}",
            ratio=ratio,
            goal=f"<= {_MOST_RATIO}",
            met=ratio <= _MOST_RATIO,
        ),
        Figure(
            name="  of them, those that start before a newcomer's first",
            measured=f"{long['behind']:.0f}",
            baseline=f"{_LONG[1]:,} by age",
            goal=f"<= {_LONG[0]:,}, one a space",
            met=long["behind"] <= _LONG[0],
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
