"""Removes what a space no longer keeps: the events and artifacts of runs that ended long ago.

The run itself stays, with its result. A process may die at any moment of it: what is gone is marked as
gone first, and the next removal finishes the work.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.files.storage import default_storage
from django.db.models import F, Q
from django.utils import timezone

from executions.events import writing
from executions.models import (
    Artifact,
    ExecutionSegment,
    ExecutionStream,
    SpaceRetention,
)
from executions.sealing import remove_rows

_PAGE = 500


def outlived() -> Iterator[ExecutionStream]:
    """The streams of ended runs that their spaces no longer keep, the oldest first."""
    rules = dict(SpaceRetention.objects.values_list("space", "days"))
    days = [each for each in (settings.RPA_RETENTION_DAYS, *rules.values()) if each]
    if not days:
        return
    now = timezone.now()
    for stream in _ended_before(now - timedelta(days=min(days))):
        kept = rules.get(stream.execution.space_id, settings.RPA_RETENTION_DAYS)
        if kept and stream.kept_since < now - timedelta(days=kept):
            yield stream


def _ended_before(moment: datetime) -> Iterator[Any]:
    """By pages: of a long history that was never pruned, no machine holds all at once."""
    ended = ExecutionStream.objects.filter(kept_since__lt=moment).select_related("execution")
    ended = ended.only("last_seq", "kept_since", "execution__uid", "execution__space_id")
    rest = ended = ended.order_by("kept_since", "pk")
    while page := list(rest[:_PAGE]):
        yield from page
        last = page[-1]
        rest = ended.filter(kept_since__gte=last.kept_since).filter(
            Q(kept_since__gt=last.kept_since) | Q(pk__gt=last.pk)
        )


def remove(stream: ExecutionStream) -> None:
    """Remove the events and artifacts of an ended run, in short transactions; of another one, nothing."""
    with writing():
        ended = ExecutionStream.objects.filter(pk=stream.pk, closed=True).update(
            dropped_seq=F("last_seq"), seal_at=None
        )
    if not ended:
        return
    remove_rows(stream.pk, up_to=stream.last_seq)
    for segment in ExecutionSegment.objects.filter(execution=stream.pk):
        default_storage.delete(segment.object_key)
        segment.delete()
    for artifact in Artifact.objects.filter(execution=stream.pk):
        default_storage.delete(artifact.storage_key)
        artifact.delete()
    ExecutionStream.objects.filter(pk=stream.pk).update(kept_since=None)
