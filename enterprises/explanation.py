"""Why somebody may do something in an enterprise or not; and what a change would change, before it is made.

Nothing here decides. The conclusion is that of `access.may_in_enterprise`; the facts are what it looks at, one by one.
A preview makes the change, asks again, and takes the change back. What spaces need of the same is here as well.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.actors import Actor
from enterprises.access import enterprise_members_allowed, may_in_enterprise
from enterprises.models import Enterprise, EnterprisePermission, EnterpriseRole, EnterpriseUser
from enterprises.permissions import DEFAULTS

COLUMNS = {
    EnterpriseRole.OFFICER: "officer",
    EnterpriseRole.GOVERNOR: "governor",
    EnterpriseRole.STAFF: "staff",
}
#: How many members a preview looks at, and how many it names.
_LOOKED_AT = 500
_NAMED = 50


@dataclass(frozen=True)
class Fact:
    """One thing that the answer depends on. `holds` says whether it speaks for it."""

    name: str
    holds: bool
    text: str


def speaks_for(name: str, text: str) -> Fact:
    return Fact(name, holds=True, text=text)


def speaks_against(name: str, text: str) -> Fact:
    return Fact(name, holds=False, text=text)


@dataclass(frozen=True)
class Explanation:
    """The answer, and the facts in the order in which they are looked at."""

    allowed: bool
    facts: tuple[Fact, ...]

    @property
    def follows(self) -> bool:
        """What the facts amount to: the same as the answer, or one of the two is wrong."""
        holds = {fact.name: fact.holds for fact in self.facts}
        first = [holds[name] for name in ("key", "active", "scope", "bounds", "place")]
        rest = [holds[name] for name in ("row", "role", "granted", "expiry")]
        return all(first) and (holds["operator"] or all(rest))


def explain_in_enterprise(actor: Actor, permission: str, *, enterprise: Enterprise) -> Explanation:
    """Why `actor` may do `permission` there, or why not. A key that opens no door allows nothing."""
    if permission not in DEFAULTS:
        raise LookupError(f"{permission!r} is not a permission of an enterprise.")
    if enterprise.deleted:
        text = _("The enterprise %(name)s is deleted.") % {"name": enterprise}
        place = speaks_against("place", text)
    else:
        place = speaks_for("place", _("The enterprise %(name)s is there.") % {"name": enterprise})
    row = EnterprisePermission.objects.filter(permission_key=permission).first()
    member = enterprise.members.filter(user=actor.user).first()
    facts = (
        *of_the_person(actor, permission),
        of_the_bounds(actor, inside=False),
        place,
        *of_the_role(actor, permission, row, member, COLUMNS, _("the enterprise")),
        of_the_time(row, enterprise),
    )
    allowed = may_in_enterprise(actor, permission, enterprise=enterprise)
    return Explanation(opens(actor) and allowed, facts)


def opens(actor: Actor) -> bool:
    return actor.key is None or actor.key.is_usable


def of_the_person(actor: Actor, permission: str) -> Iterator[Fact]:
    user, key = actor.user, actor.key
    names = {"user": user.get_username(), "permission": permission}
    if key is None:
        yield speaks_for("key", _("No API key is involved."))
    elif key.is_usable:
        yield speaks_for("key", _("The API key %(key)s is valid.") % {"key": key})
    else:
        text = _("The API key %(key)s is revoked or expired, or its owner is deactivated.")
        yield speaks_against("key", text % {"key": key})
    active = _("%(user)s is active.") if user.is_active else _("%(user)s is deactivated.")
    yield Fact("active", user.is_active, active % names)
    reaches = actor.in_scope(permission)
    scope = (
        _("The credential reaches as far as %(permission)s.")
        if reaches
        else _("The API key's scopes do not include %(permission)s.")
    )
    yield Fact("scope", reaches, scope % names)
    operator = (
        _("%(user)s is an operator, who may do everything.")
        if actor.is_operator
        else _("%(user)s does not act as an operator.")
    )
    yield Fact("operator", actor.is_operator, operator % names)


def of_the_bounds(actor: Actor, *, inside: bool) -> Fact:
    """Whether a key that opens one place alone is `inside` the one that is asked about."""
    if not actor.is_bound:
        return speaks_for("bounds", _("The credential is bound to no space."))
    names = {"key": actor.key}
    if inside:
        return speaks_for("bounds", _("The API key %(key)s is bound to this space.") % names)
    return speaks_against("bounds", _("The API key %(key)s is bound to another space.") % names)


def of_the_role(
    actor: Actor,
    permission: str,
    row: Any,
    member: Any,
    columns: Mapping[Any, str],
    place: str,
) -> Iterator[Fact]:
    found = _("The table of permissions has a row for %(permission)s.")
    missing = _("The table of permissions has no row for %(permission)s.")
    yield Fact("row", row is not None, (found if row else missing) % {"permission": permission})
    names = {"user": actor.user.get_username(), "place": place, "permission": permission}
    if member is None:
        yield speaks_against("role", _("%(user)s is no member of %(place)s.") % names)
        yield speaks_against("granted", _("Without a role there is nothing to grant."))
        return
    names["role"] = member.get_role_display()
    yield speaks_for("role", _("%(user)s is a member in the role %(role)s.") % names)
    column = columns.get(member.role)
    granted = bool(row and column and getattr(row, column))
    grants = _("The row grants %(permission)s to the role %(role)s.")
    denies = _("The row does not grant %(permission)s to the role %(role)s.")
    yield Fact("granted", granted, (grants if granted else denies) % names)


def of_the_time(row: Any, house: Enterprise | None) -> Fact:
    if house is None or not house.expired:
        return speaks_for("expiry", _("Nothing has expired."))
    names = {"name": house}
    if row is not None and row.available_expired:
        text = _("The enterprise %(name)s has expired, but this may still be done.")
        return speaks_for("expiry", text % names)
    text = _("The enterprise %(name)s has expired, and this may then no longer be done.")
    return speaks_against("expiry", text % names)


@dataclass(frozen=True)
class GrantChange:
    """For whom a changed row of the table changes the answer. `more`: there may be others."""

    gaining: tuple[Any, ...]
    losing: tuple[Any, ...]
    more: bool


def preview_grant_in_enterprise(permission: str, columns: Mapping[str, bool]) -> GrantChange:
    """Who could do `permission`, and who no longer, if its row had these `columns`. At most a few are named."""
    row = EnterprisePermission.objects.get(permission_key=permission)
    turned = {name for name, value in columns.items() if getattr(row, name) != value}
    concerned = Q(role__in=[role for role, column in COLUMNS.items() if column in turned])
    if "available_expired" in turned:
        concerned |= Q(enterprise__expire_time__lte=timezone.now())
    members = EnterpriseUser.objects.filter(concerned).select_related("user", "enterprise")
    return previewed(row, columns, members, enterprise_members_allowed)


def previewed(
    row: Any,
    columns: Mapping[str, bool],
    members: "models.QuerySet[Any]",
    allowed: Callable[[str, Iterable[Any]], set[int]],
) -> GrantChange:
    found = list(members.order_by("pk")[: _LOOKED_AT + 1])
    looked_at = found[:_LOOKED_AT]
    with undone():
        before = allowed(row.permission_key, looked_at)
        plain(type(row)).filter(pk=row.pk).update(**columns)
        after = allowed(row.permission_key, looked_at)
    gaining = [each for each in looked_at if each.pk in after - before]
    losing = [each for each in looked_at if each.pk in before - after]
    more = len(found) > _LOOKED_AT or max(len(gaining), len(losing)) > _NAMED
    return GrantChange(tuple(gaining[:_NAMED]), tuple(losing[:_NAMED]), more)


@contextmanager
def undone() -> Iterator[None]:
    """What is done inside has never been."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def plain(model: type[models.Model]) -> "models.QuerySet[models.Model]":
    """The rows, past the audit: a preview changes nothing."""
    return models.QuerySet(model)
