"""Why somebody may do something in a space or not; and what a change would change, before it is made.

As enterprises/explanation.py; the conclusion is that of `access.may`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.actors import Actor
from accounts.models import User
from enterprises.explanation import (
    Explanation,
    Fact,
    GrantChange,
    of_the_bounds,
    of_the_person,
    of_the_role,
    of_the_time,
    opens,
    plain,
    previewed,
    speaks_against,
    speaks_for,
    undone,
)
from spaces.access import may, members_allowed, permissions_in, reaches
from spaces.models import Space, SpacePermission, SpaceRole, SpaceUser
from spaces.permissions import DEFAULTS

COLUMNS = {SpaceRole.OWNER: "owner", SpaceRole.ADMIN: "admin", SpaceRole.MEMBER: "member"}


def explain(actor: Actor, permission: str, *, space: Space) -> Explanation:
    """Why `actor` may do `permission` in `space`, or why not. A key that opens no door allows nothing."""
    if permission not in DEFAULTS:
        raise LookupError(f"{permission!r} is not a permission of a space.")
    row = SpacePermission.objects.filter(permission_key=permission).first()
    member = SpaceUser.objects.filter(space=space, user=actor.user).first()
    facts = (
        *of_the_person(actor, permission),
        of_the_bounds(actor, inside=reaches(actor, space)),
        _of_the_space(space),
        *of_the_role(actor, permission, row, member, COLUMNS, _("the space")),
        of_the_time(row, space.enterprise),
    )
    return Explanation(opens(actor) and may(actor, permission, space=space), facts)


def _of_the_space(space: Space) -> Fact:
    if space.deleted:
        return speaks_against("place", _("The space %(space)s is deleted.") % {"space": space})
    house = space.enterprise
    if house is not None and house.deleted:
        text = _("The enterprise %(name)s, which owns the space, is deleted.")
        return speaks_against("place", text % {"name": house})
    return speaks_for("place", _("The space %(space)s is there.") % {"space": space})


@dataclass(frozen=True)
class RoleChange:
    """What somebody could do then and cannot now, and the other way round."""

    gained: tuple[str, ...]
    lost: tuple[str, ...]


def preview_role(user: User, space: Space, role: int | None) -> RoleChange:
    """What `user` would gain and lose in `space` in that role; None is to be no member any more."""
    actor = Actor(user)
    with undone():
        before = permissions_in(actor, space)
        memberships = plain(SpaceUser).filter(space=space, user=user)
        if role is None:
            memberships._raw_delete("default")
        elif not memberships.update(role=role):
            now = timezone.now()
            new = SpaceUser(space=space, user=user, role=role, create_time=now, update_time=now)
            plain(SpaceUser).bulk_create([new])
        after = permissions_in(actor, space)
    return RoleChange(tuple(sorted(after - before)), tuple(sorted(before - after)))


def preview_grant(permission: str, columns: Mapping[str, bool]) -> GrantChange:
    """Who could do `permission`, and who no longer, if its row had these `columns`. At most a few are named."""
    row = SpacePermission.objects.get(permission_key=permission)
    turned = {name for name, value in columns.items() if getattr(row, name) != value}
    concerned = Q(role__in=[role for role, column in COLUMNS.items() if column in turned])
    if "available_expired" in turned:
        concerned |= Q(space__enterprise__expire_time__lte=timezone.now())
    members = SpaceUser.objects.filter(concerned).select_related("user", "space__enterprise")
    return previewed(row, columns, members, members_allowed)
