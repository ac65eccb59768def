"""Removing for ever, a little at a time.

Whoever removes something gets an iterator, and takes its steps: each is a short transaction of its own, and one may stop
after any of them, or be killed in the middle of one. The row itself goes last. Until then `purge_begun` says that it
never comes back, so that removing it again takes up what was left.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from django.db import models, transaction
from django.db.models import ProtectedError
from django.dispatch import Signal
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.refusals import Refused
from audit.recording import deed

Steps = Iterator[None]
#: How many rows go in one step.
BATCH = 100


class StillNeeded(Refused):
    """Something of it cannot go now; the text says what."""

    code = "still_needed"


def held(signal: Signal, sender: type[models.Model], **of: Any) -> list[Steps]:
    """The steps of everybody who keeps something of what is to go.

    A receiver raises StillNeeded at once where that cannot go, before anything has.
    """
    answers: Any = signal.send(sender, **of)
    return [steps for _receiver, steps in answers]


def begin(row: Any) -> bool:
    """Whether a deleted row may go now: nothing brings it back from here on. False where it has been restored."""
    with deed(_action(row), row):
        hidden = type(row).objects.restorable().filter(pk=row.pk)
        hidden.update(purge_begun=timezone.now())
    return bool(type(row).objects.filter(pk=row.pk, purge_begun__isnull=False).exists())


def remove_rows(rows: "models.QuerySet[Any]", *, of: models.Model) -> Steps:
    """Remove what is a part of `of`."""
    while keys := list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH]):
        with deed(_action(of), of):
            rows.model.objects.filter(pk__in=keys).delete()
        yield


def remove_row(row: models.Model) -> Steps:
    """Remove what nothing is a part of any more."""
    try:
        with deed(_action(row), row), transaction.atomic():
            type(row)._default_manager.filter(pk=row.pk).delete()
    except ProtectedError as error:
        others = sorted({str(each._meta.verbose_name_plural) for each in error.protected_objects})
        raise StillNeeded(
            _("%(name)s is still needed by: %(others)s.")
            % {"name": row, "others": ", ".join(others)}
        ) from None
    yield


def in_turn(parts: Iterable[Steps]) -> Steps:
    for steps in parts:
        yield from steps


def _action(row: models.Model) -> str:
    return f"{row._meta.model_name}.purge"
