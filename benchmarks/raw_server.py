"""The baseline of watching: the same server class, and an application that sends everybody one text.

The first line on stdin gives {port}; each following one {times, rate, size}, which is answered when
so many texts were told to all. No table, no cursor, no key, no framework.
"""

import asyncio
import json
import sys
import threading
import time
from typing import Any

import django

django.setup()

from executions.choices import Encoding, EventKind  # noqa: E402
from executions.frames import frame_of  # noqa: E402
from rpa_platform.server import BackpressureServer  # noqa: E402


class Broadcast:
    """Its clients get what is said from their arrival on."""

    def __init__(self) -> None:
        self._seq = 0
        self._text = ""
        self._said: asyncio.Future[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            sending = asyncio.create_task(self._follow(send))
            while (await receive())["type"] != "websocket.disconnect":
                pass
            sending.cancel()

    async def _follow(self, send: Any) -> None:
        while True:
            if self._said is None:
                self._said = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._said)
            await send({"type": "websocket.send", "text": self._text})

    def obey(self, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread of its own: say what stdin asks for."""
        while line := sys.stdin.readline():
            command = json.loads(line)
            began = time.perf_counter()
            for turn in range(command["times"]):
                time.sleep(max(0.0, began + turn / command["rate"] - time.perf_counter()))
                loop.call_soon_threadsafe(
                    self._say, f"{time.time_ns()} ".ljust(command["size"], "x")
                )
            loop.call_soon_threadsafe(lambda: print(json.dumps({"seq": self._seq}), flush=True))

    def _say(self, line: str) -> None:
        self._seq += 1
        payload = json.dumps({"stream": "stdout", "lines": [line]}, separators=(",", ":")).encode()
        now = time.time_ns() // 1_000_000
        frame = frame_of(self._seq, EventKind.LOG, self._seq, Encoding.PLAIN, payload, now)
        self._text = f'{{"type":"events","events":[{frame.text}]}}'
        if self._said is not None:
            self._said.set_result(None)
            self._said = None


def main() -> None:
    port = json.loads(sys.stdin.readline())["port"]
    broadcast = Broadcast()

    def ready() -> None:
        loop = asyncio.get_event_loop()
        threading.Thread(target=broadcast.obey, args=(loop,), daemon=True).start()
        print("{}", flush=True)

    BackpressureServer(
        broadcast, host="127.0.0.1", port=port, ready_callable=ready, signal_handlers=False
    ).run()


if __name__ == "__main__":
    main()
