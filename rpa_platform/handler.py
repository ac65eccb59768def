"""Django's own handler, arranged so that a request takes one way into one thread."""

import os
from typing import Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from accounts.problems import answer
from rpa_platform.threads import Lane, Threads

#: More would only queue for the interpreter's lock instead.
_THREADS = 16
_MOST_WAITING = 512
_LANE = "rpa_platform.lane"

_shared = Threads(_THREADS, most_waiting=_MOST_WAITING)


class PlatformHandler(ASGIHandler):
    """Does all of a request's synchronous work in one thread, and gives it back where the answer streams.

    Asynchronous views run on the event loop, but hold the thread until they answer: what waits for
    long answers with a stream. The content of streams holds none.
    """

    def __init__(self, threads: Threads = _shared) -> None:
        self._threads = threads
        super().__init__()

    def load_middleware(self, is_async: bool = False) -> None:
        # Asynchronous middleware would each go to the thread and back, for nearly every line they have.
        super().load_middleware(is_async=False)
        self._respond = sync_to_async(self.get_response)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._threads.overloaded:
            busy = answer(503, _("The server is busy. Try again in a moment."), code="busy")
            busy["Retry-After"] = "1"
            await self.send_response(busy, send)
            return
        lane = Lane(self._threads)
        try:
            async with ThreadSensitiveContext(executor=lane):
                await self.handle({**scope, _LANE: lane}, receive, send)
        finally:
            lane.release()

    def create_request(self, scope: Any, body_file: Any) -> Any:
        """A body that came in pieces has a length too: REST framework takes it for empty otherwise."""
        if all(name != b"content-length" for name, _value in scope["headers"]):
            length = body_file.seek(0, os.SEEK_END)
            body_file.seek(0)
            told = (b"content-length", str(length).encode())
            scope = {**scope, "headers": [*scope["headers"], told]}
        return super().create_request(scope, body_file)

    async def run_get_response(self, request: Any) -> HttpResponseBase:
        response = await super().run_get_response(request)
        if response.streaming:
            request.scope[_LANE].release()
        return response

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        return await self._respond(request)


def on_shared_threads(application: Any) -> Any:
    """`application`, whose synchronous calls each take the next free thread and hold none in between."""

    async def shared(scope: Any, receive: Any, send: Any) -> None:
        lane = Lane(_shared)
        lane.release()
        async with ThreadSensitiveContext(executor=lane):
            await application(scope, receive, send)

    return shared
