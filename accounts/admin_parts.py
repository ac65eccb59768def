"""What the pages of the admin have in common: they bear absurd requests, and find rows by their public id."""

import time
from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ERROR_FLAG
from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.db.models import Field, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.changelists import KeysetAdmin
from accounts.models import KeyState
from accounts.purging import Steps
from accounts.refusals import Refused
from audit.models import Entry
from audit.recording import recording

#: How the state of an API key looks, wherever keys are listed.
KEY_COLOURS = {
    KeyState.VALID: "success",
    KeyState.EXPIRED: "warning",
    KeyState.REVOKED: "danger",
}
_HISTORY = 50
_PURGED_AT_ONCE = 100
_LONGEST_NUMBER = 19


class Careful(KeysetAdmin):
    """For every ModelAdmin: its list costs the same however long it is.

    And keys that are none are the sender's mistake, which Django leaves to break.
    """

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        _check(self.model._meta.pk, request.POST.getlist(ACTION_CHECKBOX_NAME))  # type: ignore[attr-defined]
        # Rows that are edited in the list; what actions do is recorded by each of them.
        together = recording() if "_save" in request.POST else nullcontext()
        try:
            with together:
                page: HttpResponse = super().changelist_view(request, extra_context)  # type: ignore[misc]
        except OverflowError:  # a number that no database holds
            return redirect(f"{request.path}?{ERROR_FLAG}=1")
        except Refused as error:
            return self._said(request, error)
        return page

    def _said(self, request: HttpRequest, error: Refused) -> HttpResponse:
        """The page again, with what the services said; nothing was done."""
        if request.method != "POST":
            raise error
        self.message_user(request, str(error), "error")  # type: ignore[attr-defined]
        return redirect(request.get_full_path())

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        for name in self.autocomplete_fields:  # type: ignore[attr-defined]
            field = self.model._meta.get_field(name)  # type: ignore[attr-defined]
            _check(field.target_field, filter(None, request.POST.getlist(name)))
        try:
            with recording() if request.method == "POST" else nullcontext():
                page: HttpResponse = super().changeform_view(  # type: ignore[misc]
                    request, object_id, form_url, extra_context
                )
        except Refused as error:
            return self._said(request, error)
        return page

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        try:
            with recording() if request.method == "POST" else nullcontext():
                page: HttpResponse = super().delete_view(request, object_id, extra_context)  # type: ignore[misc]
        except Refused as error:
            return self._said(request, error)
        return page

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """What the audit knows of the object: also what was done by other ways than the admin."""
        row = self.get_object(request, unquote(object_id))  # type: ignore[attr-defined]
        if row is None:
            opts = self.model._meta  # type: ignore[attr-defined]
            return self._get_obj_does_not_exist_redirect(request, opts, object_id)  # type: ignore[attr-defined,no-any-return]
        if not self.has_view_or_change_permission(request, row):  # type: ignore[attr-defined]
            raise PermissionDenied
        found = Entry.objects.about(row)
        before = request.GET.get("before", "")
        if before.isascii() and before.isdigit() and len(before) < _LONGEST_NUMBER:
            found = found.filter(number__lt=int(before))
        entries = list(found[: _HISTORY + 1])
        context = {
            **self.admin_site.each_context(request),  # type: ignore[attr-defined]
            "title": _("Change history: %s") % row,
            "titles": [_("Time"), _("Who"), _("From where"), _("Action"), _("Before and after")],
            "entries": entries[:_HISTORY],
            "older": entries[_HISTORY - 1].number if len(entries) > _HISTORY else None,
            "object": row,
            "opts": self.opts,  # type: ignore[attr-defined]
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/audit_history.html", context)


def _check(field: "Field[Any, Any]", keys: Iterable[str]) -> None:
    try:
        for key in keys:
            field.run_validators(field.to_python(key))
    except ValidationError as error:
        raise BadRequest(str(error)) from error


def public_id(text: str) -> UUID | None:
    """The public id that this is, with its dashes or without; None where it is something else."""
    try:
        return UUID(text.strip())
    except ValueError:
        return None


class FoundById(Careful):
    """For a ModelAdmin: a search for a whole public id, with its dashes or without, finds that row.

    Databases keep ids in forms of their own, so that no search field finds them in all of them.
    """

    #: Where the id is, as a filter names it.
    id_field = "uid"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        uid = public_id(search_term)
        if uid is None:
            found: tuple[QuerySet[Any], bool] = super().get_search_results(  # type: ignore[misc]
                request, queryset, search_term
            )
            return found
        return queryset.filter(**{self.id_field: uid}), False


class OperatorsChange:
    """For a ModelAdmin whose rows others may look at: what the services do there is for operators."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return is_operator(request) and super().has_add_permission(request)  # type: ignore[misc]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_operator(request) and super().has_change_permission(request, obj)  # type: ignore[misc]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_operator(request) and super().has_delete_permission(request, obj)  # type: ignore[misc]


def is_operator(request: HttpRequest) -> bool:
    return request.user.is_active and request.user.is_superuser


class Hiding(Careful):
    """For a ModelAdmin of what is hidden, not deleted: deleting, restoring and purging go through the services."""

    actions = ["restore", "purge"]
    #: For so long a page removes; the command goes on with the rest.
    purge_seconds = 10.0

    def hide(self, row: Any) -> None:
        raise NotImplementedError

    def unhide(self, row: Any) -> None:
        """Show it again, or raise Refused."""
        raise NotImplementedError

    def purged(self, row: Any) -> Steps:
        """Remove it for ever, step by step."""
        raise NotImplementedError

    def has_purge_permission(self, request: HttpRequest) -> bool:
        return is_operator(request)

    @admin.action(description=gettext_lazy("Purge the selected rows"), permissions=["purge"])
    def purge(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Remove what is deleted for ever, once that has been confirmed."""
        rows = list(queryset.filter(deleted=True)[:_PURGED_AT_ONCE])
        if len(rows) < queryset[: _PURGED_AT_ONCE + 1].count():
            said = _("Only what is deleted can be purged, and at most %(most)d at once.")
            self.message_user(request, said % {"most": _PURGED_AT_ONCE}, "warning")  # type: ignore[attr-defined]
        if not rows:
            return None
        if "post" not in request.POST:
            context = {
                **self.admin_site.each_context(request),  # type: ignore[attr-defined]
                "title": _("Purge for ever?"),
                "opts": self.model._meta,  # type: ignore[attr-defined]
                "rows": rows,
                "checkbox": ACTION_CHECKBOX_NAME,
            }
            return TemplateResponse(request, "admin/purge_confirmation.html", context)
        until = time.monotonic() + self.purge_seconds
        for row in rows:
            self._purge(request, row, until)
        return None

    def _purge(self, request: HttpRequest, row: Any, until: float) -> None:
        name = str(row)
        try:
            for _step in self.purged(row):
                if time.monotonic() > until:
                    said = _("%(name)s goes: the rest of it with the next purge_deleted.")
                    self.message_user(request, said % {"name": name}, "warning")  # type: ignore[attr-defined]
                    return
        except Refused as error:
            self.message_user(request, str(error), "warning")  # type: ignore[attr-defined]
            return
        self.message_user(request, _("%(name)s is gone.") % {"name": name})  # type: ignore[attr-defined]

    @admin.action(description=gettext_lazy("Restore the selected rows"), permissions=["change"])
    def restore(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Bring back each one that may be, and tell which may not."""
        restored = 0
        for row in queryset.filter(deleted=True):
            try:
                self.unhide(row)
                restored += 1
            except Refused as error:
                self.message_user(request, str(error), "warning")  # type: ignore[attr-defined]
        if restored:
            said = _("%(count)d restored.") % {"count": restored}
            self.message_user(request, said)  # type: ignore[attr-defined]

    def get_readonly_fields(self, request: HttpRequest, obj: object = None) -> list[str]:
        """Whether it is deleted is changed by deleting and restoring alone: what runs there has to stop."""
        return [*super().get_readonly_fields(request, obj), "deleted"]  # type: ignore[misc]

    def get_deleted_objects(
        self, objs: Iterable[Any], request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[str]]:
        """What deleting takes away: the rows alone, for it only hides them."""
        names = [str(row) for row in objs]
        plural = str(self.model._meta.verbose_name_plural)  # type: ignore[attr-defined]
        return names, {plural: len(names)}, set(), []

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self.hide(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for row in queryset.filter(deleted=False):
            try:
                self.hide(row)
            except Refused as error:
                self.message_user(request, f"{row}: {error}", "warning")  # type: ignore[attr-defined]
