from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from accounts.admin_parts import Careful, Hiding
from accounts.changelists import WholeList
from enterprises import services
from enterprises.models import Enterprise, EnterprisePermission, EnterpriseUser


class MemberInline(TabularInline):
    model = EnterpriseUser
    fields = ["user", "role", "nickname"]
    extra = 0
    autocomplete_fields = ["user"]


@admin.register(Enterprise)
class EnterpriseAdmin(Hiding, ModelAdmin):
    """Enterprises. Deleting hides one with all that is in it; what is hidden can be restored here."""

    list_display = ["name", "service_type", "creator", "expire_time", "shown_state"]
    list_select_related = ["creator"]
    list_filter = ["service_type", "deleted"]
    search_fields = ["name"]
    autocomplete_fields = ["creator"]
    exclude = ["live_name"]
    inlines = [MemberInline]

    def hide(self, row: Enterprise) -> None:
        services.hide_enterprise(row)

    def unhide(self, row: Enterprise) -> None:
        services.unhide_enterprise(row)

    @display(
        description=_("State"),
        label={"deleted": "danger", "living": "success"},
    )
    def shown_state(self, enterprise: Enterprise) -> tuple[str, str]:
        if enterprise.deleted:
            return "deleted", gettext("Deleted")
        return "living", gettext("Active")


@admin.register(EnterprisePermission)
class EnterprisePermissionAdmin(Careful, ModelAdmin):
    """Who may do what in an enterprise. The rows are the code's; their columns are the operators'."""

    list_display = [
        "permission_key",
        "module",
        "shown_description",
        "officer",
        "governor",
        "staff",
        "available_expired",
    ]
    list_editable = ["officer", "governor", "staff", "available_expired"]
    list_filter = ["module"]
    readonly_fields = ["permission_key", "module"]

    @display(description=_("description"))
    def shown_description(self, row: EnterprisePermission) -> str:
        """A default in the reader's language; what an operator wrote as it is."""
        return gettext(row.description) if row.description else ""

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[WholeList]:
        return WholeList

    def has_add_permission(self, request: object) -> bool:
        return False

    def has_delete_permission(self, request: object, obj: object = None) -> bool:
        return False
