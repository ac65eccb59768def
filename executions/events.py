"""Appending to an execution's event stream, and reading it back.

One transaction appends: the stream's row gives the sequence numbers and, being locked, makes their
order the order of commits. Raw SQL, because this is the path of every line that a robot prints.
"""

import gzip
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from executions import hints, segments
from executions.choices import Encoding, EventKind
from executions.frames import Frame, frame_of

_GZIP_FROM = 1024
#: SQLite's busy handler sleeps in growing steps; threads of one process take turns here instead.
_turn = threading.RLock()


class StreamRefused(Exception):
    """The append changed nothing."""


class Fenced(StreamRefused):
    """Another writer owns the stream now: stop, and kill what you started."""


class StreamClosed(StreamRefused):
    """The terminal event is in: nothing follows it."""


@dataclass(frozen=True)
class Draft:
    """An event to be appended. Log events carry `lines`, which the stream numbers."""

    kind: EventKind
    data: dict[str, Any] = field(default_factory=dict)
    lines: Sequence[str] = ()
    #: When it happened, in milliseconds since 1970; 0 = now.
    at: int = 0


@dataclass(frozen=True)
class Source:
    """Which part of a writer's output an append carries: its events `start` to `end`, under its token."""

    token: str
    start: int
    end: int


@dataclass(frozen=True)
class Head:
    """How far a stream has come."""

    last_seq: int
    closed: bool
    epoch: int = 1
    #: Events up to this one are gone: retention has removed them.
    dropped_seq: int = 0
    #: The append that returns this was in already: it added nothing.
    repeated: bool = False


class _Here(threading.local):
    writing = False


_here = _Here()


@contextmanager
def writing() -> Iterator[None]:
    """A transaction that writes, taken in turn with the other threads of this process on SQLite.

    Inside another one it is a part of that, without a savepoint: what fails undoes all of it.
    """
    if _here.writing:
        yield
        return
    alone = connection.vendor == "sqlite" and not connection.in_atomic_block
    with _turn if alone else nullcontext(), transaction.atomic():
        _here.writing = True
        try:
            _begin()
            yield
        finally:
            _here.writing = False


def _begin() -> None:
    """On MariaDB and MySQL: be a writer of the executions' table before anything is locked.

    A migration of that table waits, at its end, for everybody who uses it and for the locks on the tables that
    refer to it. A writer that had locked its stream, and came to the executions only then, would wait for the
    migration as the migration waits for the writer: a deadlock that the server does not see.
    """
    if connection.vendor == "mysql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM executions_execution LIMIT 0 FOR UPDATE")


def append(
    execution_id: int, drafts: Sequence[Draft], *, source: Source | None = None, close: bool = False
) -> Head:
    """Append `drafts` in order, all or none, and return the new head.

    With `source`, only the stream's current writer succeeds (else Fenced), and repeating an append
    that is already in adds nothing. `close` makes the last draft the last event for ever. Raises
    StreamClosed after that.
    """
    lines = sum(len(draft.lines) for draft in drafts)
    payloads = [_encode(draft) for draft in drafts]
    size = sum(len(payload) for _encoding, payload in payloads)
    with writing(), connection.cursor() as cursor:
        where = "execution_id = %s AND closed = %s"
        values: list[Any] = [execution_id, False]
        if source is not None:
            where += " AND writer_token = %s AND src_offset = %s"
            values += [source.token, source.start]
        taken = source.end - source.start if source else 0
        cursor.execute(
            "UPDATE executions_executionstream SET last_seq = last_seq + %s, n_lines = n_lines + %s, "
            f"bytes = bytes + %s, src_offset = src_offset + %s{_CLOSING if close else ''} WHERE {where}",
            [len(drafts), lines, size, taken, *(_closing() if close else ()), *values],
        )
        if cursor.rowcount == 0:
            return _why_not(cursor, execution_id, source)
        cursor.execute(
            "SELECT last_seq, n_lines, epoch FROM executions_executionstream WHERE execution_id = %s",
            [execution_id],
        )
        last_seq, n_lines, epoch = cursor.fetchone()
        head = Head(last_seq, closed=close, epoch=epoch)
        cursor.executemany(
            "INSERT INTO executions_executionevent "
            "(execution_id, seq, kind, first_line, n_lines, enc, payload, created) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            list(_rows(execution_id, drafts, payloads, last_seq - len(drafts), n_lines - lines)),
        )
        transaction.on_commit(partial(hints.ring, execution_id, head))
    return head


_CLOSING = ", closed = %s, seal_at = %s, kept_since = %s"


def _closing() -> tuple[Any, ...]:
    now = timezone.now()
    seal_at = now + timedelta(seconds=settings.RPA_ARCHIVE_AFTER)
    adapt = connection.ops.adapt_datetimefield_value
    return True, adapt(seal_at), adapt(now)


