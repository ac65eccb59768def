"""A bad line: a TCP proxy that cuts all of its connections whenever it is told to."""

import asyncio
import socket
import struct
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

_RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Passes everything on to a port of this host. Use it as a context manager; `cut` from any thread."""

    def __init__(self, to: int) -> None:
        self.port = 0
        self.cuts = 0
        self._to = to
        self._loop = asyncio.new_event_loop()
        self._lines: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        listening = asyncio.run_coroutine_threadsafe(self._listen(), self._loop)
        self.port = listening.result(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def cut(self) -> None:
        """Cut every connection, as a power cut of the line does."""
        self._loop.call_soon_threadsafe(self._cut)

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.close()
            return
        line = (writer, forth)
        self._lines.add(line)
        await asyncio.gather(self._pump(reader, forth), self._pump(back, writer))
        self._lines.discard(line)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(65_536):
                writer.write(piece)
                await writer.drain()
        writer.close()

    def _cut(self) -> None:
        self.cuts += 1
        for line in list(self._lines):
            for end in line:
                own = end.transport.get_extra_info("socket")
                if own.fileno() != -1:  # it may have been closed by its own end
                    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                end.transport.abort()

    async def _end(self) -> None:
        self._server.close()
        self._cut()
        going = asyncio.all_tasks() - {asyncio.current_task()}
        if going:
            await asyncio.wait(going, timeout=5)
        await asyncio.sleep(0)  # the transports close their sockets in the next turn
