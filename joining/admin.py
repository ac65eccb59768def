from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import display

from accounts.admin_parts import Careful
from joining.models import Application, ApplicationStatus, Invite, InviteStatus


class _Watched:
    """To look at only: what they let happen goes through the API, where it is checked."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(Invite)
class InviteAdmin(_Watched, Careful, ModelAdmin):
    list_display = [
        "invitee",
        "space",
        "enterprise",
        "role",
        "shown_state",
        "inviter",
        "expire_time",
    ]
    list_select_related = ["invitee", "space", "enterprise", "inviter"]
    list_filter = ["type", "status"]
    search_fields = ["invitee__username", "space__name", "enterprise__name"]

    @display(
        description=_("State"),
        label={
            InviteStatus.INITIAL: "info",
            InviteStatus.JOINED: "success",
            InviteStatus.REFUSED: "danger",
            InviteStatus.WITHDRAWN: "warning",
            InviteStatus.EXPIRED: "warning",
        },
    )
    def shown_state(self, invite: Invite) -> tuple[InviteStatus, str]:
        return invite.state, str(invite.state.label)


@admin.register(Application)
class ApplicationAdmin(_Watched, Careful, ModelAdmin):
    list_display = ["applicant", "space", "enterprise", "shown_state", "apply_time", "auditor"]
    list_select_related = ["applicant", "space", "enterprise", "auditor"]
    list_filter = ["status"]
    search_fields = ["applicant__username", "space__name", "enterprise__name"]

    @display(
        description=_("State"),
        label={
            ApplicationStatus.PENDING: "info",
            ApplicationStatus.APPROVED: "success",
            ApplicationStatus.REJECTED: "danger",
        },
    )
    def shown_state(self, application: Application) -> tuple[ApplicationStatus, str]:
        state = ApplicationStatus(application.status)
        return state, str(state.label)
