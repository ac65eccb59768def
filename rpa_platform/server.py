"""Daphne with back-pressure: a client that does not read makes its own application wait.

Stock daphne's `send()` returns at once and buffers without bound. Here every connection has a gate
that the transport closes while its buffer is full; an application's `send()` waits at it.
"""

import asyncio
import json
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import autobahn.twisted.websocket
import autobahn.websocket.protocol
from autobahn.exception import Disconnected
from daphne.server import Server
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.web.http import Request
from twisted.web.http_headers import Headers
from zope.interface import implementer


def _as_it_is(value: Any, *_how: Any, **_more: Any) -> Any:
    return value


# For every frame, autobahn words and colours debug lines before anybody has asked for them.
for _module in (autobahn.twisted.websocket, autobahn.websocket.protocol):
    for _name in {"hltype", "hlval", "pformat"} & vars(_module).keys():
        setattr(_module, _name, _as_it_is)

#: A burst of reconnecting clients must not overflow the kernel's queue into retries.
_BACKLOG = 1024
#: How many of them are let in before it is the others' turn: twisted's own number grows into the hundreds.
_LET_IN_AT_ONCE = 8
#: How long the end of the server waits for what it has cancelled.
_END_SECONDS = 5.0
#: What a websocket's client may say at once, and of which length. Its application hears at its own pace.
_MOST_UNHEARD = 128
_LONGEST_MESSAGE = 4096
#: Twisted's websockets have one limit for both ways; one event with a result is longer than a mebibyte.
_LONGEST_SENT = 16 * 2**20
#: RFC 6455, section 7.4.1: the server met what keeps it from going on.
_FAULT = 1011

#: Bytes of a body. Above them a request is refused before it is in memory; below, its view has limits of its own.
_MOST_BYTES = 5 * 2**20
_MOST_UPLOADED_BYTES = 101 * 2**20
_UPLOADS = (b"/robots/", b"/api/v1/robots/")
_PROBLEM = json.dumps(
    {
        "type": "about:blank",
        "title": "Content Too Large",
        "status": 413,
        "detail": "The request is too large.",
        "code": "too_large",
    }
).encode()
_TOO_LARGE = (
    b"HTTP/1.1 413 Content Too Large\r\nContent-Type: application/problem+json\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(_PROBLEM), _PROBLEM)
)


class Meter:
    """Counts the body of one request, and ends the connection when it is too long."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self._take = request.handleContentChunk
        self._announced = request.gotLength
        self._left = _MOST_BYTES
        self._refused = False

    def announce(self, length: int | None) -> None:
        """The headers are read; a body in pieces has no length."""
        if self._request.channel._path.startswith(_UPLOADS):
            self._left = _MOST_UPLOADED_BYTES
        self._announced(length)
        if length is not None and length > self._left:
            self._refuse()

    def take(self, piece: bytes) -> None:
        self._left -= len(piece)
        if self._left < 0:
            self._refuse()
        elif not self._refused:
            self._take(piece)

    def _refuse(self) -> None:
        if not self._refused:
            self._refused = True
            self._request.channel.transport.write(_TOO_LARGE)
            self._request.channel.loseConnection()


def _answer_fault(request: Any, answer: Callable[[Exception], None], error: Exception) -> None:
    """Cut off an answer that breaks in its midst, so that its client knows, and comes again.

    daphne would begin a second answer, fail at that, and look after no connection from then on.
    """
    if request.startedWriting:
        request.channel.forceAbortClient()
        return
    request._response_started = False
    request.responseHeaders = Headers()
    answer(error)


def check_address(host: str, port: int) -> None:
    """Raise OSError if nothing can listen there."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind((host, port))
        place.listen()


