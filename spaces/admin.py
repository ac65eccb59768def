from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import display

from accounts.actors import actor_of
from accounts.admin_parts import Careful, Hiding, OperatorsChange
from accounts.admin_tables import CHANGED, NEW, SAME, Tabled, coded, named_user
from accounts.purging import Steps
from accounts.refusals import Refused
from accounts.validation import invalid
from audit.recording import deed
from enterprises.admin_grid import PermissionGrid
from enterprises.explanation import GrantChange
from enterprises.models import Enterprise
from spaces import services
from spaces.admin_access import ExplainsAccess
from spaces.admin_keys import SpaceKeyAdmin as SpaceKeyAdmin
from spaces.explanation import preview_grant
from spaces.models import Space, SpacePermission, SpaceRole, SpaceType, SpaceUser
from spaces.purging import purge_space


@admin.register(Space)
class SpaceAdmin(Tabled, OperatorsChange, Hiding, ModelAdmin):
    """Spaces. Deleting hides one with all that is in it; what is hidden can be restored here, or purged.

    A space never moves to another enterprise, nor from a person to one: its names and limits are of where it is.
    """

    list_display = ["name", "enterprise", "type", "creator", "shown_state"]
    list_select_related = ["enterprise", "creator"]
    list_filter = ["type", "deleted"]
    search_fields = ["name", "enterprise__name"]
    autocomplete_fields = ["creator", "enterprise"]
    fields = [
        *("name", "description", "avatar_url", "enterprise", "creator", "type"),
        *("deleted", "purge_begun", "shown_members", "shown_keys"),
    ]
    readonly_fields = ["purge_begun", "shown_members", "shown_keys"]
    actions = ["restore", "purge", "make_free", "make_pro"]
    table: ClassVar[dict[str, Any]] = {
        "name": lambda row: row.name,
        "enterprise": lambda row: row.enterprise.name if row.enterprise else "",
        "owner": lambda row: row.shown_owner,
        "description": lambda row: row.description,
        "type": lambda row: SpaceType(row.type).name.lower(),
        "id": lambda row: row.pk,
        "deleted": lambda row: "yes" if row.deleted else "no",
    }
    imported = ("name", "enterprise", "owner", "description", "type")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Space]:
        owners = SpaceUser.objects.filter(space=OuterRef("pk"), role=SpaceRole.OWNER)
        found: QuerySet[Space] = super().get_queryset(request)
        return found.annotate(shown_owner=Subquery(owners.values("user__username")[:1]))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        fixed = [] if obj is None else ["creator", "enterprise"]
        if obj is not None and obj.enterprise_id is not None:
            fixed.append("type")
        return [*super().get_readonly_fields(request, obj), *fixed]

    @display(description=_("Members"))
    def shown_members(self, space: Space) -> str:
        if space._state.adding:
            return gettext("Its creator becomes its owner.")
        return _of_this(space, "spaceuser", gettext("Members"))

    @display(description=_("API keys"))
    def shown_keys(self, space: Space) -> str:
        return "" if space._state.adding else _of_this(space, "spacekey", gettext("API keys"))

    def save_model(self, request: HttpRequest, obj: Space, form: Any, change: bool) -> None:
        by, given = actor_of(request), form.cleaned_data
        plain = {name: given[name] for name in ("name", "description", "avatar_url")}
        if not change:
            with deed("space.create", by=by):
                made = services.create_space(
                    by=by, enterprise=given["enterprise"], owner=given["creator"], **plain
                )
                wanted = SpaceType(given["type"])
                if made.enterprise_id is None and made.type != wanted:
                    services.set_space_type(made, wanted, by=by)
            obj.pk = made.pk
            obj.refresh_from_db()
            return
        changed = {name: value for name, value in plain.items() if name in form.changed_data}
        with deed("space.change", obj, by=by):
            if changed:
                services.change_space(obj, by=by, **changed)
            if "type" in form.changed_data:
                services.set_space_type(obj, SpaceType(given["type"]), by=by)

    def bring(self, request: HttpRequest, cells: dict[str, str]) -> str:
        by, owner = actor_of(request), named_user("owner", cells["owner"])
        house = None
        if cells["enterprise"]:
            house = Enterprise.objects.alive().filter(name=cells["enterprise"]).first()
            if house is None:
                raise invalid("enterprise", gettext("There is no enterprise of this name."))
        there = Space.objects.alive().filter(name=cells["name"], enterprise=house)
        if house is None:
            there = there.filter(creator=owner)
        space = there.first()
        new = space is None
        if space is None:
            space = services.create_space(
                name=cells["name"],
                by=by,
                enterprise=house,
                owner=owner,
                description=cells["description"],
            )
        elif not space.members.filter(user=owner, role=SpaceRole.OWNER).exists():
            raise invalid("owner", gettext("Another one is its owner: hand the ownership over."))
        changed = space.description != cells["description"]
        if changed:
            services.change_space(space, by=by, description=cells["description"])
        wanted = coded("type", cells["type"], SpaceType) if cells["type"] else space.type
        if wanted != space.type:
            services.set_space_type(space, wanted, by=by)
            changed = True
        return NEW if new else CHANGED if changed else SAME

    @admin.action(description=_("Make the selected personal spaces free"), permissions=["change"])
    def make_free(self, request: HttpRequest, queryset: QuerySet[Space]) -> None:
        self._retype(request, queryset, SpaceType.FREE)

    @admin.action(description=_("Make the selected personal spaces pro"), permissions=["change"])
    def make_pro(self, request: HttpRequest, queryset: QuerySet[Space]) -> None:
        self._retype(request, queryset, SpaceType.PRO)

    def _retype(self, request: HttpRequest, queryset: QuerySet[Space], to: SpaceType) -> None:
        count = 0
        for space in queryset:
            try:
                services.set_space_type(space, to, by=actor_of(request))
                count += 1
            except Refused as error:
                self.message_user(request, f"{space}: {error}", "warning")
        self.message_user(request, gettext("%(count)d changed.") % {"count": count})

    def purged(self, row: Space) -> Steps:
        return purge_space(row)

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


def _of_this(space: Space, model: str, text: str) -> str:
    """A link to the list of that model, of one space alone."""
    return format_html(
        '<a class="text-primary-600 dark:text-primary-500" href="{}?space__id__exact={}">{}</a>',
        reverse(f"admin:spaces_{model}_changelist"),
        space.pk,
        text,
    )


@admin.register(SpacePermission)
class SpacePermissionAdmin(ExplainsAccess, PermissionGrid, Careful, ModelAdmin):
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
    list_filter = ["module"]
    readonly_fields = ["permission_key", "module", "point"]
    granted = ("owner", "admin", "member", "available_expired")

    def preview(self, permission: str, columns: dict[str, bool]) -> GrantChange:
        return preview_grant(permission, columns)
