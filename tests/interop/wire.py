"""A client of the run-a-robot stream that looks at every byte, as the real ones do."""

import asyncio
import json
from typing import Any

from asgiref.testing import ApplicationCommunicator

from rpa_platform.asgi import application

PATH = "/rpa/v1/exec"


class Call:
    """One request over ASGI. Reads chunk by chunk, and may hang up at any moment."""

    def __init__(
        self,
        body: Any,
        *,
        token: str | None = None,
        method: str = "POST",
        path: str = PATH,
        **headers: str,
    ) -> None:
        sent = {"host": "localhost", "content-type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["authorization"] = token
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [
                (name.encode(), value.encode()) for name, value in sent.items() if value != "-"
            ],
        }
        self._app = ApplicationCommunicator(application, scope)
        self.status = 0
        self.headers: dict[str, str] = {}
        self.chunks: list[bytes] = []

    async def open(self) -> "Call":
        """Send the request and wait for the head of the answer."""
        await self._app.send_input({"type": "http.request", "body": self.body})
        head = await self._app.receive_output(timeout=10)
        self.status = head["status"]
        self.headers = {name.decode().lower(): value.decode() for name, value in head["headers"]}
        return self

    async def chunk(self) -> bytes | None:
        """The next piece of the body; None at its end."""
        part = await self._app.receive_output(timeout=30)
        if part.get("body"):
            self.chunks.append(part["body"])
            return bytes(part["body"])
        return await self.chunk() if part.get("more_body") else None

    async def rest(self) -> bytes:
        """Read to the end, and return all of the body."""
        part = await self._app.receive_output(timeout=30)
        while True:
            self.chunks.append(part.get("body", b""))
            if not part.get("more_body"):
                break
            part = await self._app.receive_output(timeout=30)
        await self._app.wait(timeout=10)
        return b"".join(self.chunks)

    async def hang_up(self) -> None:
        """Go away as a closed connection does, and wait until the server has noticed."""
        await self._app.send_input({"type": "http.disconnect"})
        await asyncio.wait_for(asyncio.shield(self._app.future), 10)


async def post(body: Any, **more: Any) -> Call:
    """The whole exchange."""
    call = await Call(body, **more).open()
    await call.rest()
    return call


def answer_of(call: Call) -> dict[str, Any]:
    """The final answer; fails unless it is the only `data:` line, well-formed, and the last."""
    assert call.status == 200
    body = b"".join(call.chunks)
    lines = body.split(b"\r\n")
    data = [line for line in lines if line.startswith(b"data:")]
    assert len(data) == 1, body[:2000]
    assert body.endswith(data[0] + b"\r\n\r\n")
    return final(data[0])


def final(line: bytes) -> dict[str, Any]:
    """What the last line of a stream says, checked as the client's model checks it."""
    assert line.startswith(b"data: ")
    assert len(line) + 2 <= 131_072
    found: dict[str, Any] = json.loads(line[6:].decode())
    assert list(found) == ["code", "message", "sid", "data"]
    assert isinstance(found["code"], int)
    assert isinstance(found["message"], str)
    assert isinstance(found["sid"], str)
    assert found["data"] is None or isinstance(found["data"], dict)
    return found
