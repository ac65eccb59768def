"""Following one execution, as every live door does it: what to send, in order, until the end."""

import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from dataclasses import dataclass

from asgiref.sync import sync_to_async
from django.utils.translation import gettext as _

from accounts.refusals import Invalid
from executions.events import Head
from executions.frames import Frame
from executions.hub import Dropped, Subscription, hub
from executions.models import Execution

BEAT_SECONDS = 15.0
#: How long a reader whose access was taken away may go on.
_RECHECK_SECONDS = 30.0
_CURSOR = re.compile(r"(?:([0-9]{1,9}):)?([0-9]{1,9})")


@dataclass(frozen=True)
class Cursor:
    """The last event that a reader has, written `epoch:seq`; in epoch 1 `seq` alone is the same.

    An epoch begins when a database comes back from a backup: numbers may then be given a second time.
    """

    seq: int = 0
    epoch: int = 1

    def __str__(self) -> str:
        return str(self.seq) if self.epoch == 1 else f"{self.epoch}:{self.seq}"

    def is_of(self, head: Head) -> bool:
        """Whether a reader of the stream with this head can have come so far; else it starts again."""
        return self.epoch == head.epoch and self.seq <= head.last_seq

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Of `""`, `"17"` or `"1:17"`; anything else raises Invalid."""
        if not text:
            return cls()
        match = _CURSOR.fullmatch(text.strip())
        if match is None:
            message = _("A cursor is a sequence number such as 17, or epoch:number.")
            raise Invalid(message, details={"errors": [{"where": "after", "message": message}]})
        return cls(int(match[2]), int(match[1] or 1))


@dataclass(frozen=True)
class Events:
    frames: list[Frame]


@dataclass(frozen=True)
class Beat:
    """Nothing happened for a while: the connection lives."""


@dataclass(frozen=True)
class Reset:
    """The reader's cursor is not of this stream: it starts again from the first event."""

    epoch: int


@dataclass(frozen=True)
class Truncated:
    """What follows the reader's cursor is gone: it goes on with `first_available`."""

    first_available: int


@dataclass(frozen=True)
class End:
    """The stream is complete, and the reader has all of it."""

    status: str
    last_seq: int


Delivery = Events | Beat | Reset | Truncated | End


async def follow(
    execution_id: int,
    after: Cursor,
    *,
    beat: float = BEAT_SECONDS,
    allowed: Callable[[], Awaitable[bool]] | None = None,
) -> AsyncGenerator[Delivery]:
    """Everything after the cursor, without gap or duplicate, then one End.

    Stops silently when `allowed` no longer holds. Nothing is held in the database between items.
    """
    async with hub().follow(execution_id, after=after.seq, patience=beat) as watch:
        for delivery in opening(watch, after):
            yield delivery
        checked_at = time.monotonic()
        while True:
            try:
                frames = await watch.next()
            except TimeoutError:
                yield Beat()
            except Dropped as error:
                watch.cursor = error.seq
                yield Truncated(watch.cursor + 1)
            else:
                if not frames:
                    break
                yield Events(frames)
            if allowed is not None and time.monotonic() - checked_at > _RECHECK_SECONDS:
                checked_at = time.monotonic()
                if not await allowed():
                    return
        yield End(await status_of(execution_id), watch.cursor)


def opening(watch: Subscription, after: Cursor) -> Iterator[Delivery]:
    """What a reader who comes with the cursor `after` must know first; moves the watch to where it begins."""
    if not after.is_of(watch.head):
        yield Reset(watch.head.epoch)
        watch.cursor = 0
    if watch.cursor < watch.head.dropped_seq:
        watch.cursor = watch.head.dropped_seq
        yield Truncated(watch.cursor + 1)


@sync_to_async
def status_of(execution_id: int) -> str:
    return str(Execution.objects.values_list("status", flat=True).get(pk=execution_id))
