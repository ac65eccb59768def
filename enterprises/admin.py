from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import display

from accounts.actors import actor_of
from accounts.admin_parts import Careful, Hiding, OperatorsChange
from accounts.admin_tables import CHANGED, NEW, SAME, Tabled, coded, moment_in, named_user
from accounts.purging import Steps
from accounts.refusals import Refused
from accounts.validation import invalid
from audit.recording import deed
from enterprises import services
from enterprises.admin_grid import PermissionGrid
from enterprises.explanation import GrantChange, preview_grant_in_enterprise
from enterprises.models import (
    Enterprise,
    EnterprisePermission,
    EnterpriseRole,
    EnterpriseUser,
    ServiceType,
)
from enterprises.purging import purge_enterprise


@admin.register(Enterprise)
class EnterpriseAdmin(Tabled, OperatorsChange, Hiding, ModelAdmin):
    """Enterprises. Deleting hides one with all that is in it; what is hidden can be restored here, or purged."""

    list_display = ["name", "service_type", "creator", "expire_time", "shown_state"]
    list_select_related = ["creator"]
    list_filter = ["service_type", "deleted"]
    search_fields = ["name"]
    autocomplete_fields = ["creator"]
    fields = [
        *("name", "creator", "service_type", "expire_time", "logo_url", "avatar_url"),
        *("org_id", "deleted", "purge_begun", "shown_members"),
    ]
    readonly_fields = ["purge_begun", "shown_members"]
    actions = ["restore", "purge", "renew", "expire"]
    table: ClassVar[dict[str, Any]] = {
        "name": lambda row: row.name,
        "officer": lambda row: row.shown_officer,
        "type": lambda row: ServiceType(row.service_type).name.lower(),
        "expires": lambda row: row.expire_time,
        "id": lambda row: row.pk,
        "deleted": lambda row: "yes" if row.deleted else "no",
    }
    imported = ("name", "officer", "type", "expires")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Enterprise]:
        officers = EnterpriseUser.objects.filter(
            enterprise=OuterRef("pk"), role=EnterpriseRole.OFFICER
        )
        found: QuerySet[Enterprise] = super().get_queryset(request)
        return found.annotate(shown_officer=Subquery(officers.values("user__username")[:1]))

    def get_readonly_fields(self, request: HttpRequest, obj: object = None) -> list[str]:
        """Who has founded it stays: the office is handed over among its members."""
        return [*super().get_readonly_fields(request, obj), *(["creator"] if obj else [])]

    @display(description=_("Members"))
    def shown_members(self, enterprise: Enterprise) -> str:
        if enterprise._state.adding:
            return gettext("Its creator becomes its officer.")
        page = reverse("admin:enterprises_enterpriseuser_changelist")
        return format_html(
            '<a class="text-primary-600 dark:text-primary-500" href="{}?enterprise__id__exact={}">{}</a>',
            page,
            enterprise.pk,
            gettext("Members"),
        )

    def save_model(self, request: HttpRequest, obj: Enterprise, form: Any, change: bool) -> None:
        by, given = actor_of(request), form.cleaned_data
        plain = {name: given[name] for name in ("name", "logo_url", "avatar_url")}
        terms = {name: given[name] for name in ("service_type", "expire_time", "org_id")}
        if not change:
            with deed("enterprise.create", by=by):
                made = services.create_enterprise(
                    by=by,
                    officer=given["creator"],
                    service_type=ServiceType(terms["service_type"]),
                    **plain,
                )
                services.set_terms(made, by=by, **terms)
            obj.pk = made.pk
            obj.refresh_from_db()
            return
        changed = {name: value for name, value in plain.items() if name in form.changed_data}
        with deed("enterprise.change", obj, by=by):
            if changed:
                services.change_enterprise(obj, by=by, **changed)
            if terms.keys() & set(form.changed_data):
                services.set_terms(obj, by=by, **terms)

    def bring(self, request: HttpRequest, cells: dict[str, str]) -> str:
        by, officer = actor_of(request), named_user("officer", cells["officer"])
        service_type = coded("type", cells["type"], ServiceType)
        expires = moment_in("expires", cells["expires"])
        there = Enterprise.objects.alive().filter(name=cells["name"]).first()
        if there is None:
            made = services.create_enterprise(
                name=cells["name"], by=by, officer=officer, service_type=service_type
            )
            services.set_terms(
                made, by=by, service_type=service_type, expire_time=expires, org_id=None
            )
            return NEW
        if services.officer_of(there) != officer:
            raise invalid("officer", gettext("Another one is its officer: hand the office over."))
        if (there.service_type, there.expire_time) == (service_type, expires):
            return SAME
        services.set_terms(
            there, by=by, service_type=service_type, expire_time=expires, org_id=there.org_id
        )
        return CHANGED

    @admin.action(description=_("Renew the selected enterprises by a year"), permissions=["change"])
    def renew(self, request: HttpRequest, queryset: QuerySet[Enterprise]) -> None:
        """From their end on, or from now where that is past; those that never expire stay so."""
        now = timezone.now()
        self._each(
            request,
            queryset.exclude(expire_time=None),
            lambda row: max(row.expire_time or now, now) + timedelta(days=365),
        )

    @admin.action(description=_("Let the selected enterprises expire now"), permissions=["change"])
    def expire(self, request: HttpRequest, queryset: QuerySet[Enterprise]) -> None:
        self._each(request, queryset, lambda _row: timezone.now())

    def _each(
        self,
        request: HttpRequest,
        queryset: QuerySet[Enterprise],
        until: Callable[[Enterprise], datetime],
    ) -> None:
        count = 0
        for row in queryset:
            try:
                services.set_terms(
                    row,
                    by=actor_of(request),
                    service_type=ServiceType(row.service_type),
                    expire_time=until(row),
                    org_id=row.org_id,
                )
                count += 1
            except Refused as error:
                self.message_user(request, f"{row}: {error}", "warning")
        self.message_user(request, gettext("%(count)d changed.") % {"count": count})

    def purged(self, row: Enterprise) -> Steps:
        return purge_enterprise(row)

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
class EnterprisePermissionAdmin(PermissionGrid, Careful, ModelAdmin):
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
    list_filter = ["module"]
    readonly_fields = ["permission_key", "module"]
    granted = ("officer", "governor", "staff", "available_expired")

    def preview(self, permission: str, columns: dict[str, bool]) -> GrantChange:
        return preview_grant_in_enterprise(permission, columns)
