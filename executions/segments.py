"""Sealed events: a part of a stream that has moved from the table into one object in storage.

The object is a row of gzip members, each some 128 KiB of text: one line per event, its kind, a tab and
the event's JSON. The index of the members is kept on the segment's row, so that a reader in the middle
unpacks one of them and not the object.
"""

import gzip
from collections.abc import Sequence
from functools import lru_cache

from executions.frames import Frame, one_line
from executions.models import ExecutionSegment
from resources.storage import objects

#: The folder in storage.
FOLDER = "segments"
MEMBER_BYTES = 128 * 1024
#: Unpacked members that are kept for the next reader: 8 MiB of text.
_KEPT_MEMBERS = 64


def pack(frames: Sequence[Frame]) -> bytes:
    """One member. The same frames always give the same bytes."""
    lines = "".join(f"{frame.kind}\t{frame.text}\n" for frame in frames)
    return gzip.compress(lines.encode(), compresslevel=6, mtime=0)


def read(execution_id: int, *, after: int, size: int, count: int) -> list[Frame]:
    """The sealed events that follow `after`: at least one if the next one is sealed, then up to `size` bytes."""
    segment = (
        ExecutionSegment.objects.filter(execution=execution_id, first_seq__lte=after + 1)
        .order_by("-first_seq")
        .first()
    )
    if segment is None or segment.last_seq <= after:
        return []
    first, offset, length = next(
        member for member in reversed(segment.members) if member[0] <= after + 1
    )
    frames: list[Frame] = []
    total = 0
    for frame in _member(segment.object_key, first, offset, length)[after + 1 - first :]:
        total += len(frame.text)
        if frames and (total > size or len(frames) >= count):
            break
        frames.append(frame)
    return frames


@lru_cache(maxsize=_KEPT_MEMBERS)
def _member(key: str, first_seq: int, offset: int, length: int) -> tuple[Frame, ...]:
    # Objects never change, and a key is never used twice.
    packed = objects().read_range(key, offset, length)
    # What was sealed before frames were one line for every reader is made so here.
    lines = one_line(gzip.decompress(packed).decode()).split("\n")[:-1]
    parts = (line.partition("\t") for line in lines)
    return tuple(
        Frame(first_seq + index, kind, text) for index, (kind, _, text) in enumerate(parts)
    )
