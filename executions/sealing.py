"""Moves the older part of a stream from the table into storage, while it runs and after its end.

Each seal goes step by step, and a process may die between any two of them: what can be read never
changes, and sealing again finishes the work. `prune` sweeps the object of a seal that was not finished in time.
"""

import hashlib
import logging
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from io import BufferedIOBase
from typing import IO, TYPE_CHECKING, cast
from uuid import uuid4

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.db import Error, transaction
from django.db.models import F, Sum
from django.db.models.functions import Length
from django.utils import timezone

from executions import claims
from executions.choices import Status
from executions.events import read_rows, writing
from executions.models import ExecutionEvent, ExecutionSegment, ExecutionStream
from executions.segments import FOLDER, MEMBER_BYTES, pack

if TYPE_CHECKING:
    from django.db.models import QuerySet

#: A running stream is sealed when this much of it lies in the table.
SEAL_BYTES = 4 * 2**20
#: Text in one segment: at least this, where there is as much, and one member more at most.
SEGMENT_BYTES = 8 * 2**20
#: Rows go in short transactions, so that no writer waits for long.
SLICE = 100
_BATCH = 20
#: For how long an ended stream is let alone after its seal failed.
_PAUSE = timedelta(minutes=10)

logger = logging.getLogger(__name__)


class NotSealed(Exception):
    """The object in storage is not what was written, or not ours any more: nothing was changed."""


@dataclass(frozen=True)
class Packed:
    """A segment on its way into storage. Its members: first event, offset and length of each."""

    first_seq: int
    last_seq: int
    members: list[tuple[int, int, int]]
    size: int
    sha256: str


def seal_due() -> int:
    """Seal what is long, or ended long enough ago. Returns how many events went into storage.

    One that cannot be sealed is said in the log and left where it is, for a later time.
    """
    ended = ExecutionStream.objects.filter(seal_at__lte=timezone.now()).order_by("seal_at")
    sealed = 0
    for number in [*_long().values_list("pk", flat=True)[:_BATCH]]:
        while _long().filter(pk=number).exists() and (events := _try(number)):
            sealed += events
    for number in [*ended.values_list("pk", flat=True)[:_BATCH]]:
        while events := _try(number):
            sealed += events
    return sealed


def _try(execution_id: int) -> int:
    try:
        return seal(execution_id)
    except Error:
        raise
    except Exception as error:  # noqa: BLE001 - each storage has errors of its own
        logger.warning("Execution %s is not sealed: %s", execution_id, error)
        later = timezone.now() + _PAUSE
        waiting = ExecutionStream.objects.filter(pk=execution_id, seal_at__isnull=False)
        waiting.update(seal_at=later)
        return 0


def _long() -> "QuerySet[ExecutionStream]":
    running = ExecutionStream.objects.filter(execution__status=Status.RUNNING)
    return running.filter(bytes__gte=F("sealed_bytes") + SEAL_BYTES)


def seal(execution_id: int) -> int:
    """Seal the stream's next segment and remove its rows. Returns how many events it holds; 0 if none is left.

    Raises NotSealed, or the storage's own error; the events then stay where they are.
    """
    stream = ExecutionStream.objects.select_related("execution").get(pk=execution_id)
    with tempfile.TemporaryFile(dir=settings.RPA_DATA_DIR) as file:
        packed = _collect(stream, file)
        if packed is not None:
            key = _upload(stream, packed, file)
            _verify(key, packed)
            _commit(stream, packed, key)
    _trim(execution_id)
    if packed is None:
        _settle(execution_id)
        return 0
    return packed.last_seq - packed.first_seq + 1


def _collect(stream: ExecutionStream, file: IO[bytes]) -> Packed | None:
    after = stream.sealed_seq
    members: list[tuple[int, int, int]] = []
    text_bytes = 0
    while after < stream.last_seq and text_bytes < SEGMENT_BYTES:
        frames = read_rows(
            stream.pk, after=after, up_to=stream.last_seq, size=MEMBER_BYTES, count=10_000
        )
        if not frames:
            return None  # somebody else has sealed this part meanwhile
        member = pack(frames)
        members.append((frames[0].seq, file.tell(), len(member)))
        file.write(member)
        text_bytes += sum(len(frame.text) for frame in frames)
        after = frames[-1].seq
    if not members:
        return None
    size = file.tell()
    file.seek(0)
    digest = hashlib.file_digest(cast("BufferedIOBase", file), "sha256").hexdigest()
    return Packed(stream.sealed_seq + 1, after, members, size, digest)


def _upload(stream: ExecutionStream, packed: Packed, file: IO[bytes]) -> str:
    """Under a name that nobody else uses: who is late must not overwrite who was first."""
    file.seek(0)
    name = f"{FOLDER}/{stream.execution.uid}/{packed.first_seq}-{uuid4().hex}.gz"
    claims.note(name)
    key = default_storage.save(name, File(file))
    if key != name:
        raise NotSealed(f"The storage keeps {name} as {key}.")
    return key


def _verify(key: str, packed: Packed) -> None:
    with default_storage.open(key) as stored:
        digest = hashlib.file_digest(cast("BufferedIOBase", stored), "sha256").hexdigest()
    if digest != packed.sha256:
        raise NotSealed(f"{key} came back from storage with other bytes.")


def _commit(stream: ExecutionStream, packed: Packed, key: str) -> None:
    """Make the object the stream's, unless somebody else has sealed this part meanwhile.

    Raises NotSealed where that comes so late that the object may have been swept.
    """
    events = ExecutionEvent.objects.filter(
        execution=stream.pk, seq__gte=packed.first_seq, seq__lte=packed.last_seq
    )
    with writing():
        try:
            claims.claim(key)
        except claims.TooLate as error:
            raise NotSealed(str(error)) from error
        stored = events.aggregate(bytes=Sum(Length("payload")))["bytes"]
        # By the sealed number it is seen who was first; by the dropped one, that retention was.
        moved = ExecutionStream.objects.filter(
            pk=stream.pk, sealed_seq=stream.sealed_seq, dropped_seq=0
        ).update(sealed_seq=packed.last_seq, sealed_bytes=F("sealed_bytes") + (stored or 0))
        if not moved:
            transaction.set_rollback(True)  # the object stays unclaimed, and goes as such
            return
        ExecutionSegment.objects.create(
            execution_id=stream.pk,
            first_seq=packed.first_seq,
            last_seq=packed.last_seq,
            members=packed.members,
            object_key=key,
            bytes=packed.size,
            sha256=packed.sha256,
        )


def _trim(execution_id: int) -> None:
    """Remove the rows that are sealed, the oldest first: what is left never has a hole."""
    stream = ExecutionStream.objects.only("sealed_seq").get(pk=execution_id)
    remove_rows(execution_id, up_to=stream.sealed_seq)


def remove_rows(execution_id: int, *, up_to: int) -> None:
    """Remove the stream's rows up to `up_to`, in ascending slices of short transactions."""
    rows = ExecutionEvent.objects.filter(execution=execution_id)
    while True:
        first = rows.order_by("seq").values_list("seq", flat=True).first()
        if first is None or first > up_to:
            return
        with writing():
            rows.filter(seq__gte=first, seq__lte=min(first + SLICE - 1, up_to)).delete()


def _settle(execution_id: int) -> None:
    complete = ExecutionStream.objects.filter(closed=True, sealed_seq=F("last_seq"))
    complete.filter(pk=execution_id).update(seal_at=None)
