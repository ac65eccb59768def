"""Many things watched over one connection: runs, and lists of runs.

Nothing is queued for the client. Each subscription is a cursor that pulls, and sends when it is its
turn: turns go round in the order in which subscriptions ask for them, one frame each. What has to be
read from the table or from storage is read before the turn and by few at a time, so that a long replay
delays nobody else. The next turn begins when the client has taken the frame of the last one.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal
from uuid import UUID

from asgiref.sync import sync_to_async

from accounts.actors import Actor
from accounts.refusals import Invalid
from executions.hub import Dropped, hub
from executions.hub import Subscription as Tailing
from executions.live import (
    BEAT_SECONDS,
    Cursor,
    Delivery,
    End,
    Events,
    Truncated,
    opening,
    status_of,
)
from executions.models import Execution
from executions.news import Watch, news
from executions.wire import as_text
from spaces.access import spaces_allowing

logger = logging.getLogger(__name__)

MOST_SUBSCRIPTIONS = 64
LONGEST_MESSAGE = 1024
#: How long a reader whose access was taken away may go on.
RECHECK_SECONDS = 30.0
#: How long a list says nothing after it has said that it changed.
QUIET_SECONDS = 0.5
_MOST_UNHEARD = 2 * MOST_SUBSCRIPTIONS
_LONGEST_NAME = 64
_LARGEST_NUMBER = 2**63 - 1
#: Pages that lie ready behind the one that is being sent.
_PAGES = 2

Refusal = Literal["not_found", "malformed", "too_many", "fault"]


class Malformed(Exception):
    """The client does not speak this language: there is no sense in listening on."""


class SignedOut(Exception):
    """Whoever opened the connection is nobody any more."""


class _Refused(Exception):
    def __init__(self, code: Refusal) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class _Order:
    name: str
    op: Any
    fields: dict[str, Any]


@dataclass
class _Subscription:
    """One thing that is watched. `execution_id` or `watch` says which; neither is known before the first look."""

    name: str
    execution_id: int | None = None
    #: The space of a list; 0 for the list of all.
    space_id: int | None = None
    watch: Watch | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)


_Work = Callable[[_Subscription], Awaitable[None]]


class Multiplex:
    """The subscriptions of one connection.

    `actor` tells who has opened it, as of now, or None; `send` returns when the client has taken the text.
    """

    def __init__(
        self,
        *,
        actor: Callable[[], Awaitable[Actor | None]],
        send: Callable[[str], Awaitable[None]],
    ) -> None:
        self._ask_actor = actor
        self._send = send
        self._orders: asyncio.Queue[_Order] = asyncio.Queue(_MOST_UNHEARD)
        self._subscriptions: dict[str, _Subscription] = {}
        self._turn = asyncio.Lock()
        self._pages = asyncio.Semaphore(_PAGES)
        self._tasks = asyncio.TaskGroup()

    def hear(self, text: str) -> None:
        """Take an order of the client's; returns at once. Raises Malformed where it is none, or one too many."""
        if len(text) > LONGEST_MESSAGE:
            raise Malformed
        try:
            fields = json.loads(text)
            order = _Order(fields["id"], fields.get("op"), fields)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise Malformed from None
        if not isinstance(order.name, str) or not 0 < len(order.name) <= _LONGEST_NAME:
            raise Malformed
        try:
            self._orders.put_nowait(order)
        except asyncio.QueueFull:
            raise Malformed from None

    async def run(self) -> None:
        """Serve until it is cancelled. Raises SignedOut, or an ExceptionGroup where the platform has a fault."""
        try:
            async with self._tasks:
                for work in (self._obey(), self._beat(), self._check()):
                    self._tasks.create_task(work)
        except ExceptionGroup as group:
            if group.subgroup(SignedOut) is not None:
                raise SignedOut from None
            raise

    # --- orders ---

    async def _obey(self) -> None:
        while True:
            order = await self._orders.get()
            try:
                match order.op:
                    case "subscribe":
                        await self._subscribe(order)
                    case "unsubscribe":
                        self._unsubscribe(order.name)
                    case _:
                        raise _Refused("malformed")
            except _Refused as refused:
                await self._refuse(order.name, refused.code)

    async def _subscribe(self, order: _Order) -> None:
        if order.name in self._subscriptions:
            raise _Refused("malformed")
        if len(self._subscriptions) >= MOST_SUBSCRIPTIONS:
            raise _Refused("too_many")
        match order.fields.get("topic"):
            case "execution":
                uid, after = (
                    _uuid(order.fields.get("execution")),
                    _cursor(order.fields.get("after")),
                )
                number = await _visible(await self._actor(), uid)
                if number is None:
                    raise _Refused("not_found")
                subscription = _Subscription(order.name, execution_id=number)
                self._begin(subscription, partial(self._follow, number, after))
            case "space":
                space = _number(order.fields.get("space"))
                if not await _readable(await self._actor(), [space]):
                    raise _Refused("not_found")
                subscription = _Subscription(order.name, space_id=space)
                self._begin(subscription, partial(self._list, frozenset({space})))
            case "home":
                spaces = await _home(await self._actor())
                subscription = _Subscription(order.name, space_id=0)
                self._begin(subscription, partial(self._list, spaces))
            case _:
                raise _Refused("malformed")

    def _unsubscribe(self, name: str) -> None:
        subscription = self._subscriptions.pop(name, None)
        if subscription is not None and subscription.task is not None:
            subscription.task.cancel()

    def _begin(self, subscription: _Subscription, work: _Work) -> None:
        self._subscriptions[subscription.name] = subscription
        subscription.task = self._tasks.create_task(self._guard(subscription, work))

    async def _guard(self, subscription: _Subscription, work: _Work) -> None:
        """One subscription's fault is not that of the others: the client may come again for it."""
        try:
            await work(subscription)
        except Exception:
            logger.exception("Subscription %s can no longer be served", subscription)
            await self._refuse(subscription.name, "fault")
        finally:
            if self._subscriptions.get(subscription.name) is subscription:
                del self._subscriptions[subscription.name]

    async def _refuse(self, name: str, code: Refusal) -> None:
        async with self._turn:
            await self._send(json.dumps({"type": "refused", "id": name, "code": code}))

    # --- what is watched ---

    async def _follow(self, number: int, after: Cursor, subscription: _Subscription) -> None:
        name = subscription.name
        async with hub().follow(number, after=after.seq) as tail:
            for delivery in opening(tail, after):
                await self._say(name, delivery)
            while await tail.ready():
                try:
                    if tail.at_hand:
                        await self._send_newest(name, tail)
                    else:
                        async with self._pages:
                            await self._say(name, Events(await tail.next()))
                except Dropped as gone:
                    tail.cursor = gone.seq
                    await self._say(name, Truncated(gone.seq + 1))
            await self._say(name, End(await status_of(number), tail.cursor))

    async def _send_newest(self, name: str, tail: Tailing) -> None:
        """Send what lies in memory, taken only now that it is its turn: until then it costs nothing."""
        async with self._turn:
            if tail.at_hand:  # still: it may have waited long
                await self._send(as_text(Events(await tail.next()), name))

    async def _say(self, name: str, delivery: Delivery) -> None:
        async with self._turn:
            await self._send(as_text(delivery, name))

    async def _list(self, spaces: frozenset[int] | None, subscription: _Subscription) -> None:
        """Say that a list has changed: at once, since nobody knows how old the client's is, and then with each ring."""
        async with news().watch(spaces) as watch:
            subscription.watch = watch
            version = 0
            while True:
                version += 1
                changed = {"type": "changed", "id": subscription.name, "version": version}
                async with self._turn:
                    await self._send(json.dumps(changed))
                await asyncio.sleep(QUIET_SECONDS)
                await watch.moved()

    # --- while it lasts ---

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            async with self._turn:
                await self._send('{"type":"hb"}')

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(RECHECK_SECONDS)
            actor = await self._actor()
            watched = list(self._subscriptions.values())
            runs = [each.execution_id for each in watched if each.execution_id is not None]
            visible = await _still_visible(actor, runs) if runs else set()
            spaces = [each.space_id for each in watched if each.space_id]
            readable = await _readable(actor, spaces) if spaces else set()
            lost = [
                each
                for each in watched
                if each.space_id != 0
                and each.execution_id not in visible
                and each.space_id not in readable
                # Its name may have been given to another one meanwhile.
                and self._subscriptions.get(each.name) is each
            ]
            # All at once, and then they are told: that takes as long as the client likes.
            for each in lost:
                self._unsubscribe(each.name)
            for each in watched:
                if each.space_id == 0:
                    await self._renew_home(each, actor)
            for each in lost:
                await self._refuse(each.name, "not_found")

    async def _renew_home(self, subscription: _Subscription, actor: Actor) -> None:
        spaces = await _home(actor)
        if subscription.watch is not None and subscription.watch.spaces != spaces:
            subscription.watch.spaces = spaces
            subscription.watch.ring()

    async def _actor(self) -> Actor:
        actor = await self._ask_actor()
        if actor is None:
            raise SignedOut
        return actor


