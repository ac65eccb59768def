"""A database that is killed and comes back, while readers of every door and a writer go on."""

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from benchmarks.soak.backing import MariaDB
from tests.executions.server import ROOT, Server, environment

LINES = 400
#: Somebody with a key and a run, in a new database.
FURNISH = """
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from accounts.models import ApiKey
from spaces.models import SpaceRole
from tests.factories import make_execution, make_robot, make_space, make_user
alice = make_user("alice")
run = make_execution(make_robot(make_space("Orders", {alice: SpaceRole.OWNER})))
print(run.uid, ApiKey.issue(user=alice, name="watch")[1])
"""
#: A runner that repeats whatever was not acknowledged, and never anything else.
WRITE = """
import sys, time
import django
django.setup()
from django.db import Error, connection
from executions import lifecycle
from executions.choices import EventKind, Status
from executions.events import Draft, Source
from executions.models import Runner

def surely(deed):
    while True:
        try:
            return deed()
        except Error:
            connection.close()
            time.sleep(0.05)

runner = Runner.objects.create(host="here", pid=1, slots=1)
run, token = lifecycle.claim_next(runner)
lifecycle.start(run, Source(token, 0, 1))
for number in range(1, int(sys.argv[1]) + 1):
    said = [Draft(EventKind.LOG, {"stream": "stdout"}, (f"line {number}",))]
    surely(lambda: lifecycle.record(run.pk, said, Source(token, number, number + 1)))
    time.sleep(0.005)
ending = lifecycle.Ending(Status.COMPLETED, exit_code=0)
surely(lambda: lifecycle.finish(run.pk, ending, source=Source(token, number + 1, number + 2)))
"""


def program(code: str, *arguments: str, url: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env=environment(RPA_DATABASE_URL=url),
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def database() -> Iterator[MariaDB]:
    """One of the test's own: the others' is not to be killed."""
    with tempfile.TemporaryDirectory(prefix="rpa-database-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # it runs as a user of its own
        running = MariaDB(Path(folder) / "mariadb")
        running.start()
        running.create()
        yield running
        running.kill()


class Reader:
    """Reads one run by one door, and comes again with its cursor whenever that fails."""

    def __init__(self, address: str, uid: str, key: str) -> None:
        self.address, self.uid = address, uid
        self.headers = {"Authorization": f"Bearer {key}"}
        self.events: list[dict[str, Any]] = []
        self.ended = False

    async def read(self) -> None:
        while not self.ended:
            try:
                await self.connect(self.events[-1]["seq"] if self.events else 0)
            except (OSError, httpx.HTTPError, websockets.WebSocketException):
                await asyncio.sleep(0.05)

    async def connect(self, after: int) -> None:
        raise NotImplementedError

    def take(self, frame: dict[str, Any]) -> None:
        assert frame["type"] in {"events", "end", "hb", "refused"}
        self.events += frame.get("events", [])
        self.ended = frame["type"] == "end"
        if frame["type"] == "refused":
            assert frame["code"] == "fault"
            raise OSError


class BySocket(Reader):
    async def connect(self, after: int) -> None:
        path = f"ws://{self.address}/ws/executions/{self.uid}/?after={after}"
        async with websockets.connect(path, additional_headers=self.headers) as socket:
            async for message in socket:
                self.take(json.loads(message))


class ByMany(Reader):
    async def connect(self, after: int) -> None:
        order = {"op": "subscribe", "id": "run", "topic": "execution", "after": after}
        path = f"ws://{self.address}/ws/"
        async with websockets.connect(path, additional_headers=self.headers) as socket:
            await socket.send(json.dumps({**order, "execution": self.uid}))
            while not self.ended:
                self.take(json.loads(await socket.recv()))


class ByEvents(Reader):
    async def connect(self, after: int) -> None:
        path = f"http://{self.address}/api/v1/executions/{self.uid}/stream"
        headers = {**self.headers, "Last-Event-ID": str(after)}
        async with (
            httpx.AsyncClient(timeout=30) as client,
            client.stream("GET", path, headers=headers) as answer,
        ):
            answer.raise_for_status()
            kind = ""
            async for line in answer.aiter_lines():
                name, _colon, value = line.partition(": ")
                if name == "event":
                    kind = value
                elif name == "data" and kind == "end":
                    self.ended = True
                elif name == "data":
                    self.take({"type": "events", "events": [json.loads(value)]})


def test_what_readers_get_and_writers_have_said_outlives_the_database(database: MariaDB) -> None:
    """Nobody is restarted but the database; nothing is lost, repeated, or waited for in vain."""
    with program(FURNISH, url=database.url) as furnishing:
        uid, key = furnishing.communicate(timeout=120)[0].split()

    async def missed(client: httpx.AsyncClient, address: str) -> None:
        """Every door says that it is away, and when to come again."""
        bearer = {"Authorization": f"Bearer {key}"}
        for path in ("", "events/", "stream", "log/"):
            where = f"{address}/api/v1/executions/{uid}/{path}"
            answer = await client.get(where, headers=bearer)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1"), path
            assert answer.json()["code"] == "database_unavailable"
        page = await client.get(address, headers={"Cookie": "sessionid=aaaaaaaaaaaaaaaaaaaaaaaa"})
        assert (page.status_code, page.headers["Content-Type"]) == (503, "text/html; charset=utf-8")
        wanted = {"project_id": uid, "params": {}}
        told = await client.post(f"{address}/rpa/v1/exec", json=wanted, headers=bearer)
        assert told.status_code == 200
        assert '"code":55001' in told.text
        assert "database" in told.text

    async def watched(server: Server, writing: "subprocess.Popen[str]") -> list[Reader]:
        doors = (BySocket, ByMany, ByEvents) * 2
        readers = [door(server.address, uid, key) for door in doors]
        reading = [asyncio.create_task(each.read()) for each in readers]
        async with asyncio.timeout(60):
            for seen in (50, 200):
                while min(len(each.events) for each in readers) < seen:
                    await asyncio.sleep(0.01)
                database.kill()
                async with httpx.AsyncClient(timeout=30) as client:
                    answer = await client.get(f"http://{server.address}/healthz")
                    assert answer.status_code == 503
                    await missed(client, f"http://{server.address}")
                await asyncio.to_thread(database.start)
            await asyncio.gather(*reading)
            assert await asyncio.to_thread(writing.wait) == 0
        return list(readers)

    with Server(RPA_ENGINE="none", RPA_DATABASE_URL=database.url) as server:
        first = server.pid
        with program(WRITE, str(LINES), url=database.url) as writing:
            try:
                readers = asyncio.run(watched(server, writing))
            finally:
                writing.kill()
        assert server.pid == first
    for each in readers:
        assert [event["seq"] for event in each.events] == list(range(1, LINES + 4))
        logs = [event["data"]["lines"] for event in each.events if event["kind"] == "log"]
        assert logs == [[f"line {number}"] for number in range(1, LINES + 1)]
        assert each.events == readers[0].events