@implementer(IPushProducer)
class Gate:
    """Open while the transport takes data. Lost connections open it: their sends go nowhere."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()

    def pauseProducing(self) -> None:
        self._open.clear()

    def resumeProducing(self) -> None:
        self._open.set()

    def stopProducing(self) -> None:
        self._open.set()

    async def passed(self) -> None:
        await self._open.wait()


class Unheard:
    """What a client has said and its application has not heard yet. Who says too much is cut off.

    Reading it takes the event loop's time, and with it everybody's, whatever the application does.
    """

    def __init__(self, queue: "asyncio.Queue[dict[str, Any]]", protocol: Any) -> None:
        self._queue = queue
        self._protocol = protocol

    def put_nowait(self, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.receive" and self._is_too_much(message):
            self._protocol.dropConnection(abort=True)  # its application is told that it has gone
        else:
            self._queue.put_nowait(message)

    def _is_too_much(self, message: dict[str, Any]) -> bool:
        said = message.get("text") or message.get("bytes") or ""
        return len(said) > _LONGEST_MESSAGE or self._queue.qsize() >= _MOST_UNHEARD


class BackpressureServer(Server):  # type: ignore[misc]
    """A daphne server on one address, whose applications wait for slow clients."""

    def __init__(self, application: Any, *, host: str, port: int, **options: Any) -> None:
        interface = host.replace(":", r"\:")
        endpoint = f"tcp:port={port}:interface={interface}:backlog={_BACKLOG}"
        super().__init__(
            application,
            endpoints=[endpoint],
            websocket_max_message_size=_LONGEST_SENT,
            websocket_max_frame_size=_LONGEST_MESSAGE,
            **options,
        )
        self.listening_error = ""

    def run(self) -> None:
        """Serve until a signal ends it, whenever that comes.

        twisted takes them when it has begun to start, and what another handler raises meanwhile it logs and
        forgets: the server would go on for ever.
        """
        if self.signal_handlers:
            signal.signal(signal.SIGTERM, reactor.sigTerm)
            signal.signal(signal.SIGINT, reactor.sigInt)
        super().run()

    def listen_error(self, failure: Any) -> None:
        self.listening_error = failure.getErrorMessage()
        self.stop()

    def listen_success(self, port: Any) -> None:
        def let_in() -> None:
            port.numberAccepts = _LET_IN_AT_ONCE
            type(port).doRead(port)

        port.doRead = let_in
        super().listen_success(port)

    def protocol_connected(self, protocol: Any) -> None:
        # Django reads forms. twisted would do so first, on the event loop, with a whole upload in memory.
        protocol._parsePOSTFormSubmission = False
        if isinstance(protocol, Request):
            meter = Meter(protocol)
            protocol.gotLength, protocol.handleContentChunk = meter.announce, meter.take
            protocol.handle_exception = partial(_answer_fault, protocol, protocol.handle_exception)
        super().protocol_connected(protocol)

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        queue = super().create_application(protocol, scope)
        return Unheard(queue, protocol) if queue and scope["type"] == "websocket" else queue

    def kill_all_applications(self) -> Deferred[Any]:
        """Cancel all that goes on, and be done when it has come to its end.

        daphne cancels the applications alone. What these leave behind then dies with the interpreter,
        sometimes violently; and a request that is still coming in has no application to be cancelled.
        """
        going = asyncio.all_tasks()
        for task in going:
            task.cancel()
        end = asyncio.wait(going, timeout=_END_SECONDS) if going else asyncio.sleep(0)
        return Deferred.fromFuture(asyncio.ensure_future(end))

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        last = message["type"] == "http.response.body" and not message.get("more_body")
        details = self.connections.get(protocol, {})
        # A connection that is lost has let go of its gate by itself.
        if last and details.pop("gate", None) and not details.get("disconnected"):
            protocol.unregisterProducer()
        with suppress(Disconnected):  # its application has not been told yet
            if message["type"] == "websocket.close" and message.get("code") == _FAULT:
                # autobahn refuses to send it, though it is what RFC 6455 has for a server's fault.
                protocol.sendCloseFrame(code=_FAULT)
            else:
                await super().handle_reply(protocol, message)
        gate = self._gate(protocol, message)
        if gate is not None:
            await gate.passed()

    def _gate(self, protocol: Any, message: dict[str, Any]) -> Gate | None:
        """The connection's gate, put in at its first data; none where an answer is one small piece."""
        details = self.connections.get(protocol)
        if details is None or details.get("disconnected"):
            return None
        gate: Gate | None = details.get("gate")
        match message["type"]:
            case "websocket.send" | "websocket.accept" if gate is None and protocol.transport:
                gate = details["gate"] = Gate()
                # The HTTP channel that this connection began as is still registered with it.
                protocol.transport.unregisterProducer()
                protocol.transport.registerProducer(gate, True)  # noqa: FBT003
            case "http.response.body" if message.get("more_body") and gate is None:
                gate = details["gate"] = Gate()
                protocol.registerProducer(gate, True)  # noqa: FBT003
        return gate
