"""Many runs at once, each watched by clients that keep losing their connection: no line is lost."""

import asyncio
from collections.abc import Iterator

import pytest

from accounts.models import ApiKey
from executions.choices import Status
from executions.models import Execution
from spaces.models import Space
from tests.executions.clients import EventSource, SocketClient, Watcher
from tests.executions.server import Server, check_end, ended, events_of, until
from tests.factories import make_execution, make_robot

pytestmark = pytest.mark.django_db(transaction=True)

RUNS, LINES = 6, 3000
SECONDS = 60.0
SOURCE = """
import rpa, time
for number in range(1, rpa.params()["lines"] + 1):
    print("line", number)
    if number % 100 == 0:
        time.sleep(0.1)
"""


def watchers(server: Server, execution: Execution, key: str, seed: int) -> Iterator[Watcher]:
    """From the start, by both doors; quick and slow."""
    for number in range(4):
        kind = SocketClient if number % 2 else EventSource
        yield kind(
            server.address, str(execution.uid), key, seed=seed * 10 + number, slow=number > 1
        )


def test_every_client_gets_every_line_once_and_in_order(space: Space) -> None:
    key = ApiKey.issue(user=space.creator, name="load")[1]
    robot = make_robot(space, "counter", SOURCE)
    with Server(RPA_SLOTS=str(RUNS)) as server:
        runs = [make_execution(robot, params={"lines": LINES}) for _ in range(RUNS)]
        clients = [
            (run, client)
            for seed, run in enumerate(runs)
            for client in watchers(server, run, key, seed)
        ]

        async def watch_all() -> None:
            async with asyncio.timeout(SECONDS), asyncio.TaskGroup() as group:
                for _run, client in clients:
                    group.create_task(client.watch())

        asyncio.run(watch_all())
        until(lambda: ended(*runs), "All runs end.")
    wanted = {run.pk: events_of(check_end(run)) for run in runs}
    for run in runs:
        assert run.status == Status.COMPLETED, run.message
    for run, client in clients:
        assert client.events == wanted[run.pk]
        lines = [
            line
            for each in client.events
            if each["kind"] == "log"
            for line in each["data"]["lines"]
        ]
        assert lines == [f"line {number}" for number in range(1, LINES + 1)]
        assert client.end["last_seq"] == client.last_seq
    assert sum(client.connections for _run, client in clients) > 3 * len(clients)
