"""The API keys of spaces in the admin: to look at, and to end."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import display

from accounts.actors import actor_of
from accounts.admin_parts import KEY_COLOURS, Careful, is_operator
from accounts.models import KeyState
from spaces.keys import revoke_key
from spaces.models import SpaceKey


@admin.register(SpaceKey)
class SpaceKeyAdmin(Careful, ModelAdmin):
    """They are made by who may manage them in the space; here operators end them."""

    list_display = [
        *("shown_name", "space", "shown_owner", "shown_state"),
        *("shown_expiry", "shown_last_use"),
    ]
    list_select_related = ["space", "key__user"]
    list_filter = ["key__revoked_at"]
    search_fields = ["key__name", "key__prefix", "key__user__username", "space__name"]
    actions = ["revoke"]

    @display(description=_("API key"))
    def shown_name(self, held: SpaceKey) -> str:
        return str(held.key)

    @display(description=_("Acts for"))
    def shown_owner(self, held: SpaceKey) -> str:
        return str(held.key.user)

    @display(description=_("State"), label=KEY_COLOURS)
    def shown_state(self, held: SpaceKey) -> tuple[KeyState, str]:
        return held.key.state, str(held.key.state.label)

    @display(description=_("Expires"))
    def shown_expiry(self, held: SpaceKey) -> Any:
        return held.key.expires_at

    @display(description=_("Last used"))
    def shown_last_use(self, held: SpaceKey) -> Any:
        return held.key.last_used_at

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return is_operator(request)

    @admin.action(description=_("Revoke the selected keys"), permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[SpaceKey]) -> None:
        chosen = list(queryset.filter(key__revoked_at=None).select_related("key__user", "space"))
        for held in chosen:
            revoke_key(held, by=actor_of(request))
        self.message_user(request, gettext("%(count)d revoked.") % {"count": len(chosen)})
