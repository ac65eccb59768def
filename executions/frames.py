"""One event as every reader gets it, made from its row."""

import gzip
from dataclasses import dataclass
from datetime import UTC, datetime

from executions.choices import Encoding, EventKind


@dataclass(frozen=True)
class Frame:
    """One event as every reader gets it: `text` is the JSON object, made once and shared."""

    seq: int
    kind: str
    text: str


def frame_of(
    seq: int, kind: int, first_line: int, encoding: int, payload: bytes, created: int
) -> Frame:
    """The frame of a row's columns; the same columns always give the same bytes."""
    raw = gzip.decompress(payload) if encoding == Encoding.GZIP else bytes(payload)
    data = raw.decode()
    if first_line:
        data = f'{{"first_line":{first_line},{data[1:]}'
    name = str(EventKind(kind).label)
    at = datetime.fromtimestamp(created / 1000, UTC).isoformat(timespec="milliseconds")
    stamp = at.replace("+00:00", "Z")
    return Frame(seq, name, f'{{"seq":{seq},"kind":"{name}","at":"{stamp}","data":{data}}}')
