"""What a client that never reads costs: memory of the server, and time of the others."""

import base64
import os
import socket
import threading
from contextlib import ExitStack, suppress

from benchmarks.house import HOST, House, resident_bytes
from benchmarks.report import Figure, kibibytes, milliseconds
from benchmarks.stage import Assistant

_DEAF = 40
_OTHERS = 50
_RATE = 10.0
_TIMES = 35
_MIB = 50
_MOST_KIB = 512
_MOST_TIMES = 2.0


def measure(house: House) -> list[Figure]:
    """50 MiB go into a run while others watch another one: one client reads it, and then forty do not."""
    with ExitStack() as stack:
        house.restart(engine="none")
        speaker = stack.enter_context(Assistant(house, "benchmarks.appender"))
        pourer = stack.enter_context(Assistant(house, "benchmarks.appender"))
        others = stack.enter_context(
            Assistant(house, "benchmarks.crowd", host=HOST, port=house.port, key=house.key)
        )
        run, flood = speaker.ask(do="new"), speaker.ask(do="new")
        others.ask(do="connect", path=run["path"], count=_OTHERS)
        p99s, growths = [], []
        for reads in (True, True, False):
            with ExitStack() as clients:
                before = resident_bytes(house.pid)
                # One reads, so that what the deaf need is not what others have left.
                for _client in range(1 if reads else _DEAF):
                    clients.enter_context(_Client(house, flood["path"], reads=reads))
                others.ask(do="forget")
                pourer.tell(do="pour", number=flood["number"], mib=_MIB, seconds=_TIMES / _RATE)
                said = speaker.ask(
                    do="say", number=run["number"], times=_TIMES, rate=_RATE, size=1024
                )
                pourer.hear()
                others.ask(do="reach", seq=said["seq"])
                p99s.append(float(others.ask(do="tell")["p99"]))
                growths.append(resident_bytes(house.pid) - before)
    # The first time, the server learns what it will need for the others anyway.
    _first, without, meanwhile = p99s
    return [
        Figure(
            name=f"memory of a websocket that is not read, {_MIB} MiB offered",
            measured=kibibytes(growths[-1] / _DEAF),
            goal=f"<= {_MOST_KIB} KiB",
            met=growths[-1] / _DEAF <= _MOST_KIB * 1024,
        ),
        Figure(
            name=f"  {_OTHERS} others meanwhile, append to client, p99",
            measured=milliseconds(meanwhile),
            baseline=f"{milliseconds(without)} when it is read",
            ratio=meanwhile / without,
            goal=f"<= {_MOST_TIMES:.0f}",
            met=meanwhile / without <= _MOST_TIMES,
        ),
    ]


class _Client:
    """A websocket that has been accepted. What it gets is thrown away, or stays where it is."""

    def __init__(self, house: House, path: str, *, reads: bool) -> None:
        self._socket = socket.create_connection((HOST, house.port), timeout=30)
        nonce = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {house.key}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {nonce}\r\n\r\n".encode()
        )
        self._socket.recv(1024)
        self._reading = threading.Thread(target=self._read) if reads else None

    def __enter__(self) -> None:
        if self._reading is not None:
            self._reading.start()

    def __exit__(self, *_error: object) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        if self._reading is not None:
            self._reading.join()
        self._socket.close()

    def _read(self) -> None:
        with suppress(OSError):
            self._socket.settimeout(None)
            while self._socket.recv(2**20):
                pass
