"""One connection to the server's live doors, by websocket and by server-sent events."""

import asyncio
import json
from typing import TYPE_CHECKING

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from benchmarks.client import request
from benchmarks.soak.judge import Fault, Reading
from benchmarks.soak.tally import Tally

if TYPE_CHECKING:
    from benchmarks.soak.readers import Whims

HOST = "127.0.0.1"
_EVENTS = '{"type":"events","events":['
#: What a server whose database is away closes with, and what a dead one leaves.
_EXCUSED = {1000, 1001, 1006, 1011, 1012}


class Away(Exception):
    """The server is not there, or not able: come again."""


class Socket:
    """A websocket, resumed with `?after=`."""

    def __init__(self, port: int, key: str) -> None:
        self._origin = f"ws://{HOST}:{port}"
        self._headers = {"Authorization": f"Bearer {key}"}

    async def __call__(self, reading: Reading, whims: "Whims", tally: Tally) -> bool:
        address = f"{self._origin}/ws/executions/{reading.uid}/?after={reading.seq}"
        try:
            async with connect(
                address,
                additional_headers=self._headers,
                compression=None,
                max_size=None,
                close_timeout=0.5,
                ping_interval=None,
            ) as socket:
                async for message in socket:
                    text = message if isinstance(message, str) else message.decode()
                    if text.startswith(_EVENTS):
                        events = reading.take_all(text, len(_EVENTS))
                        tally.count(deliveries=events)
                        if not await whims.bear(events):
                            if whims.rude:
                                socket.transport.abort()
                            return False
                    elif self._ended(json.loads(text), reading):
                        return True
            code = socket.close_code
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else 1006
        except (OSError, EOFError, InvalidHandshake, TimeoutError) as error:
            raise Away from error
        if code not in _EXCUSED:
            raise Fault("wrong", f"Run {reading.number}: the socket was closed with {code}.")
        raise Away

    def _ended(self, told: dict[str, object], reading: Reading) -> bool:
        match told["type"]:
            case "end":
                reading.end(told)
                return True
            case "hb":
                return False
        raise Fault("wrong", f"Run {reading.number}: {told} at event {reading.seq}.")


class EventSource:
    """Server-sent events, resumed with `Last-Event-ID`."""

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        self._key = key

    async def __call__(self, reading: Reading, whims: "Whims", tally: Tally) -> bool:
        try:
            reader, writer = await asyncio.open_connection(HOST, self._port)
        except OSError as error:
            raise Away from error
        try:
            path = f"/api/v1/executions/{reading.uid}/stream"
            head = request("GET", path, self._key)
            writer.write(head.replace(b"\r\n", f"\r\nLast-Event-ID: {reading.seq}\r\n".encode(), 1))
            return await self._read(reader, reading, whims, tally)
        except (OSError, asyncio.IncompleteReadError) as error:
            raise Away from error
        finally:
            writer.transport.abort()

    async def _read(
        self, reader: asyncio.StreamReader, reading: Reading, whims: "Whims", tally: Tally
    ) -> bool:
        status = int((await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1])
        if status >= 500:
            raise Away
        if status == 204:
            reading.end({"status": reading.status, "last_seq": reading.seq})
            return True
        if status != 200:
            raise Fault("wrong", f"Run {reading.number}: the stream was answered {status}.")
        rest = ""
        raw = b""
        while True:
            size = int(await reader.readuntil(b"\r\n"), 16)
            raw += await reader.readexactly(size)
            await reader.readexactly(2)
            if not size:
                raise Away  # the server ends, or its database does
            whole, found, raw = raw.rpartition(b"\n\n")
            if not found:
                continue
            *events, rest = (rest + (whole + found).decode()).split("\n\n")
            before = reading.seq
            for event in events:
                if self._take(event, reading):
                    tally.count(deliveries=reading.seq - before)
                    return True
            tally.count(deliveries=reading.seq - before)
            if not await whims.bear(reading.seq - before):
                return False

    def _take(self, event: str, reading: Reading) -> bool:
        """Whether this was the end."""
        fields = dict(line.split(": ", 1) for line in event.split("\n") if not line.startswith(":"))
        match fields.get("event"):
            case None:
                return False
            case "end":
                reading.end(json.loads(fields["data"]))
                return True
            case "reset" | "truncated":
                raise Fault("wrong", f"Run {reading.number}: {event!r} at event {reading.seq}.")
        reading.take(fields["data"])
        if fields["id"] != str(reading.seq):
            raise Fault("wrong", f"Run {reading.number}: event {reading.seq} is called {event}.")
        return False
