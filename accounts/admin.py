from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as BaseGroupAdmin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accounts import second_factor, sessions
from accounts.actors import actor_of
from accounts.admin_audit import EntryAdmin as EntryAdmin
from accounts.admin_deletion import DeletesPeople
from accounts.admin_parts import KEY_COLOURS, Careful, is_operator
from accounts.admin_people import PeopleTable
from accounts.models import ApiKey, KeyState, User
from accounts.scopes import EVERYTHING, KNOWN_SCOPES
from audit.recording import deed

admin.site.unregister(Group)
# What django-allauth keeps is nothing to edit, and its secrets nothing to look at.
for model in (Authenticator, EmailAddress, SocialAccount, SocialApp, SocialToken, UserSession):
    admin.site.unregister(model)


@admin.register(Group)
class GroupAdmin(Careful, BaseGroupAdmin, ModelAdmin):
    """Django's groups, for rights in this admin."""


def _may_touch(request: HttpRequest, user: User | None) -> bool:
    return is_operator(request) or user is None or not user.is_superuser


@admin.register(User)
class UserAdmin(PeopleTable, DeletesPeople, Careful, BaseUserAdmin, ModelAdmin):  # type: ignore[type-arg]
    """People. Staff who manage them make nobody an operator, and touch no operator."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["username", "shown_role", "email", "uid", "last_login", "shown_state"]
    list_filter = ["is_active", "is_staff", "is_superuser"]
    search_fields = ["username", "email", "uid"]
    readonly_fields = ["uid", "last_login", "date_joined"]
    fieldsets = (*(BaseUserAdmin.fieldsets or ()), (_("Identity"), {"fields": ("uid",)}))
    filter_horizontal = ()
    autocomplete_fields = ["groups"]
    actions = [*PeopleTable.actions, "end_sessions", "remove_factors"]

    def get_readonly_fields(self, request: HttpRequest, obj: object = None) -> list[str]:
        rights = ["is_staff", "is_superuser", "groups", "user_permissions"]
        return [*self.readonly_fields, *([] if is_operator(request) else rights)]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_touch(request, obj)

    @admin.action(description=_("End all sessions of the selected users"), permissions=["change"])
    def end_sessions(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        ended = 0
        for user in queryset:
            if self.has_change_permission(request, user):
                ended += sessions.end_all(user, by=actor_of(request).user)
        self.message_user(request, _("Sessions ended: %(count)d.") % {"count": ended})

    @admin.action(
        description=_("Remove the second factors of the selected users"), permissions=["change"]
    )
    def remove_factors(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """For who has lost theirs and the recovery codes: their password alone lets them in again."""
        count = 0
        for user in queryset:
            if self.has_change_permission(request, user) and second_factor.remove(user):
                sessions.end_all(user, by=actor_of(request).user)
                count += 1
        self.message_user(
            request, _("Users without a second factor now: %(count)d.") % {"count": count}
        )

    @display(description=_("Role"))
    def shown_role(self, user: User) -> str:
        if user.is_superuser:
            return gettext("Operator")
        return pgettext("of the admin", "Staff") if user.is_staff else gettext("Person")

    @display(description=_("State"), label={"active": "success", "off": "danger"})
    def shown_state(self, user: User) -> tuple[str, str]:
        return ("active", gettext("Active")) if user.is_active else ("off", gettext("Deactivated"))


@admin.register(ApiKey)
class ApiKeyAdmin(Careful, ModelAdmin):
    """API keys. The secret is shown once, as the key is made; a key is revoked, not deleted."""

    list_display = [
        "name",
        "prefix",
        "user",
        "created_at",
        "expires_at",
        "last_used_at",
        "shown_state",
    ]
    list_select_related = ["user"]
    list_filter = ["bound"]
    search_fields = ["name", "prefix", "user__username"]
    autocomplete_fields = ["user"]
    fields = [
        "user",
        "name",
        "scopes",
        "expires_at",
        "prefix",
        "created_at",
        "revoked_at",
        "last_used_at",
    ]
    readonly_fields = ["prefix", "created_at", "revoked_at", "last_used_at"]
    actions = ["revoke"]

    @display(description=_("State"), label=KEY_COLOURS)
    def shown_state(self, key: ApiKey) -> tuple[KeyState, str]:
        return key.state, str(key.state.label)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **options)
        if db_field.name == "scopes" and field is not None:
            field.widget.attrs["rows"] = 2
            known = ", ".join(sorted(KNOWN_SCOPES))
            field.help_text = (
                _('["*"] is all that the user may do. Narrower: a list of %s.') % known
            )
        return field

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"scopes": [EVERYTHING]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        """Operators' keys are theirs alone: widening one would be as good as having another."""
        keys: QuerySet[ApiKey] = super().get_queryset(request)
        return keys if is_operator(request) else keys.filter(user__is_superuser=False)

    def get_readonly_fields(self, request: HttpRequest, obj: object = None) -> list[str]:
        """A key never changes hands."""
        return [*self.readonly_fields, *(["user"] if obj else [])]

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        """Who is no superuser makes no key by which they would become one."""
        if db_field.name == "user" and not is_operator(request):
            options["queryset"] = User.objects.filter(is_superuser=False)
        return super().formfield_for_foreignkey(db_field, request, **options)

    def save_model(
        self,
        request: HttpRequest,
        obj: ApiKey,
        form: "ModelForm[ApiKey]",
        change: bool,
    ) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        key, secret = ApiKey.issue(
            user=obj.user, name=obj.name, scopes=obj.scopes, expires_at=obj.expires_at
        )
        obj.pk = key.pk
        obj.refresh_from_db()
        text = _("The key is %(secret)s. Copy it now: it is never shown again.")
        self.message_user(request, text % {"secret": secret}, "warning")

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    @admin.action(description=_("Revoke the selected keys"), permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        revoked = 0
        for key in queryset.filter(revoked_at=None):
            with deed("apikey.revoke", key):
                key.revoke()
            revoked += 1
        self.message_user(request, _("%(count)d revoked.") % {"count": revoked})
