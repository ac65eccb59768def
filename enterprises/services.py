"""What may be done with enterprises and their members.

Every deed that changes who belongs to an enterprise, or to a space of it, first locks the enterprise's row: what
it then reads of members and limits stays true until it is done.
"""

from datetime import datetime

from django.db import IntegrityError
from django.dispatch import Signal
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.actors import Actor
from accounts.models import User
from accounts.refusals import Forbidden, NotFound, Refused
from accounts.validation import invalid, picture_address, tidy_name
from audit.recording import audited, recording
from enterprises.access import enterprises_allowing, rank_of, require_in_enterprise
from enterprises.models import (
    Enterprise,
    EnterpriseQuerySet,
    EnterpriseRole,
    EnterpriseUser,
    ServiceType,
)

#: Sent with `enterprise`, `user` and `heir` (the officer) in the transaction that ends the membership of `user`.
member_gone = Signal()
#: Sent with `enterprise` in the transaction that makes it one of another type.
enterprise_retyped = Signal()
#: Sent with `enterprise` in the transaction that hides it.
enterprise_deleted = Signal()


class NameTaken(Refused):
    code = "name_taken"


class LastOfficer(Refused):
    """An enterprise always has its officer: the office is handed over first."""

    code = "last_officer"


class BeingPurged(Refused):
    """Of what was deleted, a part is gone already: the rest follows."""

    code = "being_purged"


class NotAMember(NotFound):
    code = "not_a_member"


@audited("enterprise.create")
def create_enterprise(
    *,
    name: str,
    by: Actor,
    service_type: ServiceType = ServiceType.TEAM,
    logo_url: str = "",
    avatar_url: str = "",
    officer: User | None = None,
) -> Enterprise:
    """An enterprise whose officer is its creator; an operator may make it for somebody else.

    Its name is unique among the living ones.
    """
    by.require_scope("enterprise.create")
    officer = for_whom(officer, by)
    enterprise = Enterprise(
        name=tidy_name(name),
        creator=officer,
        service_type=service_type,
        logo_url=picture_address("logo_url", logo_url),
        avatar_url=picture_address("avatar_url", avatar_url),
    )
    try:
        with recording():
            enterprise.save()
            enterprise.members.create(user=officer, role=EnterpriseRole.OFFICER)
    except IntegrityError:
        raise _name_taken(enterprise) from None
    return enterprise


def for_whom(user: User | None, by: Actor) -> User:
    """Who gets what `by` makes: they, or whom an operator has chosen."""
    if user is None or user == by.user:
        return by.user
    by.require_operator()
    if not user.is_active:
        raise invalid("user", _("%(user)s is deactivated.") % {"user": user})
    return user


@audited("enterprise.terms")
def set_terms(
    enterprise: Enterprise,
    *,
    by: Actor,
    service_type: ServiceType,
    expire_time: datetime | None,
    org_id: int | None,
) -> None:
    """What an enterprise has been promised, for operators to say. Its spaces are of its type, now and later."""
    by.require_operator()
    enterprise_now = locked(enterprise)
    retyped = enterprise_now.service_type != service_type
    Enterprise.objects.filter(pk=enterprise.pk).update(
        service_type=service_type,
        expire_time=expire_time,
        org_id=org_id,
        update_time=timezone.now(),
    )
    enterprise.refresh_from_db()
    if retyped:
        enterprise_retyped.send(Enterprise, enterprise=enterprise)


@audited("enterprise.change")
def change_enterprise(
    enterprise: Enterprise,
    *,
    by: Actor,
    name: str | None = None,
    logo_url: str | None = None,
    avatar_url: str | None = None,
) -> Enterprise:
    """Change what is given, each by its own permission; None leaves as it is."""
    changed = ["update_time"]
    if name is not None:
        require_in_enterprise(by, "enterprise.rename", enterprise=enterprise)
        enterprise.name = tidy_name(name)
        changed.append("name")
    if logo_url is not None:
        require_in_enterprise(by, "enterprise.set_logo", enterprise=enterprise)
        enterprise.logo_url = picture_address("logo_url", logo_url)
        changed.append("logo_url")
    if avatar_url is not None:
        require_in_enterprise(by, "enterprise.set_avatar", enterprise=enterprise)
        enterprise.avatar_url = picture_address("avatar_url", avatar_url)
        changed.append("avatar_url")
    if len(changed) == 1:
        require_in_enterprise(by, "enterprise.view", enterprise=enterprise)
        return enterprise
    try:
        with recording():
            enterprise.save(update_fields=changed)
    except IntegrityError:
        raise _name_taken(enterprise) from None
    return enterprise


def visit_enterprise(enterprise: Enterprise, *, by: Actor) -> None:
    """Remember when `by` last worked in it. An operator who is no member leaves no trace."""
    require_in_enterprise(by, "enterprise.view", enterprise=enterprise)
    visited = EnterpriseUser.objects.filter(enterprise=enterprise, user=by.user)
    visited.update(last_visit_time=timezone.now())


def locked(enterprise: Enterprise) -> Enterprise:
    """The enterprise as it is now, its row locked until the transaction ends. NotFound once it is deleted."""
    found = Enterprise.objects.alive().select_for_update().filter(pk=enterprise.pk).first()
    if found is None:
        raise NotFound(_("Not found."))
    return found


@audited("enterprise.member_role")
def change_member_role(
    enterprise: Enterprise, uid: str, role: EnterpriseRole, *, by: Actor
) -> EnterpriseUser:
    """Make a governor a member of staff, or the other way round. The office is handed over instead."""
    enterprise = locked(enterprise)
    require_in_enterprise(by, "member.change_role", enterprise=enterprise)
    if role == EnterpriseRole.OFFICER:
        raise invalid("role", _("There is one officer: hand the office over instead."))
    member = _member(enterprise, uid)
    rank = _require_above(by, member)
    if role < rank:
        raise Forbidden(_("Nobody grants a role above their own."), code="role_too_high")
    member.role = role
    member.save(update_fields=["role", "update_time"])
    return member


