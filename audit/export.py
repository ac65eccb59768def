"""Entries as files: JSON lines, from which the digests can be worked out again, or CSV for tables."""

import csv
import json
from collections.abc import Iterable, Iterator
from io import StringIO
from typing import Any, Literal

from django.db.models import QuerySet

from audit.chain import reached
from audit.models import Entry

Format = Literal["jsonl", "csv"]
FORMATS: tuple[Format, ...] = ("jsonl", "csv")
CONTENT_TYPES: dict[Format, str] = {"jsonl": "application/x-ndjson", "csv": "text/csv"}
_PAGE = 1000
#: What a spreadsheet takes for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def lines(entries: "QuerySet[Entry]", form: Format) -> Iterator[str]:
    """The entries, oldest first, line by line; however many there are, few are in memory."""
    found = (entry.exported() for entry in _each(entries))
    return _csv(found) if form == "csv" else (_json(each) for each in found)


def _each(entries: "QuerySet[Entry]") -> Iterator[Entry]:
    # Beyond the head that was read first, a page may show an entry without the one before it; see docs/adr/0005.
    entries, after = entries.filter(number__lte=reached()).order_by("number"), 0
    while batch := list(entries.filter(number__gt=after)[:_PAGE]):
        yield from batch
        after = batch[-1].number


def _json(entry: dict[str, Any]) -> str:
    return json.dumps(entry, ensure_ascii=False) + "\n"


def _csv(entries: Iterable[dict[str, Any]]) -> Iterator[str]:
    head = True
    for entry in entries:
        out = StringIO()
        writer = csv.writer(out)
        if head:
            writer.writerow(entry)
            head = False
        writer.writerow(_cell(value) for value in entry.values())
        yield out.getvalue()


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
