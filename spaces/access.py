"""The one answer to "may this actor do this here?", asked by every door.

Permission is data: a row of `SpacePermission` a deed, a column a role. What an actor may not even
view does not exist for them.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import connection
from django.db.models import Q
from django.utils.translation import gettext as _

from accounts.actors import Actor
from accounts.refusals import Forbidden, NotFound
from enterprises.access import OPERATOR, enterprises_allowing, now, ruled
from enterprises.models import EnterprisePermission
from enterprises.permissions import DEFAULTS as ENTERPRISE_DEFAULTS
from spaces.models import (
    Space,
    SpaceKey,
    SpacePermission,
    SpaceQuerySet,
    SpaceRole,
    SpaceUser,
)
from spaces.permissions import DEFAULTS

#: When a member may do a deed by their role. As it stands because every request asks it, and building it of
#: querysets took longer than anything else in a request. Each question below asks it for other columns.
_RULE = f"""
    FROM agent_space_user member
    JOIN agent_space room ON room.id = member.space_id
    LEFT JOIN agent_enterprise house ON house.id = room.enterprise_id
    CROSS JOIN agent_space_permission deed
    WHERE (deed.owner AND member.role = {SpaceRole.OWNER:d}
        OR deed.admin AND member.role = {SpaceRole.ADMIN:d}
        OR deed.member AND member.role = {SpaceRole.MEMBER:d})
    AND (deed.available_expired OR house.expire_time IS NULL OR house.expire_time > %s)
"""
_SPACES = f"SELECT member.space_id {_RULE} AND deed.permission_key = %s AND member.uid = %s"
_PERMISSIONS = (
    f"SELECT deed.permission_key {_RULE} AND member.space_id = %s AND member.uid = %s "
    "AND NOT room.deleted AND (house.id IS NULL OR NOT house.deleted)"
)
_MEMBERS = f"SELECT member.id {_RULE} AND deed.permission_key = %s"


def spaces_allowing(
    actor: Actor, permission: str, *, among: SpaceQuerySet | None = None
) -> SpaceQuerySet:
    """The living spaces, or those `among` others, in which `actor` may do `permission`.

    Never raises for a refusal: it is empty.
    """
    if permission not in DEFAULTS:
        raise LookupError(f"{permission!r} is not a permission of a space.")
    spaces = Space.objects.alive() if among is None else among
    if not actor.user.is_active or not actor.in_scope(permission):
        return spaces.none()
    if actor.is_operator:
        return spaces
    allowed = spaces.filter(pk__in=ruled(_SPACES, permission, actor.user.uid))
    if actor.key is not None and actor.is_bound:
        return allowed.alive().filter(pk__in=SpaceKey.objects.opening(actor.key))
    return allowed


def permissions_in(actor: Actor, space: Space) -> frozenset[str]:
    """All that `actor` may do in a living space: what `may` would answer to each permission, asked at once."""
    if not actor.user.is_active:
        return frozenset()
    if actor.is_operator:
        return frozenset(DEFAULTS)
    if not reaches(actor, space):
        return frozenset()
    with connection.cursor() as cursor:
        cursor.execute(_PERMISSIONS, [now(), space.pk, actor.user.uid])
        granted = [key for (key,) in cursor.fetchall()]
    return frozenset(key for key in granted if key in DEFAULTS and actor.in_scope(key))


def members_allowed(permission: str, members: Iterable[SpaceUser]) -> set[int]:
    """The keys of those `members` who may do it there, asked at once; see `may`."""
    there = SpaceUser.objects.filter(
        pk__in=[each.pk for each in members], user__is_active=True, space__in=Space.objects.alive()
    )
    able = Q(user__is_superuser=True) | Q(pk__in=ruled(_MEMBERS, permission))
    return set(there.filter(able).values_list("pk", flat=True))


def reaches(actor: Actor, space: Space) -> bool:
    """Whether the credential opens this space: all do but the keys of other spaces."""
    if actor.key is None or not actor.is_bound:
        return True
    return SpaceKey.objects.filter(key=actor.key, space=space).exists()


def may(actor: Actor, permission: str, *, space: Space) -> bool:
    """Whether `actor` may do it in this space, if it lives: what `spaces_allowing` says of it, asked in a shorter way."""
    if actor.is_operator or permission not in DEFAULTS:
        return spaces_allowing(actor, permission).filter(pk=space.pk).exists()
    return permission in permissions_in(actor, space)


def require(actor: Actor, permission: str, *, space: Space) -> None:
    """Return if allowed; else NotFound where the space does not exist for `actor`, Forbidden where it does."""
    if may(actor, permission, space=space):
        return
    if not known_spaces(actor).filter(pk=space.pk).exists():
        raise NotFound(_("Not found."))
    if space.enterprise is not None and space.enterprise.expired:
        raise Forbidden(
            _("The enterprise %(name)s has expired: it is read-only until it is renewed.")
            % {"name": space.enterprise.name},
            code="enterprise_expired",
        )
    raise Forbidden(
        _("Your role in the space %(space)s does not allow this (%(permission)s).")
        % {"space": space.name, "permission": permission},
        code="forbidden",
        details={"permission": permission},
    )


def known_spaces(actor: Actor) -> SpaceQuerySet:
    """The spaces that exist for `actor`: those that they may view, and all of an enterprise that lists them.

    What is in a space is another question: see `spaces_allowing`.
    """
    listed = enterprises_allowing(actor, "space.list_all")
    viewed = spaces_allowing(actor, "space.view")
    return Space.objects.alive().filter(
        Q(pk__in=viewed.values("pk")) | Q(enterprise__in=listed.values("pk"))
    )


def rank_of(actor: Actor, space: Space) -> int:
    """How high `actor` stands: the number of their role, the lower the higher. Operators stand above all."""
    if actor.is_operator:
        return OPERATOR
    role = SpaceUser.objects.filter(space=space, user=actor.user)
    return role.values_list("role", flat=True).first() or SpaceRole.MEMBER


_TABLES: tuple[tuple[type[Any], Mapping[str, Any]], ...] = (
    (EnterprisePermission, ENTERPRISE_DEFAULTS),
    (SpacePermission, DEFAULTS),
)


def missing_permissions() -> list[str]:
    """What the code asks about and the tables have no row for, as `table: permission`.

    Without its row a deed is refused to everybody but operators.
    """
    return [
        f"{table._meta.db_table}: {key}"
        for table, defaults in _TABLES
        for key in sorted(defaults.keys() - _keys(table))
    ]


def unknown_permissions() -> list[str]:
    """The rows that the code never asks about: who edits one waits in vain for its effect."""
    return [
        f"{table._meta.db_table}: {key}"
        for table, defaults in _TABLES
        for key in sorted(_keys(table) - defaults.keys())
    ]


def _keys(table: type[Any]) -> set[str]:
    return set(table.objects.values_list("permission_key", flat=True))
