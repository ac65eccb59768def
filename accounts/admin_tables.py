"""Lists of the admin as tables: exported as they are filtered, and imported row by row, after a look at what would happen.

An import is whole or not at all. Each row goes through the services and their rules; a preview does the same, and takes
it back.
"""

import csv
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO, StringIO
from itertools import islice
from typing import Any, ClassVar

from asgiref.sync import sync_to_async
from django import forms
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from accounts.models import User
from accounts.refusals import Invalid, Refused
from accounts.tables import Cells, as_csv, plain_cell, read_table, require_few, safe_cell
from accounts.validation import invalid
from audit.recording import attempt, recording

_LINES = 500
NEW, CHANGED, SAME = "new", "changed", "same"
_SAID = {
    NEW: gettext_lazy("New"),
    CHANGED: pgettext_lazy("a row of a table", "Changed"),
    SAME: gettext_lazy("As it is"),
    "refused": gettext_lazy("Refused"),
}


@dataclass(frozen=True)
class Outcome:
    """What becomes of a row, or would: one of _SAID, and why where it is refused."""

    number: int
    texts: list[str]
    result: str
    why: str = ""

    @property
    def said(self) -> str:
        return str(_SAID[self.result])


class _TakenBack(Exception):
    """It was only tried, or not all of it can be done."""


class TableForm(forms.Form):
    file = forms.FileField(
        label=gettext_lazy("Table (.csv or .xlsx)"),
        widget=forms.FileInput(
            attrs={
                "accept": ".csv,.xlsx",
                "class": "border border-base-200 ml-2 px-3 py-2 rounded-default dark:border-base-700",
            }
        ),
    )


