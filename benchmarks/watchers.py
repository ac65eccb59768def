"""A process full of watchers: each follows one run by server-sent events, and checks all that it gets.

Reads {host, port, key, executions, each, lines} as JSON from stdin; prints one JSON line when all
watchers are connected, and one with what they saw when all runs have ended.
"""

import asyncio
import json
import sys
import time
from functools import partial
from typing import Any

from benchmarks.client import request


class Watcher(asyncio.Protocol):
    """One connection. Everything that it gets must be the next thing of the stream."""

    def __init__(self, execution: str, key: str, lines: int) -> None:
        loop = asyncio.get_running_loop()
        self.connected: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        #: When each line was printed and how much later it was here, in nanoseconds.
        self.seen: list[tuple[int, int]] = []
        self.faults: list[str] = []
        self._execution = execution
        self._key = key
        self._lines = lines
        self._raw = b""
        self._text = b""
        self._seq = self._line = self._tick = 0
        self._complete = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(request("GET", f"/api/v1/executions/{self._execution}/stream", self._key))

    def data_received(self, data: bytes) -> None:
        arrived = time.time_ns()
        self._raw += data
        if not self.connected.done():
            head, found, self._raw = self._raw.partition(b"\r\n\r\n")
            if not found:
                self._raw = head
                return
            if b" 200 " not in head.partition(b"\r\n")[0]:
                self._fault(f"answered {head[:80]!r}")
                self._transport.close()
            self.connected.set_result(None)
        self._unchunk()
        *events, self._text = self._text.split(b"\n\n")
        for event in events:
            self._take(event, arrived)

    def connection_lost(self, _error: Exception | None) -> None:
        if not self._complete:
            self._fault(f"was cut off after event {self._seq}")
        for future in (self.connected, self.ended):
            if not future.done():
                future.set_result(None)

    def _unchunk(self) -> None:
        while True:
            size, found, rest = self._raw.partition(b"\r\n")
            if not found:
                return
            length = int(size, 16)
            if len(rest) < length + 2:
                return
            self._text += rest[:length]
            self._raw = rest[length + 2 :]

    def _take(self, event: bytes, arrived: int) -> None:
        fields = dict(line.split(b": ", 1) for line in event.split(b"\n") if line[:1] != b":")
        if not fields:
            return
        data = json.loads(fields[b"data"])
        if fields[b"event"] == b"end":
            self._end(data)
            return
        if int(fields[b"id"]) != self._seq + 1:
            self._fault(f"got event {int(fields[b'id'])} after {self._seq}")
        self._seq = int(fields[b"id"])
        if fields[b"event"] == b"log":
            self._take_lines(data["data"], arrived)

    def _take_lines(self, log: dict[str, Any], arrived: int) -> None:
        if log["first_line"] != self._line + 1:
            self._fault(f"got line {log['first_line']} after {self._line}")
        self._line = log["first_line"] + len(log["lines"]) - 1
        for line in log["lines"]:
            word, number, printed = line.split(" ")
            if word != "tick" or int(number) != self._tick:
                self._fault(f"got {line!r} instead of tick {self._tick}")
            self._tick = int(number) + 1
            self.seen.append((int(printed), arrived - int(printed)))

    def _end(self, data: dict[str, Any]) -> None:
        self._complete = True
        if data["status"] != "COMPLETED":
            self._fault(f"saw it end as {data['status']}")
        if data["last_seq"] != self._seq or self._tick != self._lines:
            self._fault(f"ended with event {self._seq} of {data['last_seq']}, line {self._tick}")
        self._transport.close()
        self.ended.set_result(None)

    def _fault(self, what: str) -> None:
        self.faults.append(f"A watcher of {self._execution} {what}.")


async def main() -> None:
    given = json.load(sys.stdin)
    loop = asyncio.get_running_loop()
    watchers = [
        Watcher(execution, given["key"], given["lines"])
        for execution in given["executions"] * given["each"]
    ]
    for watcher in watchers:
        await loop.create_connection(partial(_itself, watcher), given["host"], given["port"])
    await asyncio.gather(*(each.connected for each in watchers))
    _tell({"connected": time.time_ns()})
    await asyncio.gather(*(each.ended for each in watchers))
    _tell(
        {
            "faults": [fault for each in watchers for fault in each.faults],
            "seen": [pair for each in watchers for pair in each.seen],
        }
    )


def _itself(watcher: Watcher) -> Watcher:
    return watcher


def _tell(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
