"""Roles in enterprises that come from the groups of the identity provider: RPA_OIDC_GROUPS.

For the enterprises that the setting names, the provider says who belongs to them, each time somebody signs in.
The officer is never touched: an enterprise keeps its own.
"""

from collections import defaultdict
from typing import Any

from django.conf import settings

from accounts.actors import Actor
from accounts.models import User
from accounts.refusals import NotFound
from audit.recording import deed, refused
from audit.scenes import who_is
from enterprises import services as enterprises
from enterprises.models import Enterprise, EnterpriseRole
from joining.seats import TooManyUsers, require_seat


def apply_groups(user: User, groups: frozenset[str], **_of_signal: Any) -> None:
    """Give, change and end the user's memberships as their groups say. What cannot be done is told in the audit."""
    wanted: dict[int, list[int]] = defaultdict(list)
    for group, enterprise_id, mapped in settings.RPA_OIDC_GROUPS:
        wanted[enterprise_id] += [mapped] if group in groups else []
    for enterprise in Enterprise.objects.alive().filter(pk__in=list(wanted)):
        roles = wanted[enterprise.pk]
        role = EnterpriseRole(min(roles)) if roles else None
        if _is_so(enterprise, user, role):
            continue
        try:
            with deed("enterprise.groups", enterprise, by=Actor(user), user=user.uid):
                _apply(enterprises.locked(enterprise), user, role)
        except TooManyUsers as error:
            about = {"code": error.code, "reason": str(error)}
            refused(about, action="enterprise.groups", who=who_is(user))
        except NotFound:
            continue  # it has just been deleted


def _is_so(enterprise: Enterprise, user: User, role: EnterpriseRole | None) -> bool:
    held = enterprise.members.filter(user=user).values_list("role", flat=True).first()
    return held == role or held == EnterpriseRole.OFFICER


def _apply(enterprise: Enterprise, user: User, role: EnterpriseRole | None) -> None:
    """With the enterprise locked."""
    member = enterprise.members.filter(user=user).first()
    if member is not None and member.role == EnterpriseRole.OFFICER:
        return
    if role is None:
        if member is not None:
            enterprises.end_membership(member, enterprise)
    elif member is None:
        require_seat(enterprise)
        enterprise.members.create(user=user, role=role)
    else:
        member.role = role
        member.save(update_fields=["role", "update_time"])
