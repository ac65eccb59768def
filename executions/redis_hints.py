"""Hints between processes, by Redis pub/sub: small, lossy, and never waited for.

A message names a stream's head, or where a run stands now; the reader goes to the table for what it
means. Without Redis, or with one that flaps, everything still arrives, by the polls of the hub and of
the news.
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from redis import Redis, RedisError
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from executions.events import Head
from executions.hints import Move

logger = logging.getLogger(__name__)

#: At most this often a stream's head is told.
INTERVAL_SECONDS = 0.05
MOVES = "rpa:moves"
_TIMEOUT_SECONDS = 0.5
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0


def channel_of(execution_id: int) -> str:
    return f"rpa:stream:{execution_id}"


def encode(head: Head) -> str:
    return f"{head.epoch}:{head.last_seq}:{int(head.closed)}"


def decode(message: bytes) -> Head:
    """The head in a message; anything else raises ValueError."""
    epoch, last_seq, closed = (int(part) for part in message.split(b":"))
    return Head(last_seq, bool(closed), epoch)


def encode_move(move: Move) -> str:
    return f"{move.execution_id}:{move.space_id}:{move.status}:{move.pending_reason}"


def decode_move(message: bytes) -> Move:
    """The move in a message; anything else raises ValueError."""
    execution_id, space_id, status, pending_reason = message.decode().split(":")
    return Move(int(execution_id), int(space_id), status, pending_reason)


class Publisher:
    """Tells Redis of the newest heads and moves from a thread of its own: nobody ever waits for it.

    Heads of one stream that come faster than every 50 ms are told once, the newest, and so are the
    moves of one run; the last one is always told, unless Redis is away. Then they are dropped, and
    Redis is tried again after a pause.
    """

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(
            url, socket_timeout=_TIMEOUT_SECONDS, socket_connect_timeout=_TIMEOUT_SECONDS
        )
        self._newest: dict[int, Head] = {}
        self._moves: dict[int, Move] = {}
        self._some = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def hear(self, execution_id: int, head: Head) -> None:
        """Take note of a head; returns at once. It is a listener of `hints`."""
        with self._some:
            known = self._newest.get(execution_id)
            if known is None or (known.last_seq, known.closed) < (head.last_seq, head.closed):
                self._newest[execution_id] = head
                self._wake()

    def hear_move(self, move: Move) -> None:
        """As `hear`, of a run that has moved."""
        with self._some:
            self._moves[move.execution_id] = move
            self._wake()

    def close(self) -> None:
        """Tell what is left and stop."""
        with self._some:
            self._closed = True
            self._some.notify()
        if self._thread is not None:
            self._thread.join()
        self._redis.close()

    def _wake(self) -> None:
        self._some.notify()
        if self._thread is None:  # most commands append nothing
            self._thread = threading.Thread(target=self._run, name="hints-publisher", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        pause = INTERVAL_SECONDS
        while True:
            with self._some:
                self._some.wait_for(lambda: self._newest or self._moves or self._closed)
                heads, self._newest = self._newest, {}
                moves, self._moves = self._moves, {}
                closed = self._closed
            told = [(channel_of(number), encode(head)) for number, head in heads.items()]
            told += [(MOVES, encode_move(move)) for move in moves.values()]
            if told:
                pause = self._tell(told, pause)
            if closed:
                return
            with self._some:
                self._some.wait_for(lambda: self._closed, timeout=pause)

    def _tell(self, told: list[tuple[str, str]], pause: float) -> float:
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for channel, message in told:
                    pipeline.publish(channel, message)
                pipeline.execute()
        except RedisError as error:
            if pause == INTERVAL_SECONDS:
                logger.warning("Redis takes no hints, live pages are slower: %s", error)
            return min(max(pause, 0.5) * 2, _LONGEST_PAUSE)
        return INTERVAL_SECONDS


class _Once(Retry):
    """Tries once. The library's own would connect anew in between, even where it never tries again."""

    async def call_with_retry(self, do: Any, *_unused: Any, **_named: Any) -> Any:
        return await do()


