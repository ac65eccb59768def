"""Hears, by Redis, that a run waits: a runner in another process than the request's need not look for it."""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress

from redis import Redis, RedisError

from executions.choices import Status
from executions.redis_hints import MOVES, decode_move

logger = logging.getLogger(__name__)

_LISTEN_SECONDS = 1.0
_PAUSE_SECONDS = 2.0


class WorkBell:
    """Calls `wake()` from a thread of its own whenever a run begins to wait; without Redis it is silent."""

    def __init__(self, url: str, wake: Callable[[], None]) -> None:
        self._url = url
        self._wake = wake
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="work-bell", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                with (
                    Redis.from_url(self._url, socket_connect_timeout=_LISTEN_SECONDS) as redis,
                    redis.pubsub(ignore_subscribe_messages=True) as pubsub,
                ):
                    pubsub.subscribe(MOVES)
                    self._wake()  # for what began to wait while nobody listened
                    while not self._closed.is_set():
                        self._hear(pubsub.get_message(timeout=_LISTEN_SECONDS))
            except RedisError as error:
                logger.warning("Redis does not tell of waiting runs, they start later: %s", error)
                self._closed.wait(_PAUSE_SECONDS)

    def _hear(self, message: dict[str, bytes] | None) -> None:
        with suppress(ValueError):  # of another version of the platform
            if message is not None and decode_move(message["data"]).status == Status.PENDING:
                self._wake()
