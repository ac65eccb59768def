"""How fast lines go into the database, against raw SQL and against a row a line, on SQLite and on MariaDB."""

import json
import shutil
from pathlib import Path
from tempfile import mkdtemp

from benchmarks.house import House
from benchmarks.report import Figure
from benchmarks.soak.backing import MariaDB

_LEAST_OF_RAW = 0.5
_LEAST_TIMES = 10


def measure(house: House) -> list[Figure]:
    """The server must not run: this is about one writer."""
    return [*_figures("SQLite", house.run("benchmarks.append_worker")), *_on_mariadb(house)]


def _on_mariadb(house: House) -> list[Figure]:
    if shutil.which("mariadbd") is None:
        return [Figure(name=_name("MariaDB"), measured="not measured: there is no mariadbd")]
    folder = Path(mkdtemp(prefix="rpa-bench-mariadb-"))
    folder.chmod(0o711)
    database = MariaDB(folder / "mariadb")
    try:
        database.start()
        database.create()
        house.run("benchmarks.seed", RPA_DATABASE_URL=database.url)
        return _figures(
            "MariaDB", house.run("benchmarks.append_worker", RPA_DATABASE_URL=database.url)
        )
    finally:
        database.kill()
        shutil.rmtree(folder)


def _name(database: str) -> str:
    return f"append of 64 KiB batches, {database}"


def _figures(database: str, told: str) -> list[Figure]:
    rates: dict[str, float] = json.loads(told)
    to_raw, to_rows = rates["ours"] / rates["raw"], rates["ours"] / rates["row_a_line"]
    return [
        Figure(
            name=_name(database),
            measured=_million(rates["ours"]),
            baseline=f"{_million(rates['raw'])} raw SQL",
            ratio=to_raw,
            goal=f">= {_LEAST_OF_RAW}",
            met=to_raw >= _LEAST_OF_RAW,
        ),
        Figure(
            name=_name(database),
            measured=_million(rates["ours"]),
            baseline=f"{_million(rates['row_a_line'])} a row a line",
            ratio=to_rows,
            goal=f">= {_LEAST_TIMES}",
            met=to_rows >= _LEAST_TIMES,
        ),
    ]


def _million(rate: float) -> str:
    return f"{rate / 1e6:.3f} M lines/s"
