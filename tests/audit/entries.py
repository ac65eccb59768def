"""What the audit has heard since a moment."""

from django.db import models

from audit.choices import Outcome
from audit.models import Entry, Head


class Heard:
    """The entries that are written after this was made."""

    def __init__(self) -> None:
        newest = Entry.objects.order_by("-number").first()
        self._after = newest.number if newest else 0

    def all(self) -> list[Entry]:
        return list(Entry.objects.filter(number__gt=self._after).order_by("number"))

    def done(self) -> list[Entry]:
        return [each for each in self.all() if each.outcome == Outcome.DONE]

    def refused(self) -> list[Entry]:
        return [each for each in self.all() if each.outcome == Outcome.REFUSED]

    def only(self) -> Entry:
        (entry,) = self.all()
        return entry


def forget_everything() -> None:
    """As on a new platform: what other tests have left in the audit is gone."""
    models.QuerySet(Entry)._raw_delete("default")
    Head.objects.all().delete()


def change_of(entry: Entry) -> tuple[dict[str, object], dict[str, object]]:
    """Before and after of an entry that tells of one row."""
    (change,) = entry.details["changes"]
    return change["before"], change["after"]
