"""A short soak: real processes, killed at random, and a judge that notices whatever is not right."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from benchmarks.soak.judge import Fault, Reading
from benchmarks.soak.script import data_of, probe
from tests.executions.server import ROOT

SMALL = ("--deliveries=20000", "--minutes=0.1", "--readers=4", "--pause=0.25", "--seed=5")
UID = "7d1f1e1c-3f0b-4b3e-9b39-000000000001"


def test_no_delivery_is_lost_repeated_or_changed_under_fire() -> None:
    # Where these tests run on MariaDB, so does the soak, on one of its own that it kills.
    mariadb = connection.vendor == "mysql" and shutil.which("mariadbd") is not None
    database = "mariadb" if mariadb else "sqlite"
    soak = subprocess.run(
        [sys.executable, "-m", "benchmarks.soak", *SMALL, f"--database={database}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert soak.returncode == 0, soak.stdout + soak.stderr
    told = re.search(r"^([\d,]+) deliveries, .* ([\d,]+) kills, gaps=0, dup", soak.stdout, re.M)
    assert told is not None, soak.stdout
    assert int(told[1].replace(",", "")) > 1000
    assert int(told[2]) > 1


def stream() -> list[dict[str, Any]]:
    """A whole stream as the soak's writers and operator write it."""
    events: list[tuple[str, dict[str, Any]]] = [
        ("status", {"status": "PENDING"}),
        ("status", {"status": "RUNNING"}),
    ]
    line = 0
    for number in range(40):
        data = data_of(UID, number, line)
        line += len(data.get("lines", ()))
        events.append(("log" if "lines" in data else "progress", data))
    events.insert(20, ("notice", {"code": "probe", "message": probe(UID, 3)}))
    events += [("result", {"value": 40}), ("status", {"status": "COMPLETED"})]
    return [{"seq": seq, "kind": kind, "data": data} for seq, (kind, data) in enumerate(events, 1)]


def renumbered(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**event, "seq": seq} for seq, event in enumerate(events, 1)]


def read(events: list[dict[str, Any]]) -> None:
    reading = Reading(1, UID)
    for event in events:
        reading.take(json.dumps(event))
    reading.end({"status": "COMPLETED", "last_seq": len(stream())})


def test_the_judge_takes_what_was_written() -> None:
    read(stream())


def _without(place: int) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    return lambda events: [*events[:place], *events[place + 1 :]]


def _changed(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    data = {**events[10]["data"], "first_line": 1}
    return [*events[:10], {**events[10], "data": data}, *events[11:]]


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (_without(5), "gap"),
        (lambda events: [*events[:6], *events[5:]], "duplicate"),
        (lambda events: [*events[:5], events[6], events[5], *events[7:]], "gap"),
        (lambda events: renumbered(_without(5)(events)), "wrong"),
        (lambda events: renumbered([*events[:6], *events[5:]]), "wrong"),
        (_changed, "wrong"),
        (lambda events: events[:-1], "wrong"),
        (lambda events: renumbered([*events, events[10]]), "wrong"),
        (lambda events: renumbered([*events[:9], events[-1], *events[9:]]), "wrong"),
    ],
    ids=[
        "one lost",
        "one twice",
        "two swapped",
        "one never stored",
        "one stored twice",
        "other bytes",
        "no end",
        "more after the end",
        "an end in the middle",
    ],
)
def test_the_judge_notices(
    spoil: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], kind: str
) -> None:
    with pytest.raises(Fault) as found:
        read(spoil(stream()))
    assert found.value.kind == kind