def _encode(draft: Draft) -> tuple[Encoding, bytes]:
    data = {**draft.data, "lines": list(draft.lines)} if draft.lines else draft.data
    payload = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
    if len(payload) < _GZIP_FROM:
        return Encoding.PLAIN, payload
    return Encoding.GZIP, gzip.compress(payload, compresslevel=1, mtime=0)


def _rows(
    execution_id: int,
    drafts: Sequence[Draft],
    payloads: Sequence[tuple[Encoding, bytes]],
    seq: int,
    line: int,
) -> Iterator[list[Any]]:
    now = time.time_ns() // 1_000_000
    for draft, (encoding, payload) in zip(drafts, payloads, strict=True):
        seq += 1
        count = len(draft.lines)
        first = line + 1 if count else 0
        yield [execution_id, seq, draft.kind, first, count, encoding, payload, draft.at or now]
        line += count


def _why_not(cursor: Any, execution_id: int, source: Source | None) -> Head:
    cursor.execute(
        "SELECT last_seq, closed, epoch, writer_token, src_offset "
        "FROM executions_executionstream WHERE execution_id = %s",
        [execution_id],
    )
    row = cursor.fetchone()
    if row is None:
        raise LookupError(f"Execution {execution_id} has no stream.")
    last_seq, closed, epoch, token, offset = row
    if source is not None and token == source.token and offset >= source.end > source.start:
        return Head(last_seq, bool(closed), epoch, repeated=True)  # its answer got lost
    if closed:
        raise StreamClosed(f"The stream of execution {execution_id} is closed.")
    raise Fenced(f"Execution {execution_id} has another writer.")


def head_of(execution_id: int) -> Head:
    """The head as the caller's connection sees it; an execution without a stream is an error."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT last_seq, closed, epoch, dropped_seq FROM executions_executionstream "
            "WHERE execution_id = %s",
            [execution_id],
        )
        row = cursor.fetchone()
    if row is None:
        raise LookupError(f"Execution {execution_id} has no stream.")
    return Head(row[0], bool(row[1]), row[2], row[3])


def heads_of(execution_ids: Sequence[int]) -> dict[int, Head]:
    """The heads of many streams in one query."""
    marks = ", ".join(["%s"] * len(execution_ids))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT execution_id, last_seq, closed, epoch, dropped_seq FROM executions_executionstream "
            f"WHERE execution_id IN ({marks})",
            list(execution_ids),
        )
        rows = cursor.fetchall()
    return {row[0]: Head(row[1], bool(row[2]), row[3], row[4]) for row in rows}


def read_page(
    execution_id: int, *, after: int, up_to: int | None = None, size: int = 65_536, count: int = 256
) -> list[Frame]:
    """The events that follow `after`, oldest first: at least one if there is one, then up to `size` bytes.

    The rows are asked first and the segments second: an event that moves meanwhile is met on one side.
    Empty where nothing follows, or where what follows is gone. It ends before a hole: the view of a statement
    on MariaDB is not made at one instant, and may show an append without the one that it had waited for.
    """
    if up_to is not None and up_to <= after:
        return []
    rows = read_rows(execution_id, after=after, up_to=up_to, size=size, count=count)
    frames = [each for seq, each in enumerate(rows, after + 1) if each.seq == seq]
    if frames:
        return frames
    try:
        sealed = segments.read(execution_id, after=after, size=size, count=count)
    except FileNotFoundError:  # retention removes a segment's object before its row
        return []
    return [frame for frame in sealed if up_to is None or frame.seq <= up_to]


def read_rows(
    execution_id: int, *, after: int, up_to: int | None, size: int, count: int
) -> list[Frame]:
    """As `read_page`, of the table alone: the first one may not be the next one, nor the others.

    They are, up to a head that was read before.
    """
    limit = "" if up_to is None else " AND seq <= %s"
    values = [execution_id, after, *([] if up_to is None else [up_to]), count]
    frames: list[Frame] = []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT seq, kind, first_line, enc, payload, created FROM executions_executionevent "
            f"WHERE execution_id = %s AND seq > %s{limit} ORDER BY seq LIMIT %s",
            values,
        )
        total = 0
        for row in cursor.fetchall():
            frame = frame_of(*row)
            total += len(frame.text)
            if frames and total > size:
                break
            frames.append(frame)
    return frames


def read_newest(execution_id: int, *, up_to: int, size: int, count: int = 256) -> list[Frame]:
    """The last events up to `up_to` that are in the table, oldest first: at most `size` bytes."""
    frames: list[Frame] = []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT seq, kind, first_line, enc, payload, created FROM executions_executionevent "
            "WHERE execution_id = %s AND seq <= %s ORDER BY seq DESC LIMIT %s",
            [execution_id, up_to, count],
        )
        for row in cursor.fetchall():
            frame = frame_of(*row)
            size -= len(frame.text)
            if size < 0:
                break
            frames.append(frame)
    return frames[::-1]
