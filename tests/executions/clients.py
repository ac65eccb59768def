"""Clients of the two live doors that lose their connection at random and go on where they were."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from typing import Any, Protocol

import httpx
import websockets
from websockets.exceptions import ConnectionClosed

JSON = dict[str, Any]


class Watcher(Protocol):
    """Whoever reads one run to its end."""

    events: list[JSON]
    connections: int
    end: JSON

    async def watch(self) -> None:
        """Return when the stream has ended and all of it was read."""


class _Client:
    """What both kinds share: what was read so far, and the whims of a bad line."""

    def __init__(self, address: str, uid: str, key: str, *, seed: int, slow: bool = False) -> None:
        self.events: list[JSON] = []
        self.connections = 0
        self.end: JSON = {}
        self._address = address
        self._uid = uid
        self._headers = {"Authorization": f"Bearer {key}"}
        self._dice = random.Random(seed)
        self._slow = slow

    @property
    def last_seq(self) -> int:
        return int(self.events[-1]["seq"]) if self.events else 0

    def _patience(self) -> int:
        """How many messages this connection will last."""
        self.connections += 1
        return self._dice.choice([1, 1, 2, 3, 5, 30])

    async def _dawdle(self) -> None:
        if self._slow:
            await asyncio.sleep(self._dice.random() / 50)


class SocketClient(_Client):
    """Resumes with `?after=`."""

    async def watch(self) -> None:
        while not self.end:
            address = f"ws://{self._address}/ws/executions/{self._uid}/?after={self.last_seq}"
            async with websockets.connect(
                address,
                additional_headers=self._headers,
                origin=f"http://{self._address}",  # type: ignore[arg-type]
                max_size=2**24,
                close_timeout=1,
            ) as socket:
                await self._read(socket)

    async def _read(self, socket: Any) -> None:
        patience = self._patience()
        try:
            async for message in socket:
                content = json.loads(message)
                if content["type"] == "events":
                    self.events += content["events"]
                elif content["type"] != "hb":
                    self.end = content
                    return
                await self._dawdle()
                patience -= 1
                if patience <= 0:
                    if self._dice.random() < 0.5:
                        socket.transport.abort()
                    return
        except ConnectionClosed:
            return


class EventSource(_Client):
    """Resumes with `Last-Event-ID`, and stops at 204."""

    async def watch(self) -> None:
        address = f"http://{self._address}/api/v1/executions/{self._uid}/stream"
        async with httpx.AsyncClient(headers=self._headers, timeout=60) as http:
            while not self.end:
                resume = {"Last-Event-ID": str(self.last_seq)} if self.events else {}
                async with http.stream("GET", address, headers=resume) as response:
                    if response.status_code == 204:
                        self.end = {"type": "end", "last_seq": self.last_seq}
                        return
                    assert response.status_code == 200, await response.aread()
                    await self._read(response)

    async def _read(self, response: httpx.Response) -> None:
        patience = self._patience()
        async for kind, data in _server_sent(response):
            if kind == "end":
                self.end = {"type": "end", **data}
                return
            assert kind != "reset", data
            self.events.append(data)
            await self._dawdle()
            patience -= 1
            if patience <= 0:
                return


async def _server_sent(response: httpx.Response) -> AsyncIterator[tuple[str, JSON]]:
    """Whole events only: what a lost connection cut off was never received."""
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line:
            name, _colon, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield fields["event"], json.loads(fields["data"])
            fields = {}
