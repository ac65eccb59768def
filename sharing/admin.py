from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import display

from accounts.admin_parts import Careful
from audit.recording import attempt
from sharing.models import Share


@admin.register(Share)
class ShareAdmin(Careful, ModelAdmin):
    """Who shares what. The keys are the sharers' own; here a share can only be ended."""

    list_display = ["sharer", "share_type", "base_id", "shown_state", "expire_time"]
    list_select_related = ["sharer"]
    list_filter = ["share_type", "is_act"]
    search_fields = ["sharer__username"]
    fields = ["sharer", "share_type", "base_id", "is_act", "expire_time"]
    readonly_fields = ["sharer", "share_type", "base_id", "expire_time", "is_act"]
    actions = ["switch_off"]

    @display(
        description=_("State"),
        ordering="is_act",
        label={"on": "success", "off": "danger", "expired": "warning"},
    )
    def shown_state(self, share: Share) -> tuple[str, str]:
        if not share.is_act:
            return "off", gettext("Off")
        if share.expire_time is not None and share.expire_time <= timezone.now():
            return "expired", gettext("Expired")
        return "on", gettext("On")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    @admin.action(description=_("Switch the selected shares off"), permissions=["change"])
    def switch_off(self, request: HttpRequest, queryset: QuerySet[Share]) -> None:
        with attempt("share.off"):
            ended = queryset.filter(is_act=True).update(is_act=False, update_time=timezone.now())
        self.message_user(request, _("%(count)d switched off.") % {"count": ended})
