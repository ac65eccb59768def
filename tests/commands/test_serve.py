"""`manage.py serve`: why it does not start, and that it does."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from tests.commands.calling import clean_environment, process
from tests.executions.server import until


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
    return found


@contextmanager
def serving(data: Path, port: int, *options: str, **more: str) -> Iterator["subprocess.Popen[str]"]:
    """A server that has said that it is there."""
    with subprocess.Popen(
        [sys.executable, "manage.py", "serve", "--port", str(port), *options],
        cwd=settings.BASE_DIR,
        env=clean_environment(data, RPA_SLOTS="1", **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            yield server
        finally:
            server.kill()


def get(port: int, path: str, key: str = "") -> Any:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


def said_until(server: "subprocess.Popen[str]", wanted: str) -> list[str]:
    """What it says up to the line with `wanted`."""
    assert server.stdout is not None
    lines: list[str] = []
    while not lines or wanted not in lines[-1]:
        line = server.stdout.readline()
        assert line, (lines, server.stderr and server.stderr.read())
        lines.append(line)
    return lines


def test_missing_migrations_stop_it_with_their_remedy(data: Path, port: int) -> None:
    refused = process(data, "serve", "--port", str(port))
    assert refused.returncode == 1
    assert refused.stderr == (
        "CommandError: The database is behind the code. Run: manage.py migrate\n"
    )
    assert refused.stdout == ""


def test_a_database_that_does_not_answer_is_named(data: Path, port: int) -> None:
    nowhere = "mysql://root@127.0.0.1:9/nothing"
    refused = process(data, "serve", "--port", str(port), "--wait=0.1", RPA_DATABASE_URL=nowhere)
    assert refused.returncode == 1
    waiting, verdict = refused.stderr.splitlines()
    assert waiting.startswith("The database does not answer yet, waiting up to 0.1 s for it: ")
    assert verdict.startswith("CommandError: The database does not answer: ")


def test_a_database_that_will_never_answer_is_not_waited_for(data: Path, port: int) -> None:
    nothing = f"sqlite:///{data}/no/such/folder/db.sqlite3"
    refused = process(data, "serve", "--port", str(port), RPA_DATABASE_URL=nothing)
    assert refused.returncode == 1
    assert refused.stderr.startswith("CommandError: The database does not answer: ")
    assert refused.stderr.count("\n") == 1


def test_a_port_that_is_taken_is_named(data: Path, port: int) -> None:
    assert process(data, "migrate", "-v0").returncode == 0
    with socket.create_server(("127.0.0.1", port)):
        refused = process(data, "serve", "--port", str(port))
    assert refused.returncode == 1
    last = refused.stderr.splitlines()[-1]
    assert last.startswith(f"CommandError: Cannot listen on 127.0.0.1:{port}: ")
    assert "Traceback" not in refused.stderr


def test_a_demo_needs_nothing_but_the_command(data: Path, port: int) -> None:
    """An empty folder becomes a platform that has run a robot; SIGTERM ends it with everything told."""
    with serving(data, port, "--demo") as server:
        lines = said_until(server, "A sample robot is running: ")
        passwords = [line for line in lines if line.startswith("Administrator: admin  password: ")]
        assert len(passwords) == 1
        until(lambda: answers(port), "It answers.")
        demo = json.loads(process(data, "demo", "--json").stdout)
        assert lines[-1].startswith(f"A sample robot is running: http://127.0.0.1:{port}/")
        uid = lines[-1].split("/executions/")[1].strip("/\n")
        until(
            lambda: (
                get(port, f"/api/v1/executions/{uid}/", demo["api_key"])["status"] == "COMPLETED"
            ),
            "The sample robot completes.",
        )
        server.send_signal(signal.SIGTERM)
        _out, err = server.communicate(timeout=30)
    assert server.returncode == 0
    assert err == ""
    # The second start shows no password, and needs no --demo.
    with serving(data, port) as server:
        lines = said_until(server, "RPA Platform")
        assert not any("password" in line for line in lines)
        until(lambda: answers(port), "It answers again.")
        os.kill(server.pid, signal.SIGINT)
        _out, err = server.communicate(timeout=30)
    assert "Traceback" not in err


def answers(port: int) -> bool:
    try:
        return bool(get(port, "/healthz") == {"status": "ok"})
    except OSError:
        return False