class Tabled:
    """For a ModelAdmin: `export/`, and `import/` where `bring` is written."""

    list_before_template = "admin/table_links.html"
    #: Each column, and what a row says in it.
    table: ClassVar[dict[str, Callable[[Any], Any]]] = {}
    #: Those that an import reads; the others only tell.
    imported: ClassVar[tuple[str, ...]] = ()

    def bring(self, request: HttpRequest, cells: dict[str, str]) -> str:
        """Make one row so, and say whether it is NEW, CHANGED or SAME; else Refused or ValidationError."""
        raise NotImplementedError

    def _may_import(self, request: HttpRequest) -> bool:
        may_add = self.has_add_permission(request)  # type: ignore[attr-defined]
        return bool(self.imported and may_add and self.has_change_permission(request))  # type: ignore[attr-defined]

    def _name(self, page: str) -> str:
        meta = self.model._meta  # type: ignore[attr-defined]
        return f"{meta.app_label}_{meta.model_name}_{page}"

    def get_urls(self) -> list[Any]:
        pages = (("export", self.export_view), ("import", self.import_view))
        site = self.admin_site  # type: ignore[attr-defined]
        own = [
            path(f"{page}/", site.admin_view(view), name=self._name(page))
            for page, view in pages
            if page == "export" or self.imported
        ]
        return [*own, *super().get_urls()]  # type: ignore[misc]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        links = {
            "export_url": reverse(f"admin:{self._name('export')}"),
            "import_url": reverse(f"admin:{self._name('import')}")
            if self._may_import(request)
            else "",
        }
        page: HttpResponse = super().changelist_view(request, {**(extra_context or {}), **links})  # type: ignore[misc]
        return page

    def export_view(self, request: HttpRequest) -> StreamingHttpResponse:
        """What the list shows with these filters, all of it, oldest first."""
        if not self.has_view_permission(request):  # type: ignore[attr-defined]
            raise PermissionDenied
        listed = self.get_changelist_instance(request).queryset  # type: ignore[attr-defined]
        response = StreamingHttpResponse(
            pieces(self._lines(listed)), content_type="text/csv; charset=utf-8"
        )
        name = self.model._meta.model_name  # type: ignore[attr-defined]
        response["Content-Disposition"] = f'attachment; filename="{name}.csv"'
        return response

    def _lines(self, listed: Any) -> Iterator[str]:
        yield "\ufeff" + _line(self.table)
        after = 0
        while rows := list(listed.filter(pk__gt=after).order_by("pk")[:_LINES]):
            for row in rows:
                yield _line(safe_cell(_text(say(row))) for say in self.table.values())
            after = rows[-1].pk

    def import_view(self, request: HttpRequest) -> HttpResponse:
        """Show what a table would do; then do it, if the same table may still be brought across."""
        if not self._may_import(request):
            raise PermissionDenied
        form, outcomes, refusal = TableForm(), [], ""
        if request.method == "POST":
            try:
                sent = request.POST.get("table")
                form = TableForm(request.POST, request.FILES)
                if sent is not None:
                    outcomes = self._brought(request, BytesIO(sent.encode()), "sent.csv", keep=True)
                    if all(each.result != "refused" for each in outcomes):
                        changed = sum(each.result != SAME for each in outcomes)
                        said = _("%(count)d rows were brought in.") % {"count": changed}
                        self.message_user(request, said)  # type: ignore[attr-defined]
                        return redirect(f"admin:{self._name('changelist')}")
                elif form.is_valid():
                    file = form.cleaned_data["file"]
                    outcomes = self._brought(request, file, file.name, keep=False)
            except Refused as error:
                refusal = str(error)
        opts = self.model._meta  # type: ignore[attr-defined]
        heading = list(self.imported)
        context = {
            **self.admin_site.each_context(request),  # type: ignore[attr-defined]
            "title": _("Import: %(what)s") % {"what": opts.verbose_name_plural},
            "opts": opts,
            "form": form,
            "heading": heading,
            "outcomes": outcomes,
            "refusal": refusal,
            "refused": sum(each.result == "refused" for each in outcomes),
            "table": as_csv(heading, (each.texts for each in outcomes)).decode("utf-8-sig"),
        }
        return TemplateResponse(request, "admin/table_import.html", context)

    def _brought(self, request: HttpRequest, file: Any, name: str, *, keep: bool) -> list[Outcome]:
        heading, rows = self._rows(file, name)
        outcomes: list[Outcome] = []
        try:
            with attempt(f"{self.model._meta.model_name}.import"), recording():  # type: ignore[attr-defined]
                outcomes = [self._one(request, heading, row) for row in rows]
                if not keep or any(each.result == "refused" for each in outcomes):
                    raise _TakenBack
        except _TakenBack:
            pass
        return outcomes

    def _rows(self, file: Any, name: str) -> tuple[list[str], list[Cells]]:
        """The heading, which names the columns in any order, and what stands below."""
        found = read_table(file, name, columns=len(self.table) + 10)
        heading = [(text or "").lower() for text in found[0].texts] if found else []
        missing = [each for each in self.imported if each not in heading]
        if missing:
            raise invalid(
                "file",
                _("The first row names the columns, and these are missing: %(missing)s.")
                % {"missing": ", ".join(missing)},
            )
        require_few(found[1:])
        return heading, found[1:]

    def _one(self, request: HttpRequest, heading: list[str], row: Cells) -> Outcome:
        given = dict(zip(heading, row.texts, strict=False))
        texts = [given.get(each) or "" for each in self.imported]
        if any(given.get(each, "") is None for each in self.imported):
            return Outcome(row.number, texts, "refused", _("A cell is no text, or too long."))
        cells = {name: plain_cell(text) for name, text in zip(self.imported, texts, strict=True)}
        texts = list(cells.values())
        try:
            # A savepoint: what one row has begun is undone with it.
            with transaction.atomic(), recording():
                return Outcome(row.number, texts, self.bring(request, cells))
        except Refused as error:
            return Outcome(row.number, texts, "refused", _why(error))
        except ValidationError as error:
            return Outcome(row.number, texts, "refused", " ".join(error.messages))


def _why(error: Refused) -> str:
    where = error.details.get("errors", [{}])[0].get("where") if isinstance(error, Invalid) else ""
    return f"{where}: {error}" if where else str(error)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _line(texts: Any) -> str:
    out = StringIO()
    csv.writer(out).writerow(texts)
    return out.getvalue()


def named_user(where: str, name: str) -> User:
    """The user of that name; Invalid where there is none."""
    user = User.objects.filter(username=name).first()
    if user is None or user.username != name:
        raise invalid(where, _("There is no user named %(name)s.") % {"name": name})
    return user


def coded(where: str, text: str, codes: Any) -> Any:
    """The code of a name such as `staff`, or of a number; Invalid for anything else."""
    for code in codes:
        if text.casefold() in (code.name.lower(), str(code.value)):
            return code
    known = ", ".join(code.name.lower() for code in codes)
    raise invalid(where, _("This is one of: %(known)s.") % {"known": known})


def moment_in(where: str, text: str) -> datetime | None:
    """A day or a moment as 2026-01-31T08:00, in the platform's own time unless it says otherwise; empty is none."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise invalid(where, _("A time is written like 2026-01-31T08:00.")) from None
    return moment if moment.tzinfo else timezone.make_aware(moment)


async def pieces(found: Iterator[str]) -> AsyncIterator[bytes]:
    """Lines as an answer that streams: few are in memory."""
    while piece := await sync_to_async(_next)(found):
        yield piece


def _next(found: Iterator[str]) -> bytes:
    return "".join(islice(found, _LINES)).encode()
