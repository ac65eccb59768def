"""One event as every reader gets it, made from its row."""

import gzip
from dataclasses import dataclass
from datetime import UTC, datetime

from executions.choices import Encoding, EventKind

#: What JSON leaves as it is in a string, and some readers take for the end of a line; what else they do is escaped.
_LINE_ENDS = (("\u0085", "\\u0085"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029"))


@dataclass(frozen=True)
class Frame:
    """One event as every reader gets it: `text` is the JSON object, made once and shared."""

    seq: int
    kind: str
    text: str


def one_line(json: str) -> str:
    """The same JSON as one line for every reader. It costs a look at a flag where all of it is ASCII."""
    if not json.isascii():
        for character, escaped in _LINE_ENDS:
            if character in json:
                json = json.replace(character, escaped)
    return json


def frame_of(
    seq: int, kind: int, first_line: int, encoding: int, payload: bytes, created: int
) -> Frame:
    """The frame of a row's columns; the same columns always give the same bytes."""
    raw = gzip.decompress(payload) if encoding == Encoding.GZIP else bytes(payload)
    data = one_line(raw.decode())
    if first_line:
        data = f'{{"first_line":{first_line},{data[1:]}'
    name = str(EventKind(kind).label)
    at = datetime.fromtimestamp(created / 1000, UTC).isoformat(timespec="milliseconds")
    stamp = at.replace("+00:00", "Z")
    return Frame(seq, name, f'{{"seq":{seq},"kind":"{name}","at":"{stamp}","data":{data}}}')
