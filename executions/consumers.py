"""The websockets: one execution each, or many things over one connection."""

import asyncio
import logging
from contextlib import aclosing, suppress
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

from asgiref.sync import sync_to_async
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings

from accounts.actors import Actor
from accounts.authentication import actor_of_header, actor_of_session
from accounts.refusals import Invalid, Unavailable
from executions.arrivals import arrivals
from executions.live import Cursor, End, follow
from executions.models import Execution
from executions.multiplex import Malformed, Multiplex, SignedOut
from executions.wire import as_text

logger = logging.getLogger(__name__)

MALFORMED, NOT_SIGNED_IN, NOT_FOUND, BROKEN = 4400, 4401, 4404, 1011


class _Socket(AsyncWebsocketConsumer):
    """What the websockets share: who has opened it, and one task that serves it until it is closed."""

    serving: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            # However it ends: nobody is told of a disconnection whose application has failed before.
            if self.serving is not None:
                self.serving.cancel()

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Hand it on. Channels would go to a thread and back first, for connections that the threads see to."""
        await getattr(self, message["type"].replace(".", "_"))(message)

    async def websocket_disconnect(self, message: dict[str, Any]) -> None:
        await self.disconnect(message["code"])
        raise StopConsumer

    async def disconnect(self, code: int) -> None:
        if self.serving is not None:
            self.serving.cancel()
            with suppress(asyncio.CancelledError):
                await self.serving

    async def _actor(self) -> Actor | None:
        async with arrivals().look():
            return await sync_to_async(self._identify)()

    def _identify(self) -> Actor | None:
        """Who has opened it, asked anew: a key may be revoked, and a session ends at sign-out."""
        header = dict(self.scope["headers"]).get(b"authorization", b"").decode("latin-1")
        if header:
            return actor_of_header(header)
        return actor_of_session(self.scope["cookies"].get(settings.SESSION_COOKIE_NAME))


class ExecutionConsumer(_Socket):
    """Sends one execution's events from `?after=` on, until its end or the client's.

    Closes with 4401 for strangers and where a session has ended, 4404 for what is absent or not to be
    seen, 4400 for a bad cursor, 1000 after the `end` frame, 1011 where the database failed, or the provider
    whose token it is. What the client sends is ignored.
    """

    async def connect(self) -> None:
        # Accepted first, so that browsers are told the close code.
        await self.accept()
        try:
            cursor = Cursor.parse(self._query("after"))
        except Invalid:
            await self.close(MALFORMED)
            return
        execution_id, refusal = await self._look()
        if execution_id is None:
            await self.close(refusal)
            return
        self.serving = asyncio.create_task(self._follow(execution_id, cursor))

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Nothing that a client says changes what it may read."""

    async def _follow(self, execution_id: int, cursor: Cursor) -> None:
        code = 1000
        try:
            async with aclosing(
                follow(execution_id, cursor, allowed=self._still_allowed)
            ) as deliveries:
                ended = False
                async for delivery in deliveries:
                    await self.send(text_data=as_text(delivery))
                    ended = isinstance(delivery, End)
            if not ended:
                _execution_id, code = await self._look()
        except Exception:
            # The client comes again with its cursor, and misses nothing.
            logger.exception("Execution %s can no longer be followed", execution_id)
            code = BROKEN
        await self.close(code)

    async def _still_allowed(self) -> bool:
        execution_id, _refusal = await self._look()
        return execution_id is not None

    async def _look(self) -> tuple[int | None, int]:
        """The execution, and the code to close with where there is none to be seen."""
        async with arrivals().look():
            return await sync_to_async(self._find)()

    def _find(self) -> tuple[int | None, int]:
        try:
            actor = self._identify()
        except Unavailable:  # the identity provider, whose token it is
            return None, BROKEN
        if actor is None:
            return None, NOT_SIGNED_IN
        uid: UUID = self.scope["url_route"]["kwargs"]["uid"]
        found = Execution.objects.visible_to(actor).filter(uid=uid)
        return found.values_list("pk", flat=True).first(), NOT_FOUND

    def _query(self, name: str) -> str:
        values: dict[str, list[str]] = parse_qs(self.scope["query_string"].decode("latin-1"))
        return values.get(name, [""])[0]


class MultiplexConsumer(_Socket):
    """Everything that one client watches, over one connection; see docs/api.md for what is said.

    Closes with 4401 for strangers and where a session has ended, 4400 for what is no order or for too
    many of them at once, 1011 where the platform failed.
    """

    multiplex: Multiplex | None = None

    async def connect(self) -> None:
        await self.accept()
        try:
            actor = await self._actor()
        except Unavailable:
            await self.close(BROKEN)
            return
        if actor is None:
            await self.close(NOT_SIGNED_IN)
            return
        self.multiplex = Multiplex(actor=self._actor, send=self._say)
        self.serving = asyncio.create_task(self._serve(self.multiplex))

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self.multiplex is None:
            return
        try:
            self.multiplex.hear(text_data or "")
        except Malformed:
            await self._end(MALFORMED)

    async def _serve(self, multiplex: Multiplex) -> None:
        code = BROKEN
        try:
            await multiplex.run()
        except SignedOut:
            code = NOT_SIGNED_IN
        except Exception:
            logger.exception("A connection can no longer be served")
        self.multiplex = None
        await self.close(code)

    async def _end(self, code: int) -> None:
        self.multiplex = None
        await self.disconnect(code)
        await self.close(code)

    async def _say(self, text: str) -> None:
        await self.send(text_data=text)


class UnknownPath(AsyncWebsocketConsumer):
    """For paths at which no socket lives: the client is told so, and nothing is logged as an error."""

    async def connect(self) -> None:
        await self.accept()
        await self.close(NOT_FOUND)
