from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import display

from accounts.actors import Actor, actor_of
from accounts.admin_parts import Careful, is_operator
from accounts.refusals import Refused
from joining import services
from joining.admin_members import EnterpriseMemberAdmin as EnterpriseMemberAdmin
from joining.admin_members import SpaceMemberAdmin as SpaceMemberAdmin
from joining.models import Application, ApplicationStatus, Invite, InviteStatus


class _Watched:
    """To look at, and to decide: the services do that, with all their rules."""

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return is_operator(request)

    def _each(
        self, request: HttpRequest, rows: QuerySet[Any], decide: Callable[[Any, Actor], Any]
    ) -> None:
        count = 0
        for row in rows:
            try:
                decide(row, actor_of(request))
                count += 1
            except Refused as error:
                self.message_user(request, f"{row}: {error}", "warning")  # type: ignore[attr-defined]
        self.message_user(request, gettext("%(count)d changed.") % {"count": count})  # type: ignore[attr-defined]

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
    actions = ["withdraw"]

    @admin.action(description=_("Withdraw the selected invites"), permissions=["decide"])
    def withdraw(self, request: HttpRequest, queryset: QuerySet[Invite]) -> None:
        chosen = queryset.select_related("space__enterprise", "enterprise")
        self._each(request, chosen, lambda row, by: services.withdraw_invite(row, by=by))

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
    actions = ["approve", "reject"]

    @admin.action(description=_("Approve the selected applications"), permissions=["decide"])
    def approve(self, request: HttpRequest, queryset: QuerySet[Application]) -> None:
        chosen = queryset.select_related("space", "enterprise", "applicant")
        self._each(request, chosen, lambda row, by: services.approve_application(row, by=by))

    @admin.action(description=_("Reject the selected applications"), permissions=["decide"])
    def reject(self, request: HttpRequest, queryset: QuerySet[Application]) -> None:
        chosen = queryset.select_related("space", "enterprise", "applicant")
        self._each(request, chosen, lambda row, by: services.reject_application(row, by=by))

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