@audited("enterprise.member_remove")
def remove_member(enterprise: Enterprise, uid: str, *, by: Actor) -> None:
    """End a membership, and those in the enterprise's spaces. The spaces that they owned go to the officer."""
    enterprise = locked(enterprise)
    require_in_enterprise(by, "member.remove", enterprise=enterprise)
    member = _member(enterprise, uid)
    _require_above(by, member)
    end_membership(member, enterprise)


@audited("enterprise.leave")
def leave_enterprise(enterprise: Enterprise, *, by: Actor) -> None:
    """As `remove_member`, by the member."""
    enterprise = locked(enterprise)
    require_in_enterprise(by, "enterprise.leave", enterprise=enterprise)
    member = _member(enterprise, by.user.uid)
    if member.role == EnterpriseRole.OFFICER:
        raise _last_officer()
    end_membership(member, enterprise)


@audited("enterprise.transfer")
def transfer_enterprise(enterprise: Enterprise, uid: str, *, by: Actor) -> None:
    """Make another member the officer. The officer of before becomes a governor."""
    enterprise = locked(enterprise)
    require_in_enterprise(by, "enterprise.transfer", enterprise=enterprise)
    heir = _member(enterprise, uid)
    if not heir.user.is_active:
        raise invalid("user", _("%(user)s is deactivated.") % {"user": heir.user})
    if heir.role == EnterpriseRole.OFFICER:
        raise invalid("user", _("They are the officer already."))
    now = timezone.now()
    officers = enterprise.members.filter(role=EnterpriseRole.OFFICER)
    officers.update(role=EnterpriseRole.GOVERNOR, update_time=now)
    EnterpriseUser.objects.filter(pk=heir.pk).update(role=EnterpriseRole.OFFICER, update_time=now)


@audited("enterprise.delete")
def delete_enterprise(enterprise: Enterprise, *, by: Actor) -> None:
    """Hide the enterprise and all that is in it, and cancel the runs that wait there; nothing is destroyed."""
    enterprise = locked(enterprise)
    require_in_enterprise(by, "enterprise.delete", enterprise=enterprise)
    hide_enterprise(enterprise)


@audited("enterprise.delete")
def hide_enterprise(enterprise: Enterprise) -> None:
    """As `delete_enterprise`, for the admin, which says who may."""
    living = Enterprise.objects.alive().filter(pk=enterprise.pk)
    if not living.update(deleted=True, update_time=timezone.now()):
        raise NotFound(_("Not found."))
    enterprise_deleted.send(Enterprise, enterprise=enterprise)


def restorable_enterprises(by: Actor) -> EnterpriseQuerySet:
    """The deleted enterprises that `by` may show again: no longer once their purge has begun."""
    return enterprises_allowing(by, "enterprise.delete", among=Enterprise.objects.restorable())


@audited("enterprise.restore")
def restore_enterprise(enterprise: Enterprise, *, by: Actor) -> Enterprise:
    """Show a deleted enterprise again with all that was in it; NameTaken if another has got its name."""
    if not restorable_enterprises(by).filter(pk=enterprise.pk).exists():
        raise NotFound(_("Not found."))
    return unhide_enterprise(enterprise)


@audited("enterprise.restore")
def unhide_enterprise(enterprise: Enterprise) -> Enterprise:
    """As `restore_enterprise`, for the admin, which says who may."""
    try:
        with recording():
            hidden = Enterprise.objects.restorable().filter(pk=enterprise.pk)
            if not hidden.update(deleted=False, update_time=timezone.now()):
                raise BeingPurged(_("%(name)s is being removed for ever.") % {"name": enterprise})
    except IntegrityError:
        raise _name_taken(enterprise) from None
    enterprise.deleted = False
    return enterprise


def officer_of(enterprise: Enterprise) -> User | None:
    """None where somebody has emptied the tables by hand."""
    officers = enterprise.members.filter(role=EnterpriseRole.OFFICER).select_related("user")
    officer = officers.first()
    return officer.user if officer else None


def end_membership(member: EnterpriseUser, enterprise: Enterprise) -> None:
    """Of who is not the officer, in an enterprise that is locked. Their spaces go to the officer."""
    heir = officer_of(enterprise)
    user = member.user
    member.delete()
    member_gone.send(Enterprise, enterprise=enterprise, user=user, heir=heir)


def _member(enterprise: Enterprise, uid: str) -> EnterpriseUser:
    member = enterprise.members.select_related("user").filter(user__uid=uid).first()
    if member is None:
        raise NotAMember(_("That user is no member of %(name)s.") % {"name": enterprise.name})
    return member


def _require_above(by: Actor, member: EnterpriseUser) -> int:
    """The rank of `by`, who may touch the member; else Forbidden, or LastOfficer where nobody may."""
    rank = rank_of(by, member.enterprise)
    if rank > member.role:
        raise Forbidden(
            _("Your role is below that of %(user)s.") % {"user": member.user}, code="role_too_low"
        )
    if member.role == EnterpriseRole.OFFICER:
        raise _last_officer()
    return rank


def _last_officer() -> LastOfficer:
    return LastOfficer(_("An enterprise has always one officer. Hand the office over first."))


def _name_taken(enterprise: Enterprise) -> NameTaken:
    return NameTaken(
        _("There is an enterprise named %(name)s already.") % {"name": enterprise.name}
    )
