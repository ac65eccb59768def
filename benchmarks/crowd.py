"""A process full of websockets, which check what they get: each event is the next one, whole.

Told on stdin, line by line, what to do; says on stdout what came of it. The first line gives {host, port, key}.
"""

import asyncio
import base64
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.report import percentile

_EVENTS = b'{"type":"events"'
_PATIENCE_SECONDS = 60.0


class Socket(asyncio.Protocol):
    """One websocket, which may be dropped and come back. The text of each log event begins with its time."""

    def __init__(self, crowd: "Crowd", path: str, *, whole: bool) -> None:
        self._crowd = crowd
        self._path = path
        self._whole = whole
        #: The last event that was taken.
        self.seq = 0
        self.open = False
        self._transport: asyncio.Transport | None = None
        self._raw = b""

    async def come(self, host: str, port: int) -> None:
        """Connect, or come back with the cursor."""
        self.open, self._raw = False, b""
        await asyncio.get_running_loop().create_connection(lambda: self, host, port)

    def drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        nonce = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET {self._path}?after={self.seq} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: Bearer {self._crowd.key}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {nonce}\r\n"
            "\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        now = time.time_ns()
        self._raw += data
        if not self.open:
            head, found, rest = self._raw.partition(b"\r\n\r\n")
            if not found:
                return
            if b" 101 " not in head.partition(b"\r\n")[0]:
                self._crowd.faults.append(f"A websocket was answered {head[:80]!r}.")
            self._raw, self.open = rest, True
        while (frame := self._frame()) is not None:
            if frame.startswith(_EVENTS):
                self._take(json.loads(frame)["events"], now)

    def connection_lost(self, _error: Exception | None) -> None:
        self.open = False

    def _frame(self) -> bytes | None:
        """The next whole frame's payload; a server's frames are not masked."""
        raw = self._raw
        if len(raw) < 2:
            return None
        start, length = 2, raw[1]
        if length == 126:
            start, length = 4, int.from_bytes(raw[2:4], "big")
        elif length == 127:
            start, length = 10, int.from_bytes(raw[2:10], "big")
        if len(raw) < start + length:
            return None
        self._raw = raw[start + length :]
        if raw[0] & 15 == 8:
            self._crowd.faults.append(f"A websocket was closed with {raw[start : start + 2]!r}.")
        return raw[start : start + length]

    def _take(self, events: list[dict[str, Any]], now: int) -> None:
        self._crowd.frames += 1
        self._crowd.events += len(events)
        for event in events:
            if self._whole and event["seq"] != self.seq + 1:
                self._crowd.faults.append(f"Event {event['seq']} came after {self.seq}.")
            self.seq = event["seq"]
            if event["kind"] == "log":
                printed = int(event["data"]["lines"][0].partition(" ")[0])
                self._crowd.ages.append((now - printed) / 1e9)


class Crowd:
    """All of them, and what they have seen."""

    def __init__(self, host: str, port: int, key: str) -> None:
        self.key = key
        self.faults: list[str] = []
        self.frames = self.events = 0
        self.ages: list[float] = []
        self._address = (host, port)
        self._sockets: list[Socket] = []

    async def obey(self, command: dict[str, Any]) -> dict[str, Any]:
        """Do it, and say what came of it."""
        deed = getattr(self, f"do_{command.pop('do')}")
        async with asyncio.timeout(_PATIENCE_SECONDS):
            told: dict[str, Any] = await deed(**command)
        return {**told, "faults": self.faults[:50]}

    async def do_connect(self, path: str, count: int, whole: bool = True) -> dict[str, Any]:
        """So many more on one stream, some at a time. One that is not `whole` promises nothing."""
        new = [Socket(self, path, whole=whole) for _socket in range(count)]
        self._sockets += new
        began = time.perf_counter()
        for start in range(0, count, 50):
            some = new[start : start + 50]
            await asyncio.gather(*(each.come(*self._address) for each in some))
            await self._until(lambda some=some: all(each.open for each in some))
        return {"seconds": time.perf_counter() - began}

    async def do_reach(self, seq: int) -> dict[str, Any]:
        """Return when all have got event `seq`."""
        await self._until(lambda: all(each.seq >= seq for each in self._sockets))
        return {}

    async def do_forget(self) -> dict[str, Any]:
        """Count from here on."""
        self.frames = self.events = 0
        self.ages.clear()
        return {}

    async def do_tell(self) -> dict[str, Any]:
        """What was counted."""
        ages = self.ages or [0.0]
        return {
            "frames": self.frames,
            "events": self.events,
            "p50": percentile(ages, 50),
            "p99": percentile(ages, 99),
            "most": max(ages),
        }

    async def do_drop(self) -> dict[str, Any]:
        """All connections break off."""
        for each in self._sockets:
            each.drop()
            each.open = False
        return {}

    async def do_leave(self) -> dict[str, Any]:
        """As `drop`, and they do not come again."""
        await self.do_drop()
        self._sockets.clear()
        return {}

    async def do_return(self, seq: int) -> dict[str, Any]:
        """All come back at once, with their cursors; until they are accepted, and until they have event `seq`."""
        began = time.perf_counter()
        await asyncio.gather(*(each.come(*self._address) for each in self._sockets))
        accepted = await self._until(lambda: all(each.open for each in self._sockets))
        await self.do_reach(seq)
        return {"accepted": accepted - began, "caught_up": time.perf_counter() - began}

    async def _until(self, condition: Callable[[], bool]) -> float:
        """The moment from which it holds, or from which there was a fault."""
        while not (self.faults or condition()):
            await asyncio.sleep(0.005)
        return time.perf_counter()


async def main() -> None:
    crowd = Crowd(**json.loads(sys.stdin.readline()))
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await crowd.obey(json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
