"""How lists are cut into pages: by key, so that page 10,000 costs what page 1 costs."""

import re
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from django.db.models import Model, QuerySet
from django.http import QueryDict
from django.utils.translation import gettext as _
from rest_framework.exceptions import NotFound
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request

from accounts.validation import invalid

M = TypeVar("M", bound=Model)


class Listing(Protocol[M]):
    """Rows in the order of their primary keys, which can be read from either end."""

    def newest(self, count: int, *, before: int | None = None) -> list[M]:
        """At most `count` rows with keys below `before`, in descending order."""

    def oldest(self, count: int, *, after: int) -> list[M]:
        """At most `count` rows with keys above `after`, in ascending order."""


@dataclass(frozen=True)
class Rows(Generic[M]):
    """The listing of a queryset."""

    queryset: QuerySet[M]

    def newest(self, count: int, *, before: int | None = None) -> list[M]:
        found = self.queryset if before is None else self.queryset.filter(pk__lt=before)
        return list(found.order_by("-pk")[:count])

    def oldest(self, count: int, *, after: int) -> list[M]:
        return list(self.queryset.filter(pk__gt=after).order_by("pk")[:count])


@dataclass(frozen=True)
class _Cut(Generic[M]):
    """One page, newest first, and whether there are rows on either side of it."""

    items: list[M]
    newer: bool = False
    older: bool = False


def _cut(
    listed: QuerySet[M] | Listing[M], *, before: int | None, after: int | None, size: int
) -> _Cut[M]:
    listing = Rows(listed) if isinstance(listed, QuerySet) else listed
    if after is not None:
        found = listing.oldest(size + 1, after=after)
        cut = _Cut(found[:size][::-1], newer=len(found) > size, older=True)
    else:
        found = listing.newest(size + 1, before=before)
        cut = _Cut(found[:size], newer=before is not None, older=len(found) > size)
    return cut if cut.items else _Cut([])


class NewestFirst(CursorPagination):
    """Keyset pages by primary key, newest first. `?limit=` is 1 to 200, 50 unless told, 200 if larger."""

    ordering = "-id"
    page_size = 50
    page_size_query_param = "limit"
    page_size_query_description = "1 to 200, 50 unless given; a larger one counts as 200."
    max_page_size = 200

    def get_page_size(self, request: Request) -> int:
        """What `?limit=` asks for, at most `max_page_size`; Invalid for what is no limit."""
        asked = request.query_params.get("limit", "")
        if _is_number(asked) and int(asked) > self.max_page_size:
            return self.max_page_size
        return size_of_page(asked, most=self.max_page_size, unless_given=self.page_size)

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        """A page of a queryset or of a listing."""
        self.base_url = request.build_absolute_uri()
        cursor = self.decode_cursor(request)
        position = None if cursor is None or cursor.position is None else int(cursor.position)
        back = cursor is not None and cursor.reverse and position is not None
        self._cut: _Cut[Any] = _cut(
            queryset,
            before=None if back else position,
            after=position if back else None,
            size=self.get_page_size(request),
        )
        return self._cut.items

    def get_next_link(self) -> str | None:
        return self._link(self._cut.items[-1].pk, reverse=False) if self._cut.older else None

    def get_previous_link(self) -> str | None:
        return self._link(self._cut.items[0].pk, reverse=True) if self._cut.newer else None

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """How OpenAPI 3.1 says what a list is: REST framework's own is of 3.0, where null was said otherwise."""
        address = {"type": ["string", "null"], "format": "uri"}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": address, "previous": address, "results": schema},
        }

    def _link(self, position: int, *, reverse: bool) -> str:
        return str(self.encode_cursor(Cursor(offset=0, reverse=reverse, position=position)))

    def decode_cursor(self, request: Request) -> Any:
        """The cursor, or NotFound where its position is no primary key."""
        cursor: Any = super().decode_cursor(request)
        if cursor is not None and cursor.position is not None and key_of(cursor.position) is None:
            raise NotFound(self.invalid_cursor_message)
        return cursor


def size_of_page(limit: str, *, most: int, unless_given: int) -> int:
    """How many of a list a request wants, by its `?limit=`: 1 to `most`, or Invalid."""
    if limit == "":
        return unless_given
    if not _is_number(limit) or int(limit) > most:
        raise invalid("limit", _("It must be a whole number from 1 to %(most)d.") % {"most": most})
    return int(limit)


def _is_number(text: str) -> bool:
    """Without leading zeros, in ASCII, and not so long that reading it took a while."""
    return re.fullmatch("[1-9][0-9]{0,17}", text) is not None


@dataclass(frozen=True)
class Page(Generic[M]):
    """One page of a list, newest first, and the addresses of its neighbours."""

    items: list[M]
    next_url: str | None
    prev_url: str | None


def page_of(listed: QuerySet[M] | Listing[M], query: QueryDict, *, size: int = 50) -> Page[M]:
    """The page that `?before=` or `?after=` (primary keys) asks for: no count, no offset."""
    before, after = key_of(query.get("before", "")), key_of(query.get("after", ""))
    cut = _cut(listed, before=before, after=after, size=size)
    return Page(
        cut.items,
        _address(query, before=cut.items[-1].pk) if cut.older else None,
        _address(query, after=cut.items[0].pk) if cut.newer else None,
    )


def key_of(text: str) -> int | None:
    """The primary key that somebody has written into an address; None for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _address(query: QueryDict, **position: int) -> str:
    kept = query.copy()
    for name in ("before", "after"):
        kept.pop(name, None)
    kept.update({name: str(value) for name, value in position.items()})
    return f"?{kept.urlencode()}"
