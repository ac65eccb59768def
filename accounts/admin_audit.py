"""The audit in the admin: to look at, to filter and to take away; nobody changes it there."""

import json
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import display

from accounts.admin_parts import Careful
from accounts.admin_tables import pieces
from audit.choices import Outcome
from audit.export import CONTENT_TYPES, FORMATS, lines
from audit.models import Entry


@admin.register(Entry)
class EntryAdmin(Careful, ModelAdmin):
    """Who did what, newest first."""

    list_display = [
        "number",
        "at",
        "shown_actor",
        "door",
        "address",
        "action",
        "object_name",
        "shown_outcome",
    ]
    list_filter = ["outcome", "door"]
    # Exact, so that an index finds them, or a look at each row is short.
    search_fields = [
        "actor__exact",
        "actor_uid__exact",
        "action__exact",
        "object_type__exact",
        "object_id__exact",
        "object_name__exact",
        "address__exact",
        "key_prefix__exact",
    ]
    search_help_text = _("A user name, an action, an object's name or id, an address; each in full")
    list_before_template = "admin/audit_export.html"
    list_per_page = 50
    fields = [
        "number",
        "at",
        "shown_actor",
        "actor_uid",
        "key_prefix",
        "door",
        "address",
        "action",
        "shown_outcome",
        "object_type",
        "object_id",
        "object_name",
        "shown_detail",
        "previous",
        "digest",
    ]
    readonly_fields = ["shown_actor", "shown_outcome", "shown_detail"]

    @display(description=_("who"))
    def shown_actor(self, entry: Entry) -> str:
        key = f"({entry.key_prefix}…)" if entry.key_prefix else ""
        return f"{entry.actor} {key}".strip()

    @display(description=_("outcome"), label={Outcome.DONE: "success", Outcome.REFUSED: "danger"})
    def shown_outcome(self, entry: Entry) -> tuple[str, str]:
        return entry.outcome, entry.get_outcome_display()

    @display(description=_("detail"))
    def shown_detail(self, entry: Entry) -> str:
        return format_html(
            '<pre class="whitespace-pre-wrap">{}</pre>',
            json.dumps(entry.details, indent=2, ensure_ascii=False),
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().changelist_view(request, {**(extra_context or {}), "exports": FORMATS})

    def get_urls(self) -> list[Any]:
        export = self.admin_site.admin_view(self.export)
        return [path("export/<str:form>/", export, name="audit_entry_export"), *super().get_urls()]

    def export(self, request: HttpRequest, form: str) -> StreamingHttpResponse:
        """What the list shows with these filters, all of it, oldest first."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        wanted = next((each for each in FORMATS if each == form), None)
        if wanted is None:
            raise Http404
        listed = self.get_changelist_instance(request).queryset
        response = StreamingHttpResponse(
            pieces(lines(listed, wanted)), content_type=f"{CONTENT_TYPES[wanted]}; charset=utf-8"
        )
        response["Content-Disposition"] = f'attachment; filename="audit.{wanted}"'
        return response
