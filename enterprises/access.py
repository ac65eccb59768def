"""The one answer to "may this actor do this in this enterprise?", asked by every door.

As `spaces/access.py` for spaces: a row of `EnterprisePermission` a deed, a column a role.
"""

from collections.abc import Iterable
from typing import Any

from django.db import connection
from django.db.models import Q
from django.db.models.expressions import RawSQL
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.actors import Actor
from accounts.refusals import Forbidden, NotFound
from enterprises.models import (
    Enterprise,
    EnterpriseQuerySet,
    EnterpriseRole,
    EnterpriseUser,
)
from enterprises.permissions import DEFAULTS

#: When a member may do a deed by their role. Each question below asks it for other columns.
_RULE = f"""
    FROM agent_enterprise_user member
    JOIN agent_enterprise house ON house.id = member.enterprise_id
    CROSS JOIN agent_enterprise_permission deed
    WHERE (deed.officer AND member.role = {EnterpriseRole.OFFICER:d}
        OR deed.governor AND member.role = {EnterpriseRole.GOVERNOR:d}
        OR deed.staff AND member.role = {EnterpriseRole.STAFF:d})
    AND (deed.available_expired OR house.expire_time IS NULL OR house.expire_time > %s)
"""
_ENTERPRISES = (
    f"SELECT member.enterprise_id {_RULE} AND deed.permission_key = %s AND member.uid = %s"
)
_PERMISSIONS = (
    f"SELECT deed.permission_key {_RULE} AND member.enterprise_id = %s AND member.uid = %s "
    "AND NOT house.deleted"
)
_MEMBERS = f"SELECT member.id {_RULE} AND deed.permission_key = %s"
#: The rank of operators: above every role.
OPERATOR = 0


def enterprises_allowing(
    actor: Actor, permission: str, *, among: EnterpriseQuerySet | None = None
) -> EnterpriseQuerySet:
    """The living enterprises, or those `among` others, in which `actor` may do `permission`.

    Never raises for a refusal: it is empty.
    """
    if permission not in DEFAULTS:
        raise LookupError(f"{permission!r} is not a permission of an enterprise.")
    enterprises = Enterprise.objects.alive() if among is None else among
    # The key of a space opens that space, and not the enterprise around it.
    if not actor.user.is_active or actor.is_bound or not actor.in_scope(permission):
        return enterprises.none()
    if actor.is_operator:
        return enterprises
    return enterprises.filter(pk__in=ruled(_ENTERPRISES, permission, actor.user.uid))


def permissions_in_enterprise(actor: Actor, enterprise: Enterprise) -> frozenset[str]:
    """All that `actor` may do in a living enterprise: what each question would answer, asked at once."""
    if not actor.user.is_active or actor.is_bound:
        return frozenset()
    if actor.is_operator:
        return frozenset(DEFAULTS)
    with connection.cursor() as cursor:
        cursor.execute(_PERMISSIONS, [now(), enterprise.pk, actor.user.uid])
        granted = [key for (key,) in cursor.fetchall()]
    return frozenset(key for key in granted if key in DEFAULTS and actor.in_scope(key))


def enterprise_members_allowed(permission: str, members: Iterable[EnterpriseUser]) -> set[int]:
    """The keys of those `members` who may do it there, asked at once; see `may_in_enterprise`."""
    there = EnterpriseUser.objects.filter(
        pk__in=[each.pk for each in members],
        user__is_active=True,
        enterprise__in=Enterprise.objects.alive(),
    )
    able = Q(user__is_superuser=True) | Q(pk__in=ruled(_MEMBERS, permission))
    return set(there.filter(able).values_list("pk", flat=True))


def ruled(question: str, *of: Any) -> RawSQL:
    """What `question` finds, which asks for the time first and for `of` then."""
    return RawSQL(question, [now(), *of])  # noqa: S611 - questions are constants


def now() -> Any:
    """The time, as a statement of one's own takes it."""
    return connection.ops.adapt_datetimefield_value(timezone.now())


def may_in_enterprise(actor: Actor, permission: str, *, enterprise: Enterprise) -> bool:
    return enterprises_allowing(actor, permission).filter(pk=enterprise.pk).exists()


def require_in_enterprise(
    actor: Actor, permission: str, *, enterprise: Enterprise, seen: bool = False
) -> None:
    """Return if allowed; else NotFound where `actor` may not view the enterprise, Forbidden where they may.

    `seen`: what the deed is about is known to them anyway, such as a space that they are in.
    """
    if may_in_enterprise(actor, permission, enterprise=enterprise):
        return
    if not seen and not may_in_enterprise(actor, "enterprise.view", enterprise=enterprise):
        raise NotFound(_("Not found."))
    if enterprise.expired:
        raise Forbidden(
            _("The enterprise %(name)s has expired: it is read-only until it is renewed.")
            % {"name": enterprise.name},
            code="enterprise_expired",
        )
    raise Forbidden(
        _("Your role in the enterprise %(enterprise)s does not allow this (%(permission)s).")
        % {"enterprise": enterprise.name, "permission": permission},
        details={"permission": permission},
    )


def rank_of(actor: Actor, enterprise: Enterprise) -> int:
    """How high `actor` stands: the number of their role, the lower the higher. Operators stand above all."""
    if actor.is_operator:
        return OPERATOR
    role = EnterpriseUser.objects.filter(enterprise=enterprise, user=actor.user)
    return role.values_list("role", flat=True).first() or EnterpriseRole.STAFF
