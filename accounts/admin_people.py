"""People as a table, and several of them at once."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.admin_tables import CHANGED, NEW, SAME, Tabled
from accounts.models import User
from accounts.refusals import Forbidden
from accounts.validation import invalid
from audit.recording import deed

_YES, _NO = {"yes", "true", "1"}, {"no", "false", "0"}


class PeopleTable(Tabled):
    """For the ModelAdmin of users: a table that makes and changes people, but no rights and no passwords."""

    table: ClassVar[dict[str, Any]] = {
        "username": lambda user: user.username,
        "email": lambda user: user.email,
        "first_name": lambda user: user.first_name,
        "last_name": lambda user: user.last_name,
        "active": lambda user: "yes" if user.is_active else "no",
        "uid": lambda user: user.uid,
        "last_login": lambda user: user.last_login,
    }
    imported = ("username", "email", "first_name", "last_name", "active")
    actions: Any = ["activate", "deactivate"]

    def bring(self, request: HttpRequest, cells: dict[str, str]) -> str:
        user = User.objects.filter(username=cells["username"]).first()
        new = user is None
        if user is None:
            user = User(username=cells["username"])
            user.set_unusable_password()
        before = [user.email, user.first_name, user.last_name, user.is_active]
        user.email, user.first_name, user.last_name = (
            cells[name] for name in ("email", "first_name", "last_name")
        )
        user.is_active = _active(cells["active"])
        if not new and [user.email, user.first_name, user.last_name, user.is_active] == before:
            return SAME
        self._require_touch(request, user)
        user.full_clean()
        user.save()
        return NEW if new else CHANGED

    @admin.action(description=gettext_lazy("Activate the selected people"), permissions=["change"])
    def activate(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        self._each(request, queryset.filter(is_active=False), active=True)

    @admin.action(
        description=gettext_lazy("Deactivate the selected people"), permissions=["change"]
    )
    def deactivate(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        self._each(request, queryset.filter(is_active=True), active=False)

    def _each(self, request: HttpRequest, people: QuerySet[User], *, active: bool) -> None:
        count = 0
        for user in people:
            try:
                self._require_touch(request, user)
            except Forbidden as error:
                self.message_user(request, f"{user}: {error}", "warning")  # type: ignore[attr-defined]
                continue
            with deed("user.activate" if active else "user.deactivate", user):
                user.is_active = active
                user.save(update_fields=["is_active"])
            count += 1
        self.message_user(request, _("%(count)d changed.") % {"count": count})  # type: ignore[attr-defined]

    def _require_touch(self, request: HttpRequest, user: User) -> None:
        """Nobody shuts themselves out, and operators are changed by operators."""
        if user.pk == request.user.pk:
            raise Forbidden(_("This is you: somebody else has to do it."))
        if user.pk and not self.has_change_permission(request, user):  # type: ignore[attr-defined]
            raise Forbidden(_("This is for operators."))


def _active(text: str) -> bool:
    if text.casefold() not in _YES | _NO:
        raise invalid("active", _("This is yes or no."))
    return text.casefold() in _YES
