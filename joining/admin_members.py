"""Members of enterprises and of spaces in the admin: what operators do there, the services do, with all their rules."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import display

from accounts.actors import actor_of
from accounts.admin_parts import Careful, OperatorsChange
from accounts.admin_tables import CHANGED, NEW, SAME, Tabled, coded, named_user
from accounts.refusals import Refused
from accounts.validation import invalid
from audit.recording import deed, recording
from enterprises import services as enterprises
from enterprises.models import Enterprise, EnterpriseRole, EnterpriseUser
from joining import services as joining
from spaces import services as spaces
from spaces.models import Space, SpaceRole, SpaceUser


class MemberForm(forms.ModelForm):  # type: ignore[type-arg]
    """Who is the first is not chosen here: that is handed over, by the action of the list."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields.get("role")
        if isinstance(field, forms.TypedChoiceField) and self.instance.role != 1:
            choices: Any = field.choices
            field.choices = [(code, label) for code, label in choices if code in (2, 3)]


class MemberAdmin(Tabled, OperatorsChange, Careful, ModelAdmin):
    """What both kinds of membership have in common; `place` is what one is a member of."""

    form = MemberForm
    list_filter = ["role"]
    place = ""
    roles: type[EnterpriseRole] | type[SpaceRole]
    actions = ["make_second", "make_third", "hand_over"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Members stay who they are and where they are; who is the first hands over."""
        fixed = [] if obj is None else [self.place, "user"]
        if obj is not None and obj.role == 1:
            fixed.append("role")
        return [*super().get_readonly_fields(request, obj), *fixed]

    def lookup_allowed(self, lookup: str, value: str, request: Any = None) -> bool:
        """The page of an enterprise or a space leads to its members."""
        return lookup == f"{self.place}__id__exact" or super().lookup_allowed(
            lookup, value, request
        )

    @display(description=_("since"))
    def shown_since(self, row: Any) -> datetime:
        moment: datetime = row.create_time
        return moment

    def change_role(self, row: Any, role: int, request: HttpRequest) -> None:
        raise NotImplementedError

    def remove(self, row: Any, request: HttpRequest) -> None:
        raise NotImplementedError

    def transfer(self, row: Any, request: HttpRequest) -> None:
        raise NotImplementedError

    def add(self, place: Any, uid: str, role: int, request: HttpRequest) -> Any:
        raise NotImplementedError

    def named_place(self, cells: dict[str, str]) -> Any:
        """What a row of a table is about, or Invalid."""
        raise NotImplementedError

    def bring(self, request: HttpRequest, cells: dict[str, str]) -> str:
        place = self.named_place(cells)
        user, role = named_user("user", cells["user"]), coded("role", cells["role"], self.roles)
        there = place.members.filter(user=user).first()
        if there is None:
            self.add(place, user.uid, role, request)
            return NEW
        if there.role == role:
            return SAME
        self.change_role(there, role, request)
        return CHANGED

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        given = form.cleaned_data
        if not change:
            made = self.add(given[self.place], given["user"].uid, given["role"], request)
            if given["nickname"]:
                made.nickname = given["nickname"]
                made.save(update_fields=["nickname", "update_time"])
            obj.pk = made.pk
            obj.refresh_from_db()
            return
        with deed(f"{obj._meta.model_name}.change", obj, by=actor_of(request)):
            if "nickname" in form.changed_data:
                obj.save(update_fields=["nickname", "update_time"])
            if "role" in form.changed_data:
                self.change_role(obj, given["role"], request)

    def get_deleted_objects(
        self, objs: Iterable[Any], request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[str]]:
        names = [str(row) for row in objs]
        return names, {str(self.model._meta.verbose_name_plural): len(names)}, set(), []

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self.remove(obj, request)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """All of them or none: Django says afterwards that all are gone."""
        with recording():
            for row in queryset.select_related("user", self.place):
                self.remove(row, request)

    def _give(self, request: HttpRequest, queryset: QuerySet[Any], role: int) -> None:
        self._each(request, queryset, lambda row: self.change_role(row, role, request))

    def _hand_over(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._each(request, queryset, lambda row: self.transfer(row, request))

    def _each(
        self, request: HttpRequest, queryset: QuerySet[Any], do: Callable[[Any], None]
    ) -> None:
        """Do it to each, one at a time, and tell whom it was refused for."""
        count = 0
        for row in queryset.select_related("user", self.place):
            try:
                do(row)
                count += 1
            except Refused as error:
                self.message_user(request, f"{row}: {error}", "warning")
        self.message_user(request, gettext("%(count)d changed.") % {"count": count})


@admin.register(EnterpriseUser)
class EnterpriseMemberAdmin(MemberAdmin):
    """Members of enterprises."""

    place = "enterprise"
    roles = EnterpriseRole
    list_display = ["user", "enterprise", "role", "nickname", "shown_since"]
    list_select_related = ["user", "enterprise"]
    search_fields = ["user__username", "nickname", "enterprise__name"]
    autocomplete_fields = ["enterprise", "user"]
    fields = ["enterprise", "user", "role", "nickname"]
    table: ClassVar[dict[str, Any]] = {
        "enterprise": lambda row: row.enterprise.name,
        "user": lambda row: row.user.username,
        "role": lambda row: EnterpriseRole(row.role).name.lower(),
        "nickname": lambda row: row.nickname,
        "since": lambda row: row.create_time,
    }
    imported = ("enterprise", "user", "role")

    def get_queryset(self, request: HttpRequest) -> QuerySet[EnterpriseUser]:
        found: QuerySet[EnterpriseUser] = super().get_queryset(request)
        return found.select_related("user", "enterprise")

    @admin.action(description=_("Make the selected governors"), permissions=["change"])
    def make_second(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._give(request, queryset, 2)

    @admin.action(description=_("Make the selected staff"), permissions=["change"])
    def make_third(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._give(request, queryset, 3)

    @admin.action(description=_("Hand the office over to the selected"), permissions=["change"])
    def hand_over(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._hand_over(request, queryset)

    def add(self, place: Enterprise, uid: str, role: int, request: HttpRequest) -> Any:
        role = EnterpriseRole(role)
        return joining.enrol_colleague(place, uid, role, by=actor_of(request))

    def change_role(self, row: EnterpriseUser, role: int, request: HttpRequest) -> None:
        enterprises.change_member_role(
            row.enterprise, row.user_id, EnterpriseRole(role), by=actor_of(request)
        )

    def remove(self, row: EnterpriseUser, request: HttpRequest) -> None:
        enterprises.remove_member(row.enterprise, row.user_id, by=actor_of(request))

    def transfer(self, row: EnterpriseUser, request: HttpRequest) -> None:
        enterprises.transfer_enterprise(row.enterprise, row.user_id, by=actor_of(request))

    def named_place(self, cells: dict[str, str]) -> Enterprise:
        house = Enterprise.objects.alive().filter(name=cells["enterprise"]).first()
        if house is None:
            raise invalid("enterprise", gettext("There is no enterprise of this name."))
        return house


@admin.register(SpaceUser)
class SpaceMemberAdmin(MemberAdmin):
    """Members of spaces."""

    place = "space"
    roles = SpaceRole
    list_display = ["user", "space", "role", "nickname", "last_visit_time", "shown_since"]
    list_select_related = ["user", "space"]
    search_fields = ["user__username", "nickname", "space__name"]
    autocomplete_fields = ["space", "user"]
    fields = ["space", "user", "role", "nickname", "last_visit_time"]
    readonly_fields = ["last_visit_time"]
    table: ClassVar[dict[str, Any]] = {
        "space": lambda row: row.space_id,
        "name": lambda row: row.space.name,
        "enterprise": lambda row: row.space.enterprise.name if row.space.enterprise else "",
        "user": lambda row: row.user.username,
        "role": lambda row: SpaceRole(row.role).name.lower(),
        "nickname": lambda row: row.nickname,
        "since": lambda row: row.create_time,
    }
    imported = ("space", "user", "role")

    def get_queryset(self, request: HttpRequest) -> QuerySet[SpaceUser]:
        found: QuerySet[SpaceUser] = super().get_queryset(request)
        return found.select_related("user", "space__enterprise")

    @admin.action(description=_("Make the selected admins"), permissions=["change"])
    def make_second(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._give(request, queryset, 2)

    @admin.action(description=_("Make the selected members"), permissions=["change"])
    def make_third(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._give(request, queryset, 3)

    @admin.action(description=_("Hand the ownership over to the selected"), permissions=["change"])
    def hand_over(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._hand_over(request, queryset)

    def add(self, place: Space, uid: str, role: int, request: HttpRequest) -> Any:
        return joining.add_member(place, uid, SpaceRole(role), by=actor_of(request))

    def change_role(self, row: SpaceUser, role: int, request: HttpRequest) -> None:
        spaces.change_member_role(row.space, row.user_id, SpaceRole(role), by=actor_of(request))

    def remove(self, row: SpaceUser, request: HttpRequest) -> None:
        spaces.remove_member(row.space, row.user_id, by=actor_of(request))

    def transfer(self, row: SpaceUser, request: HttpRequest) -> None:
        spaces.transfer_space(row.space, row.user_id, by=actor_of(request))

    def named_place(self, cells: dict[str, str]) -> Space:
        key = cells["space"]
        known = key.isascii() and key.isdigit() and len(key) < 19
        space = Space.objects.alive().filter(pk=int(key)).first() if known else None
        if space is None:
            raise invalid("space", gettext("There is no space of this id."))
        return space
