"""A table of permissions as one page: all rows, a box for each role; saved at once, after a look at whom it concerns."""

import hashlib
from typing import Any, ClassVar

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from accounts.changelists import WholeList
from audit.recording import recording
from enterprises.explanation import GrantChange


class PermissionGrid:
    """For the ModelAdmin of a table of permissions: its page `grid/`."""

    list_before_template = "admin/permission_links.html"
    #: The columns that operators edit.
    granted: ClassVar[tuple[str, ...]] = ()

    def preview(self, permission: str, columns: dict[str, bool]) -> GrantChange:
        raise NotImplementedError

    @display(description=gettext_lazy("description"))
    def shown_description(self, row: Any) -> str:
        """A default in the reader's language; what an operator wrote as it is."""
        return _(row.description) if row.description else ""

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[WholeList]:
        return WholeList

    def has_add_permission(self, request: object) -> bool:
        return False

    def has_delete_permission(self, request: object, obj: object = None) -> bool:
        return False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        links = {"grid": f"admin:{self._grid}"}
        page: HttpResponse = super().changelist_view(request, {**(extra_context or {}), **links})  # type: ignore[misc]
        return page

    @property
    def _grid(self) -> str:
        meta = self.model._meta  # type: ignore[attr-defined]
        return f"{meta.app_label}_{meta.model_name}_grid"

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.grid_view)  # type: ignore[attr-defined]
        return [path("grid/", view, name=self._grid), *super().get_urls()]  # type: ignore[misc]

    def grid_view(self, request: HttpRequest) -> HttpResponse:
        """The grid; with `_preview` what its changes would do; with `_save` they are made, all or none."""
        if not self.has_change_permission(request):  # type: ignore[attr-defined]
            raise PermissionDenied
        rows = list(self.model.objects.all())  # type: ignore[attr-defined]
        seen, changes, refusal = _state(rows, self.granted), {}, ""
        if request.method == "POST":
            if request.POST.get("seen") != seen:
                refusal = _("Somebody has changed the table meanwhile: look at it again.")
            else:
                changes = self._changes(request, rows)
                if "_save" in request.POST:
                    self._save(request, rows, changes)
                    return redirect(f"admin:{self._grid}")
        meta = self.model._meta  # type: ignore[attr-defined]
        context = {
            **self.admin_site.each_context(request),  # type: ignore[attr-defined]
            "title": meta.verbose_name_plural,
            "opts": meta,
            "columns": [meta.get_field(name).verbose_name for name in self.granted],
            "lines": [self._line(row, changes.get(row.pk, {})) for row in rows],
            "seen": seen,
            "refusal": refusal,
            "previewed": "_preview" in request.POST and not refusal,
            "previews": [
                (row, self.preview(row.permission_key, changes[row.pk]))
                for row in rows
                if row.pk in changes
            ],
        }
        return TemplateResponse(request, "admin/permission_grid.html", context)

    def _changes(self, request: HttpRequest, rows: list[Any]) -> dict[int, dict[str, bool]]:
        """The columns of those rows that are not as they were."""
        wanted = {
            row.pk: {name: f"{row.permission_key}:{name}" in request.POST for name in self.granted}
            for row in rows
        }
        return {
            row.pk: wanted[row.pk]
            for row in rows
            if any(getattr(row, name) != value for name, value in wanted[row.pk].items())
        }

    def _save(
        self, request: HttpRequest, rows: list[Any], changes: dict[int, dict[str, bool]]
    ) -> None:
        with recording():
            for row in rows:
                for name, value in changes.get(row.pk, {}).items():
                    setattr(row, name, value)
                if row.pk in changes:
                    row.save(update_fields=[*self.granted, "update_time"])
        said = _("%(count)d permissions were changed.") % {"count": len(changes)}
        self.message_user(request, said)  # type: ignore[attr-defined]

    def _line(self, row: Any, changed: dict[str, bool]) -> dict[str, Any]:
        boxes = [
            {
                "name": f"{row.permission_key}:{name}",
                "label": f"{row.permission_key}: {row._meta.get_field(name).verbose_name}",
                "on": changed.get(name, getattr(row, name)),
                "changed": name in changed and changed[name] != getattr(row, name),
            }
            for name in self.granted
        ]
        return {"row": row, "description": self.shown_description(row), "boxes": boxes}


def _state(rows: list[Any], columns: tuple[str, ...]) -> str:
    """What the operator has looked at."""
    told = [(row.permission_key, *(getattr(row, name) for name in columns)) for row in rows]
    return hashlib.sha256(repr(told).encode()).hexdigest()
