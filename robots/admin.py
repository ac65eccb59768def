from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from accounts.admin_parts import Careful, FoundById
from accounts.refusals import Invalid, Refused
from robots import services
from robots.models import Robot, RobotVersion


class VersionInline(TabularInline):
    model = RobotVersion
    fields = ["number", "kind", "file_name", "size", "short_digest", "created_by", "created_at"]
    readonly_fields = fields
    extra = 0
    can_delete = False
    show_change_link = True

    @display(description=_("digest"))
    def short_digest(self, version: RobotVersion) -> str:
        return version.digest[:12]

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


class RobotForm(forms.ModelForm):  # type: ignore[type-arg]
    """A name that the services would take, free among the living robots of the space."""

    def clean_name(self) -> str:
        try:
            return services.checked_name(self.cleaned_data["name"])
        except Invalid as error:
            raise forms.ValidationError(str(error)) from None

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        robot: Robot = self.instance
        neighbours = Robot.objects.alive().filter(space=robot.space_id).exclude(pk=robot.pk)
        if not given.get("deleted") and neighbours.filter(name=given.get("name")).exists():
            self.add_error("name", _("The space has a robot of this name already."))
        return given


@admin.register(Robot)
class RobotAdmin(FoundById, ModelAdmin):
    """Robots of every space. Deleting hides; what is hidden can be restored here.

    A robot never moves to another space: its runs would stay behind.
    """

    list_display = ["name", "space", "enabled_version", "shown_state", "created_by", "updated_at"]
    list_select_related = ["space", "enabled_version__robot", "created_by"]
    list_filter = ["deleted", "space"]
    search_fields = ["name"]
    search_help_text = _("A robot's id, or a part of its name")
    readonly_fields = ["uid", "space", "created_by", "created_at", "updated_at", "enabled_version"]
    form = RobotForm
    exclude = ["live_name"]
    inlines = [VersionInline]
    actions = ["restore"]

    @display(
        description=_("State"),
        label={"deleted": "danger", "resting": "warning", "ready": "success"},
    )
    def shown_state(self, robot: Robot) -> tuple[str, str]:
        if robot.deleted:
            return "deleted", gettext("Deleted")
        if robot.enabled_version_id is None:
            return "resting", gettext("No enabled version")
        return "ready", gettext("Ready")

    @admin.action(description=_("Restore the selected robots"), permissions=["change"])
    def restore(self, request: HttpRequest, queryset: QuerySet[Robot]) -> None:
        """Bring back each robot whose name is free, and tell which are not."""
        restored = 0
        for robot in queryset.filter(deleted=True).select_related("space"):
            try:
                services.restore_robot(robot)
                restored += 1
            except Refused as error:
                self.message_user(request, str(error), "warning")
        if restored:
            self.message_user(request, _("%(count)d restored.") % {"count": restored})

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def get_deleted_objects(
        self, objs: Iterable[Robot], request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[str]]:
        """What deleting takes away: the robots alone, for it only hides them."""
        names = [str(robot) for robot in objs]
        return names, {str(Robot._meta.verbose_name_plural): len(names)}, set(), []

    def delete_model(self, request: HttpRequest, obj: Robot) -> None:
        services.hide_robot(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Robot]) -> None:
        for robot in queryset:
            services.hide_robot(robot)


@admin.register(RobotVersion)
class RobotVersionAdmin(Careful, ModelAdmin):
    """Published versions: to look at only, for they never change."""

    list_display = ["robot", "number", "kind", "size", "created_by", "created_at"]
    list_select_related = ["robot", "created_by"]
    list_filter = ["kind"]
    search_fields = ["robot__name", "digest"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False
