"""Lists of the admin that cost the same however long they are: newest first, in pages by key, never counted."""

from typing import Any

from django.contrib.admin import ShowFacets
from django.core.paginator import Paginator
from django.http import HttpRequest
from unfold.views import ChangeList

from accounts.pagination import Listing, Page, Rows, page_of

_POSITIONS = ("before", "after")


class _Shown(Paginator):  # type: ignore[type-arg]
    """The rows of one page, and how the theme draws the way to the next."""

    template_name = "admin/neighbours.html"


class KeysetList(ChangeList):  # type: ignore[misc]
    page: Page[Any]

    def get_queryset(self, request: HttpRequest, *arguments: Any, **options: Any) -> Any:
        # Where in the list one is is no filter, and is left behind when a filter is chosen.
        for name in _POSITIONS:
            self.params.pop(name, None)
            self.filter_params.pop(name, None)
        return super().get_queryset(request, *arguments, **options)

    def listing(self) -> Listing[Any]:
        """The rows that the filters and the search leave."""
        return Rows(self.queryset)

    def get_results(self, request: HttpRequest) -> None:
        self.page = page_of(self.listing(), request.GET, size=self.list_per_page)
        self._show(self.page.items)

    def _show(self, rows: Any) -> None:
        self.result_list = rows
        self.result_count = self.full_result_count = len(rows)
        self.show_full_result_count = self.can_show_all = self.multi_page = False
        self.show_admin_actions = True
        self.paginator = _Shown(rows, self.list_per_page)


class WholeList(KeysetList):
    """All rows in their own order, for a table that the code alone makes longer.

    They stay a queryset, which a list needs whose rows are edited in place.
    """

    def get_results(self, request: HttpRequest) -> None:
        self.page = Page([], next_url=None, prev_url=None)
        self._show(self.queryset)


class KeysetAdmin:
    """For a ModelAdmin. Such a list has one order, and offers no other."""

    sortable_by: Any = ()
    show_full_result_count = False
    show_facets = ShowFacets.NEVER

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return KeysetList