def _uuid(value: object) -> UUID:
    with suppress(ValueError):
        if isinstance(value, str):
            return UUID(value)
    raise _Refused("malformed")


def _cursor(value: object) -> Cursor:
    with suppress(Invalid):
        if value is None or isinstance(value, str | int):
            return Cursor.parse("" if value is None else str(value))
    raise _Refused("malformed")


def _number(value: object) -> int:
    if type(value) is int and 0 < value <= _LARGEST_NUMBER:
        return value
    raise _Refused("malformed")


@sync_to_async
def _visible(actor: Actor, uid: UUID) -> int | None:
    return Execution.objects.visible_to(actor).filter(uid=uid).values_list("pk", flat=True).first()


@sync_to_async
def _still_visible(actor: Actor, numbers: list[int]) -> set[int]:
    found = Execution.objects.visible_to(actor).filter(pk__in=numbers)
    return set(found.values_list("pk", flat=True))


@sync_to_async
def _readable(actor: Actor, spaces: list[int]) -> set[int]:
    found = spaces_allowing(actor, "execution.view").filter(pk__in=spaces)
    return set(found.values_list("pk", flat=True))


@sync_to_async
def _home(actor: Actor) -> frozenset[int] | None:
    """The spaces whose runs the actor sees; None, which is all, for operators: there may be very many."""
    if actor.is_operator:
        return None
    return frozenset(spaces_allowing(actor, "execution.view").values_list("pk", flat=True))