class _Ear:
    """Listens to channels of Redis on the running event loop, and comes back whenever Redis does.

    One task connects, and reads; who subscribes meanwhile only writes. The client library would
    connect anew from wherever it meets a broken connection, and two who do so at once break both.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._wanted: set[str] = set()
        #: Only while its connection lives, and has been told of all that is wanted.
        self._pubsub: PubSub | None = None
        self._task: asyncio.Task[None] | None = None
        self._any = asyncio.Event()
        self._leaving: set[asyncio.Task[None]] = set()
        self._pause = _FIRST_PAUSE

    def close(self) -> None:
        """Hear nothing any more."""
        self._wanted.clear()
        self._any.clear()
        self._hang_up()

    def _pass_on(self, channel: bytes, data: bytes) -> None:
        """Say what was heard; a ValueError is of a message that is none of ours."""
        raise NotImplementedError

    async def _hear(self, channel: str) -> None:
        self._wanted.add(channel)
        self._any.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        if (pubsub := self._connected()) is not None:
            await self._say(pubsub, pubsub.subscribe(channel))

    def _leave(self, channel: str) -> None:
        self._wanted.discard(channel)
        if not self._wanted:
            self._any.clear()
        if self._pubsub is not None:
            task = asyncio.get_running_loop().create_task(self._unsubscribe(channel))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def _unsubscribe(self, channel: str) -> None:
        if channel not in self._wanted and (pubsub := self._connected()) is not None:
            await self._say(pubsub, pubsub.unsubscribe(channel))

    def _connected(self) -> PubSub | None:
        """To whom may be written. Without a connection `_run` makes one, and says all that is wanted."""
        connection: Any = self._pubsub and self._pubsub.connection
        return self._pubsub if connection and connection.is_connected else None

    async def _say(self, pubsub: PubSub, order: Awaitable[None]) -> None:
        """Wait for nobody for long: where Redis does not take it, a new connection is told all that is wanted."""
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                await order
        except Exception as error:  # noqa: BLE001 - see `_run`
            if self._pubsub is pubsub:
                logger.warning("Redis takes no subscriptions, live pages are slower: %s", error)
                self._hang_up()
                self._task = asyncio.get_running_loop().create_task(self._run(self._pause))

    def _hang_up(self) -> None:
        self._pubsub = None
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self, pause: float = 0.0) -> None:
        await asyncio.sleep(pause)
        while True:
            await self._any.wait()
            try:
                async with (
                    AsyncRedis.from_url(
                        self._url,
                        socket_timeout=_TIMEOUT_SECONDS,
                        socket_connect_timeout=_TIMEOUT_SECONDS,
                        retry=_Once(NoBackoff(), 0),
                    ) as redis,
                    redis.pubsub(ignore_subscribe_messages=True) as pubsub,
                ):
                    await self._listen_at(pubsub)
            # Of a connection that breaks at the wrong moment the client library raises errors of any kind.
            except Exception as error:  # noqa: BLE001
                logger.warning("Redis gives no hints, live pages are slower: %s", error)
                await asyncio.sleep(self._pause)
                self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    async def _listen_at(self, pubsub: PubSub) -> None:
        told: set[str] = set()
        while new := self._wanted - told:  # more may be wanted while Redis takes what was
            await pubsub.subscribe(*new)
            told |= new
        self._pubsub = pubsub
        self._pause = _FIRST_PAUSE
        try:
            async for message in pubsub.listen():
                with suppress(ValueError, KeyError, TypeError):
                    self._pass_on(message["channel"], message["data"])
        finally:
            # Before it is closed, and unless another one is there by now.
            if self._pubsub is pubsub:
                self._pubsub = None


class Ear(_Ear):
    """Hears the heads of chosen streams."""

    def __init__(self, url: str, told: Callable[[int, Head], None]) -> None:
        super().__init__(url)
        self._told = told

    async def listen(self, execution_id: int) -> None:
        """Hear this stream's heads from now on; where Redis is away, as soon as it is back."""
        await self._hear(channel_of(execution_id))

    def leave(self, execution_id: int) -> None:
        """Hear this stream's heads no more."""
        self._leave(channel_of(execution_id))

    def _pass_on(self, channel: bytes, data: bytes) -> None:
        self._told(int(channel.rsplit(b":", 1)[1]), decode(data))


class MoveEar(_Ear):
    """Hears of every run that moves."""

    def __init__(self, url: str, told: Callable[[Move], None]) -> None:
        super().__init__(url)
        self._told = told

    async def listen(self) -> None:
        """Hear from now on, until `close`; where Redis is away, as soon as it is back."""
        await self._hear(MOVES)

    def _pass_on(self, channel: bytes, data: bytes) -> None:
        self._told(decode_move(data))
