"""A short chaos: a fleet of real processes, of which one after the other is killed; and a judge that notices."""

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from django.db import connection

from benchmarks.chaos.client import Client
from benchmarks.chaos.judge import faults
from benchmarks.chaos.robots import LINES
from tests.executions.server import ROOT

DEEDS = ("web", "worker", "beat", "stop", "broker", "database", "skew")
SMALL = ("--runs=16", "--watched=8", "--runners=2", "--slots=3")
UID = "7d1f1e1c-3f0b-4b3e-9b39-000000000001"
Event = dict[str, Any]


@pytest.mark.timeout(400)
def test_every_run_of_a_fleet_under_fire_ends_once() -> None:
    if connection.vendor != "mysql" or shutil.which("mariadbd") is None:
        pytest.skip("A fleet needs MariaDB, one of its own that may be killed.")
    chaos = subprocess.run(
        [sys.executable, "-m", "benchmarks.chaos", *SMALL, "--only", *DEEDS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=390,
        check=False,
    )
    assert chaos.returncode == 0, chaos.stdout + chaos.stderr
    for deed in DEEDS:
        assert f"\n{deed}" in chaos.stdout
    assert "0 faults" in chaos.stdout


def a_run() -> tuple[dict[str, Any], list[Event]]:
    """A run as it should be."""
    said = ["start 5", *(f"line {number}" for number in range(LINES))]
    events: list[tuple[str, dict[str, Any]]] = [
        ("status", {"status": "PENDING"}),
        ("status", {"status": "RUNNING"}),
        *(("log", {"lines": [line]}) for line in said),
        ("status", {"status": "COMPLETED"}),
    ]
    stream = [
        {"seq": seq, "kind": kind, "data": data} for seq, (kind, data) in enumerate(events, 1)
    ]
    return {"id": UID, "status": "COMPLETED"}, stream


def test_the_judge_takes_what_is_right() -> None:
    run, events = a_run()
    assert list(faults(run, events, events, starts=1)) == []
    assert list(faults(run, events, events[:7], starts=0)) == []  # too quick to be seen


def _lines(*lines: str) -> Callable[[list[Event]], list[Event]]:
    def changed(events: list[Event]) -> list[Event]:
        return [*events[:9], {**events[9], "data": {"lines": list(lines)}}, *events[10:]]

    return changed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda events: [*events[:5], *events[6:]], "holes"),
        (lambda events: events[:-1], "it ends at"),
        (lambda events: [*events, {**events[-1], "seq": len(events) + 1}], "it ends at"),
        (_lines(), "lost or doubled"),
        (_lines("line 6", "line 6"), "lost or doubled"),
        (_lines("line 6", "start 6"), "started"),
        (lambda events: [*events[:9], {**events[1], "seq": 10}, *events[10:]], "started 2 times"),
    ],
)
def test_the_judge_notices_what_is_not(
    change: Callable[[list[Event]], list[Event]], words: str
) -> None:
    run, events = a_run()
    assert words in " ".join(faults(run, change(events), [], starts=1))


def test_the_judge_notices_other_faults() -> None:
    run, events = a_run()
    assert "started" in " ".join(faults(run, events, [], starts=2))
    assert "its row says" in " ".join(faults({**run, "status": "FAILED"}, events, [], starts=1))
    told = [*events[:3], {**events[3], "data": {"lines": ["other"]}}]
    assert "a watcher was told" in " ".join(faults(run, events, told, starts=1))


def test_a_watcher_whose_server_died_before_the_end_goes_home() -> None:
    """The last event was delivered and `end` was not: the next server has nothing more to say."""
    asked: list[str | None] = []

    def server(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("Last-Event-ID"))
        if len(asked) > 1:
            return httpx.Response(204)
        return httpx.Response(200, text=f"event: status\ndata: {json.dumps(last)}\n\n")

    async def watch() -> None:
        client = Client("http://fleet", "key", httpx.MockTransport(server))
        async with asyncio.timeout(10):
            await client.watch(UID, seen)

    last: Event = {"seq": 3, "kind": "status", "data": {"status": "COMPLETED"}}
    seen: list[Event] = []
    asyncio.run(watch())
    assert (seen, asked) == ([last], [None, "3"])
