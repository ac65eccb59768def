from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from accounts.admin_parts import Careful, Hiding
from accounts.changelists import WholeList
from spaces import services
from spaces.admin_access import ExplainsAccess
from spaces.models import Space, SpacePermission, SpaceUser


class MemberInline(TabularInline):
    model = SpaceUser
    fields = ["user", "role", "nickname", "last_visit_time"]
    readonly_fields = ["last_visit_time"]
    extra = 0
    autocomplete_fields = ["user"]


@admin.register(Space)
class SpaceAdmin(Hiding, ModelAdmin):
    """Spaces. Deleting hides one with all that is in it; what is hidden can be restored here."""

    list_display = ["name", "enterprise", "type", "creator", "shown_state"]
    list_select_related = ["enterprise", "creator"]
    list_filter = ["type", "deleted"]
    search_fields = ["name", "enterprise__name"]
    autocomplete_fields = ["creator", "enterprise"]
    exclude = ["live_name", "personal_name"]
    inlines = [MemberInline]

    def hide(self, row: Space) -> None:
        services.hide_space(row)

    def unhide(self, row: Space) -> None:
        services.unhide_space(row)

    @display(
        description=_("State"),
        label={"deleted": "danger", "living": "success"},
    )
    def shown_state(self, space: Space) -> tuple[str, str]:
        if space.deleted:
            return "deleted", gettext("Deleted")
        return "living", gettext("Active")


@admin.register(SpacePermission)
class SpacePermissionAdmin(ExplainsAccess, Careful, ModelAdmin):
    """Who may do what in a space. The rows are the code's; their columns are the operators'."""

    list_display = [
        "permission_key",
        "module",
        "shown_description",
        "owner",
        "admin",
        "member",
        "available_expired",
    ]
    list_editable = ["owner", "admin", "member", "available_expired"]
    list_filter = ["module"]
    readonly_fields = ["permission_key", "module", "point"]

    @display(description=_("description"))
    def shown_description(self, row: SpacePermission) -> str:
        """A default in the reader's language; what an operator wrote as it is."""
        return gettext(row.description) if row.description else ""

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[WholeList]:
        return WholeList

    def has_add_permission(self, request: object) -> bool:
        return False

    def has_delete_permission(self, request: object, obj: object = None) -> bool:
        return False
