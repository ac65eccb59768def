"""After the fire: seal everything, and read it all once more, in peace."""

import logging
from multiprocessing.connection import Connection

from django.core.files.storage import default_storage

from benchmarks.soak.judge import Fault, Reading
from executions import claims, sealing
from executions.events import head_of, read_page
from executions.models import Execution, ExecutionEvent, ExecutionSegment, UnclaimedObject
from executions.segments import FOLDER

logger = logging.getLogger(__name__)


def audit(pipe: Connection) -> None:
    """Tell the last number and the digest of every stream, and the faults."""
    digests: dict[int, tuple[int, str]] = {}
    faults: list[str] = []
    runs = [*Execution.objects.order_by("pk")]
    live = {run.pk: _read(run, faults) for run in runs}
    for run in runs:
        while sealing.seal(run.pk):
            pass
    for left in UnclaimedObject.objects.all():
        claims.sweep(left)
    for run in runs:
        digests[run.pk] = _read(run, faults)
        if digests[run.pk] != live[run.pk]:
            faults.append(f"Run {run.pk}: sealing has changed what is read.")
    if ExecutionEvent.objects.exists():
        faults.append("Sealed rows are still in the table.")
    kept = {segment.object_key for segment in ExecutionSegment.objects.all()}
    stored = {
        f"{FOLDER}/{folder}/{name}"
        for folder in default_storage.listdir(FOLDER)[0]
        for name in default_storage.listdir(f"{FOLDER}/{folder}")[1]
    }
    if kept != stored:
        faults.append(f"{len(stored - kept)} objects are nobody's, {len(kept - stored)} are gone.")
    pipe.send((digests, faults, len(kept)))


def _read(run: Execution, faults: list[str]) -> tuple[int, str]:
    reading = Reading(run.pk, str(run.uid))
    try:
        while frames := read_page(run.pk, after=reading.seq):
            for frame in frames:
                reading.take(frame.text)
        head = head_of(run.pk)
        if not head.closed:
            faults.append(f"Run {run.pk} was never ended.")
        reading.end({"status": run.status, "last_seq": head.last_seq})
    except Fault as fault:
        faults.append(fault.what)
    return reading.seq, reading.digest
