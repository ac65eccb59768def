"""A server that is started before its database serves as soon as that is there."""

import asyncio
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import pytest
from django.db import connection

from tests.executions.server import database_url, manage

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        connection.vendor != "mysql", reason="SQLite is a file: it is there or never will be."
    ),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError), closing(writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


@contextmanager
def forwarding(port: int, host: str, to: int) -> Iterator[None]:
    """The database is at `port`, too."""
    loop, ending = asyncio.new_event_loop(), asyncio.Event()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection(host, to)
        await asyncio.gather(carry(reader, ours), carry(theirs, writer))

    async def forward() -> None:
        async with await asyncio.start_server(connected, "127.0.0.1", port):
            await ending.wait()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        thread = threading.Thread(target=runner.run, args=(forward(),))
        thread.start()
        yield
        loop.call_soon_threadsafe(ending.set)
        thread.join()


def line_of(process: "subprocess.Popen[str]", start: str) -> str:
    """The first line on its standard error or output that begins so."""
    stream = process.stderr if start.startswith("The") else process.stdout
    assert stream is not None
    for line in stream:
        if line.startswith(start):
            return line
    raise AssertionError(f"It ended with {process.wait()} before it said {start!r}.")


def test_a_server_waits_for_a_database_that_comes_up_after_it() -> None:
    at, port = connection.settings_dict, free_port()
    real = f"{at['HOST']}:{at['PORT'] or 3306}"
    url = database_url().replace(real, f"127.0.0.1:{port}")
    options = ("--port", str(free_port()))
    with manage("serve", *options, RPA_DATABASE_URL=url, RPA_ENGINE="none") as server:
        try:
            line_of(server, "The database does not answer yet, waiting up to 60 s for it: ")
            with forwarding(port, str(at["HOST"]), int(at["PORT"] or 3306)):
                line_of(server, "RPA Platform")
                server.terminate()
                assert server.wait(30) == 0
        finally:
            server.kill()
