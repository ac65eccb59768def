from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from accounts.admin_parts import Careful, FoundById, Hiding
from accounts.purging import Steps
from accounts.refusals import Invalid
from robots import services
from robots.models import Robot, RobotVersion
from robots.purging import purge_robot


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
        if not robot.deleted and neighbours.filter(name=given.get("name")).exists():
            self.add_error("name", _("The space has a robot of this name already."))
        return given


@admin.register(Robot)
class RobotAdmin(FoundById, Hiding, ModelAdmin):
    """Robots of every space. Deleting hides; what is hidden can be restored here, or purged.

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

    def hide(self, row: Robot) -> None:
        services.hide_robot(row)

    def unhide(self, row: Robot) -> None:
        services.restore_robot(row)

    def purged(self, row: Robot) -> Steps:
        return purge_robot(row)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


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
