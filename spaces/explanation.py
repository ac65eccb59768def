"""Why somebody may do something in a space or not; and what a change would change, before it is made.

Nothing here decides. The conclusion is that of `access.may`; the facts are what it looks at, one by one.
A preview makes the change, asks `access.may`, and takes the change back.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.actors import Actor
from accounts.models import User
from spaces.access import may
from spaces.models import Space, SpacePermission, SpaceRole, SpaceUser
from spaces.permissions import DEFAULTS

COLUMNS = {SpaceRole.OWNER: "owner", SpaceRole.ADMIN: "admin", SpaceRole.MEMBER: "member"}
#: How many members a preview looks at, and how many it names.
_LOOKED_AT = 200
_NAMED = 50


@dataclass(frozen=True)
class Fact:
    """One thing that the answer depends on. `holds` says whether it speaks for it."""

    name: str
    holds: bool
    text: str


def _for(name: str, text: str) -> Fact:
    return Fact(name, holds=True, text=text)


def _against(name: str, text: str) -> Fact:
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
        first = [holds[name] for name in ("key", "active", "scope", "space")]
        rest = [holds[name] for name in ("row", "role", "granted", "expiry")]
        return all(first) and (holds["operator"] or all(rest))


def explain(actor: Actor, permission: str, *, space: Space) -> Explanation:
    """Why `actor` may do `permission` in `space`, or why not. A key that opens no door allows nothing."""
    if permission not in DEFAULTS:
        raise LookupError(f"{permission!r} is not a permission of a space.")
    opens = actor.key is None or actor.key.is_usable
    facts = (
        *_of_the_person(actor, permission),
        _of_the_space(space),
        *_of_the_rules(actor, permission, space),
    )
    return Explanation(opens and may(actor, permission, space=space), facts)


def _of_the_person(actor: Actor, permission: str) -> Iterator[Fact]:
    user, key = actor.user, actor.key
    names = {"user": user.get_username(), "permission": permission}
    if key is None:
        yield _for("key", _("No API key is involved."))
    elif key.is_usable:
        yield _for("key", _("The API key %(key)s is valid.") % {"key": key})
    else:
        text = _("The API key %(key)s is revoked or expired, or its owner is deactivated.")
        yield _against("key", text % {"key": key})
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


def _of_the_space(space: Space) -> Fact:
    if space.deleted:
        return _against("space", _("The space %(space)s is deleted.") % {"space": space})
    house = space.enterprise
    if house is not None and house.deleted:
        text = _("The enterprise %(name)s, which owns the space, is deleted.")
        return _against("space", text % {"name": house})
    return _for("space", _("The space %(space)s is there.") % {"space": space})


def _of_the_rules(actor: Actor, permission: str, space: Space) -> Iterator[Fact]:
    row = SpacePermission.objects.filter(permission_key=permission).first()
    found = _("The table of permissions has a row for %(permission)s.")
    missing = _("The table of permissions has no row for %(permission)s.")
    yield Fact("row", row is not None, (found if row else missing) % {"permission": permission})
    member = SpaceUser.objects.filter(space=space, user=actor.user).first()
    names = {"user": actor.user.get_username(), "space": space, "permission": permission}
    if member is None:
        yield _against("role", _("%(user)s is no member of the space.") % names)
        yield _against("granted", _("Without a role there is nothing to grant."))
    else:
        names["role"] = member.get_role_display()
        yield _for("role", _("%(user)s is a member in the role %(role)s.") % names)
        column = COLUMNS.get(SpaceRole(member.role)) if member.role in SpaceRole.values else None
        granted = bool(row and column and getattr(row, column))
        grants = _("The row grants %(permission)s to the role %(role)s.")
        denies = _("The row does not grant %(permission)s to the role %(role)s.")
        yield Fact("granted", granted, (grants if granted else denies) % names)
    yield _of_the_time(row, space)


def _of_the_time(row: SpacePermission | None, space: Space) -> Fact:
    house = space.enterprise
    if house is None or not house.expired:
        return _for("expiry", _("Nothing has expired."))
    names = {"name": house}
    if row is not None and row.available_expired:
        text = _("The enterprise %(name)s has expired, but this may still be done.")
        return _for("expiry", text % names)
    text = _("The enterprise %(name)s has expired, and this may then no longer be done.")
    return _against("expiry", text % names)


@dataclass(frozen=True)
class RoleChange:
    """What somebody could do then and cannot now, and the other way round."""

    gained: tuple[str, ...]
    lost: tuple[str, ...]


def preview_role(user: User, space: Space, role: int | None) -> RoleChange:
    """What `user` would gain and lose in `space` in that role; None is to be no member any more."""
    actor = Actor(user)
    with _undone():
        before = {each for each in DEFAULTS if may(actor, each, space=space)}
        memberships = _plain(SpaceUser).filter(space=space, user=user)
        if role is None:
            memberships._raw_delete("default")
        elif not memberships.update(role=role):
            now = timezone.now()
            new = SpaceUser(space=space, user=user, role=role, create_time=now, update_time=now)
            _plain(SpaceUser).bulk_create([new])
        after = {each for each in DEFAULTS if may(actor, each, space=space)}
    return RoleChange(tuple(sorted(after - before)), tuple(sorted(before - after)))


@dataclass(frozen=True)
class GrantChange:
    """For whom a changed row of the table changes the answer. `more`: there may be others."""

    gaining: tuple[SpaceUser, ...]
    losing: tuple[SpaceUser, ...]
    more: bool


def preview_grant(permission: str, columns: Mapping[str, bool]) -> GrantChange:
    """Who could do `permission`, and who no longer, if its row had these `columns`. At most a few are named."""
    row = SpacePermission.objects.get(permission_key=permission)
    turned = {name for name, value in columns.items() if getattr(row, name) != value}
    roles = [role for role, column in COLUMNS.items() if column in turned]
    concerned = Q(role__in=roles)
    if "available_expired" in turned:
        concerned |= Q(space__enterprise__expire_time__lte=timezone.now())
    members = SpaceUser.objects.filter(concerned).select_related("user", "space__enterprise")
    found = list(members.order_by("pk")[: _LOOKED_AT + 1])
    looked_at = found[:_LOOKED_AT]
    with _undone():
        before = [_can(each, permission) for each in looked_at]
        _plain(SpacePermission).filter(pk=row.pk).update(**columns)
        after = [_can(each, permission) for each in looked_at]
    gaining = [m for m, old, new in zip(looked_at, before, after, strict=True) if new and not old]
    losing = [m for m, old, new in zip(looked_at, before, after, strict=True) if old and not new]
    more = len(found) > _LOOKED_AT or max(len(gaining), len(losing)) > _NAMED
    return GrantChange(tuple(gaining[:_NAMED]), tuple(losing[:_NAMED]), more)


def _can(member: SpaceUser, permission: str) -> bool:
    return may(Actor(member.user), permission, space=member.space)


@contextmanager
def _undone() -> Iterator[None]:
    """What is done inside has never been."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def _plain(model: type[models.Model]) -> "models.QuerySet[models.Model]":
    """The rows, past the audit: a preview changes nothing."""
    return models.QuerySet(model)
