"""The platform's HTTP doors, by hand: a client's own cost must not show in what is measured."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Incorrect(Exception):
    """The platform did something wrong: no figure makes up for that."""


def request(method: str, path: str, key: str, body: object = None) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


class Connection:
    """One kept connection, for one request after the other."""

    def __init__(self, host: str, port: int, key: str) -> None:
        self._address = (host, port)
        self._key = key

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(*self._address)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def run_robot(self, robot: str, params: dict[str, Any] | None = None) -> str:
        """Request a run; its id."""
        body = {"robot": robot, "params": params or {}}
        self._writer.write(request("POST", "/api/v1/executions/", self._key, body))
        status, length = await self._head()
        content = await self._reader.readexactly(length)
        if status != 201:
            raise Incorrect(f"A run was answered {status}: {content[:500]!r}")
        return str(json.loads(content)["id"])

    async def final_answer(self, robot: str) -> dict[str, Any]:
        """What `POST /rpa/v1/exec` says at last."""
        self._writer.write(request("POST", "/rpa/v1/exec", self._key, {"project_id": robot}))
        await self._head()
        while line := await self._reader.readline():
            if line.startswith(b"data: "):
                answer: dict[str, Any] = json.loads(line[6:])
                return answer
        raise Incorrect("The stream of /rpa/v1/exec ended without an answer.")

    async def _head(self) -> tuple[int, int]:
        """The status and the length of the answer's content, 0 if it is a stream."""
        first, *lines = (await self._reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in lines if line)
        return int(first.split(b" ")[1]), int(fields.get(b"content-length", b"0"))


class Commits:
    """Sees when a stream is closed, by looking into the database from outside the server.

    What it sees is committed. `look` is how often it looks, in seconds: that takes processor time,
    of which the server may want all that there is.
    """

    def __init__(self, database: Path, *, look: float) -> None:
        self._connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        self._waiting: dict[str, asyncio.Future[float]] = {}
        self._version = -1
        self._look = look

    def close(self) -> None:
        self._connection.close()

    async def closed(self, uid: str) -> float:
        """The moment (perf_counter) at which the stream of this run was found closed."""
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        name = uid.replace("-", "")
        self._waiting[name] = future
        self._version = -1
        if len(self._waiting) == 1:
            self._look_on()
        return await future

    def _look_on(self) -> None:
        """Look now, and again and again while somebody waits. A plain timer: no task to be lost."""
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self._version = version
            for name, status in self._ended(tuple(self._waiting)):
                future = self._waiting.pop(name)
                if future.done():
                    continue
                if status == "COMPLETED":
                    future.set_result(time.perf_counter())
                else:
                    future.set_exception(Incorrect(f"Run {name} ended as {status}."))
        if self._waiting:
            asyncio.get_running_loop().call_later(self._look, self._look_on)

    def _ended(self, names: tuple[str, ...]) -> Iterable[tuple[str, str]]:
        marks = ",".join("?" * len(names))
        return self._connection.execute(
            "SELECT e.uid, e.status FROM executions_execution e JOIN executions_executionstream s "
            f"ON s.execution_id = e.id WHERE s.closed AND e.uid IN ({marks})",
            names,
        ).fetchall()
