"""Prints how many lines a second each way of storing them reaches: ours, raw SQL, a row a line.

Runs as a process of its own on a platform whose server has stopped.
"""

import json
import sqlite3
import sys
import time
from collections.abc import Callable

import django

_LINE = "2026-11-23 19:00:00,123 INFO  step.name  Processed the invoice number %07d of it."
#: As many lines as make about 64 KiB.
_BATCH = 830
_SECONDS = 1.5

Store = Callable[[list[str]], None]


def main() -> None:
    django.setup()
    from django.db import connection, transaction

    from accounts.actors import Actor
    from accounts.models import User
    from executions import services
    from executions.choices import EventKind, Origin
    from executions.events import Draft, append
    from executions.models import ExecutionEvent
    from robots.models import Robot

    def execution() -> int:
        return int(
            services.request_execution(
                robot=Robot.objects.select_related("space__enterprise").get(name="noop"),
                by=Actor(User.objects.get(username="alice")),
                origin=Origin.COMMAND,
            ).execution.pk
        )

    appended, singles = execution(), execution()

    def ours(lines: list[str]) -> None:
        append(appended, [Draft(EventKind.LOG, {"stream": "stdout"}, lines=lines)])

    seq = 1

    def row_a_line(lines: list[str]) -> None:
        nonlocal seq
        rows = []
        for line in lines:
            seq += 1
            rows.append(
                ExecutionEvent(
                    execution_id=singles,
                    seq=seq,
                    kind=EventKind.LOG,
                    first_line=seq,
                    n_lines=1,
                    payload=json.dumps({"stream": "stdout", "lines": [line]}).encode(),
                    created=time.time_ns() // 1_000_000,
                )
            )
        with transaction.atomic():
            ExecutionEvent.objects.bulk_create(rows)

    rates = {
        "ours": _rate(ours),
        "raw": _rate(_raw_mysql() if connection.vendor == "mysql" else _raw_sqlite()),
        "row_a_line": _rate(row_a_line),
    }
    sys.stdout.write(json.dumps(rates))


def _raw_sqlite() -> Store:
    """The least that keeps a stream: one transaction a batch, not compressed."""
    from django.conf import settings

    raw = sqlite3.connect(settings.RPA_DATA_DIR / "raw.sqlite3", isolation_level=None)
    raw.executescript(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; "
        "CREATE TABLE stream (id INTEGER PRIMARY KEY, last_seq INTEGER, n_lines INTEGER);"
        "CREATE TABLE event (stream INTEGER, seq INTEGER, payload BLOB, PRIMARY KEY (stream, seq));"
        "INSERT INTO stream VALUES (1, 0, 0);"
    )

    def store(lines: list[str]) -> None:
        payload = json.dumps(lines, ensure_ascii=False).encode()
        raw.execute("BEGIN IMMEDIATE")
        raw.execute(
            "UPDATE stream SET last_seq = last_seq + 1, n_lines = n_lines + ? WHERE id = 1",
            (len(lines),),
        )
        raw.execute("INSERT INTO event SELECT 1, last_seq, ? FROM stream WHERE id = 1", (payload,))
        raw.execute("COMMIT")

    return store


def _raw_mysql() -> Store:
    """The same on MariaDB, by its own driver."""
    import MySQLdb
    from django.db import connection

    raw = MySQLdb.connect(**connection.get_connection_params())
    cursor = raw.cursor()
    cursor.execute("CREATE TABLE raw_stream (id INT PRIMARY KEY, last_seq INT, n_lines INT)")
    cursor.execute(
        "CREATE TABLE raw_event (stream INT, seq INT, payload LONGBLOB, PRIMARY KEY (stream, seq))"
    )
    cursor.execute("INSERT INTO raw_stream VALUES (1, 0, 0)")

    def store(lines: list[str]) -> None:
        payload = json.dumps(lines, ensure_ascii=False).encode()
        cursor.execute(
            "UPDATE raw_stream SET last_seq = last_seq + 1, n_lines = n_lines + %s WHERE id = 1",
            (len(lines),),
        )
        cursor.execute(
            "INSERT INTO raw_event SELECT 1, last_seq, %s FROM raw_stream WHERE id = 1", (payload,)
        )
        raw.commit()

    return store


def _rate(store: Store) -> float:
    """Lines a second, over at least _SECONDS."""
    lines = 0
    store([_LINE % 0])
    began = time.perf_counter()
    while (taken := time.perf_counter() - began) < _SECONDS:
        store([_LINE % number for number in range(lines, lines + _BATCH)])
        lines += _BATCH
    return lines / taken


if __name__ == "__main__":
    main()
