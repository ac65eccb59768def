"""The ways to become a member: added by who may, invited, or having applied.

All of them lock first the enterprise's row and then the space's (see spaces.services), so that the limit of users
holds and nobody is added to what they have just been removed from.
"""

from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.actors import Actor
from accounts.models import User
from accounts.refusals import Forbidden, NotFound, Refused
from accounts.validation import invalid
from audit.recording import audited, deed
from enterprises import services as enterprises
from enterprises.access import rank_of as rank_in_enterprise
from enterprises.access import require_in_enterprise
from enterprises.models import Enterprise, EnterpriseRole, EnterpriseUser
from joining.models import (
    INVITE_LIFE,
    Application,
    ApplicationStatus,
    Invite,
    InviteRole,
    InviteStatus,
    InviteType,
)
from joining.seats import require_seat
from spaces import services as spaces
from spaces.access import may, rank_of, require
from spaces.models import Space, SpaceRole, SpaceUser

#: See enterprises.permissions.
OWN_DEEDS = ("invite.answer",)


class AlreadyMember(Refused):
    code = "already_member"


class AlreadyInvited(Refused):
    code = "already_invited"


class AlreadyApplied(Refused):
    code = "already_applied"


class NoSuchUser(NotFound):
    code = "no_such_user"


class NoColleague(Refused):
    """Not, or no longer, a member of the enterprise."""

    code = "not_in_enterprise"


class InviteClosed(Refused):
    """It has been answered, withdrawn, or its time is over: all of that is final."""

    code = "invite_closed"


class ApplicationClosed(Refused):
    code = "application_closed"


def require_at(by: Actor, permission: str, place: Space | Enterprise) -> None:
    """The question for a permission that both tables have."""
    if isinstance(place, Space):
        require(by, permission, space=place)
    else:
        require_in_enterprise(by, permission, enterprise=place)


def _locked(place: Space | Enterprise) -> Space | Enterprise:
    return spaces.locked(place) if isinstance(place, Space) else enterprises.locked(place)


def user_of(uid: str) -> User:
    """The active user with that uid; NoSuchUser where there is none."""
    user = User.objects.filter(uid=uid, is_active=True).first()
    if user is None or user.uid != uid:
        raise NoSuchUser(_("There is no such user."))
    return user


# Added by who may --------------------------------------------------------------------------------


@audited("space.member_add")
def add_member(space: Space, uid: str, role: SpaceRole, *, by: Actor) -> SpaceUser:
    """Make a member of the enterprise a member of its space, without asking them."""
    space = spaces.locked(space)
    require(by, "member.add", space=space)
    _check_role(role, rank_of(by, space))
    if space.enterprise is None:
        raise invalid("user", _("A personal space has no colleagues to add: invite instead."))
    user = user_of(uid)
    if not _is_member(space.enterprise, user):
        raise _no_colleague(user, space.enterprise)
    if _is_member(space, user):
        raise _already_member(user, space)
    _withdraw_open(space, user)
    require_seat(space)
    return space.members.create(user=user, role=role)


@audited("enterprise.member_add")
def enrol_colleague(
    enterprise: Enterprise, uid: str, role: EnterpriseRole, *, by: Actor
) -> EnterpriseUser:
    """Make somebody a member of an enterprise without asking them: for operators, as of a list that they were given."""
    by.require_operator()
    enterprise = enterprises.locked(enterprise)
    _check_role(role, rank_in_enterprise(by, enterprise))
    user = user_of(uid)
    if _is_member(enterprise, user):
        raise _already_member(user, enterprise)
    _withdraw_open(enterprise, user)
    require_seat(enterprise)
    return enterprise.members.create(user=user, role=role)


# Invites -----------------------------------------------------------------------------------------


@audited("invite.create")
def invite_user(place: Space | Enterprise, uid: str, role: InviteRole, *, by: Actor) -> Invite:
    """Ask one user to join, for seven days. The invite takes a seat as long as it is open."""
    place = _locked(place)
    require_at(by, "invite.create", place)
    if isinstance(place, Space):
        to: dict[str, Any] = {"type": InviteType.SPACE, "space": place}
        to["enterprise"], rank = place.enterprise, rank_of(by, place)
    else:
        to = {"type": InviteType.ENTERPRISE, "enterprise": place}
        rank = rank_in_enterprise(by, place)
    _check_role(role, rank)
    user = user_of(uid)
    if _is_member(place, user):
        raise _already_member(user, place)
    invites = Invite.objects.to(place).filter(invitee=user)
    if invites.open().exists():
        raise AlreadyInvited(
            _("%(user)s has an open invite to %(name)s already.")
            % {"user": user, "name": place.name}
        )
    now = timezone.now()
    invites.stale().update(status=InviteStatus.EXPIRED, update_time=now)
    require_seat(place)
    return Invite.objects.create(
        **to,
        invitee=user,
        invitee_nickname=nickname_of(user),
        inviter=by.user,
        role=role,
        expire_time=now + INVITE_LIFE,
    )


@audited("invite.accept")
def accept_invite(invite: Invite, *, by: Actor) -> Invite:
    """Join. Who joins a space of an enterprise becomes staff of the enterprise, if they are not in it yet."""
    _require_invitee(invite, by)
    place = _locked(place_of(invite))
    enterprise = place.enterprise if isinstance(place, Space) else place
    if enterprise is not None and enterprise.expired:
        raise Forbidden(
            _("The enterprise %(name)s has expired: it is read-only until it is renewed.")
            % {"name": enterprise.name},
            code="enterprise_expired",
        )
    _close(invite, InviteStatus.JOINED)
    if isinstance(place, Space):
        if enterprise is not None and not _is_member(enterprise, by.user):
            _withdraw_open(enterprise, by.user)
            require_seat(enterprise)
            enterprise.members.create(user=by.user, role=EnterpriseRole.STAFF)
        if not _is_member(place, by.user):
            place.members.create(user=by.user, role=SpaceRole(invite.role))
    elif not _is_member(place, by.user):
        place.members.create(user=by.user, role=EnterpriseRole(invite.role))
    return invite


@audited("invite.refuse")
def refuse_invite(invite: Invite, *, by: Actor) -> Invite:
    _require_invitee(invite, by)
    _locked(place_of(invite))
    return _close(invite, InviteStatus.REFUSED)


@audited("invite.withdraw")
def withdraw_invite(invite: Invite, *, by: Actor) -> Invite:
    """Take it back, by who may do so in the place that it is to."""
    place = _locked(place_of(invite))
    require_at(by, "invite.withdraw", place)
    return _close(invite, InviteStatus.WITHDRAWN)


def expire_invites(most: int) -> int:
    """Let the rows of so many invites say that their time is over, and return how many did.

    They are over without it. It is for others who read the table: the reference system goes by the status alone.
    """
    over = list(Invite.objects.stale().order_by("expire_time").values_list("pk", flat=True)[:most])
    if not over:
        return 0
    with deed("invite.expire"):
        stale = Invite.objects.stale().filter(pk__in=over)
        return stale.update(status=InviteStatus.EXPIRED, update_time=timezone.now())


def place_of(invite: Invite) -> Space | Enterprise:
    place = invite.space if invite.type == InviteType.SPACE else invite.enterprise
    if place is None:
        raise NotFound(_("Not found."))
    return place


def _require_invitee(invite: Invite, by: Actor) -> None:
    """An invite is for one user alone, operators not excepted."""
    if invite.invitee_id != by.user.uid:
        raise NotFound(_("Not found."))
    by.require_scope("invite.answer")


def _close(invite: Invite, status: InviteStatus) -> Invite:
    """Move an open invite to where it is final, or raise InviteClosed if it is there already."""
    moved = Invite.objects.open().filter(pk=invite.pk)
    closed = moved.update(status=status, update_time=timezone.now())
    invite.refresh_from_db(fields=["status", "expire_time", "update_time"])
    if not closed:
        raise InviteClosed(
            _("This invite is no longer open: %(state)s.") % {"state": invite.state.label},
            details={"state": int(invite.state)},
        )
    return invite


def _withdraw_open(place: Space | Enterprise, user: User) -> None:
    """Who comes in by another door needs no invite any more."""
    waiting = Invite.objects.to(place).open().filter(invitee=user)
    waiting.update(status=InviteStatus.WITHDRAWN, update_time=timezone.now())


# Applications ------------------------------------------------------------------------------------


@audited("application.create")
def apply_to_join(space: Space, *, by: Actor) -> Application:
    """Ask to join a space of one's enterprise. Its officer joins at once, as admin."""
    space = spaces.locked(space)
    enterprise = space.enterprise
    if enterprise is None:
        raise NotFound(_("Not found."))
    seen = may(by, "space.view", space=space)
    require_in_enterprise(by, "apply.create", enterprise=enterprise, seen=seen)
    user = by.user
    role = EnterpriseUser.objects.filter(enterprise=enterprise, user=user)
    own_role = role.values_list("role", flat=True).first()
    if own_role is None:
        raise _no_colleague(user, enterprise)
    if _is_member(space, user):
        raise _already_member(user, space)
    applications = Application.objects.filter(space=space, applicant=user)
    if applications.filter(status=ApplicationStatus.PENDING).exists():
        raise AlreadyApplied(_("You have applied already."))
    application = Application(
        enterprise=enterprise, space=space, applicant=user, apply_nickname=nickname_of(user)
    )
    if own_role == EnterpriseRole.OFFICER:
        _withdraw_open(space, user)
        require_seat(space)
        space.members.create(user=user, role=SpaceRole.ADMIN)
        _decided(application, ApplicationStatus.APPROVED, by, timezone.now())
    application.save()
    return application


@audited("application.approve")
def approve_application(application: Application, *, by: Actor) -> Application:
    """Make the applicant a member, as long as they still belong to the enterprise."""
    space = spaces.locked(application.space)
    require(by, "apply.approve", space=space)
    _decide(application, ApplicationStatus.APPROVED, by)
    user = application.applicant
    if not user.is_active or not _is_member(application.enterprise, user):
        raise _no_colleague(user, application.enterprise)
    if not _is_member(space, user):
        _withdraw_open(space, user)
        require_seat(space)
        space.members.create(user=user, role=SpaceRole.MEMBER)
    return application


@audited("application.reject")
def reject_application(application: Application, *, by: Actor) -> Application:
    space = spaces.locked(application.space)
    require(by, "apply.reject", space=space)
    return _decide(application, ApplicationStatus.REJECTED, by)


def _decide(application: Application, status: ApplicationStatus, by: Actor) -> Application:
    """Move it on from pending, or raise ApplicationClosed if somebody was first. Its space is locked."""
    application.refresh_from_db()
    if application.status != ApplicationStatus.PENDING:
        raise ApplicationClosed(
            _("This application has been decided already: %(status)s.")
            % {"status": application.get_status_display()},
            details={"state": application.status},
        )
    _decided(application, status, by, timezone.now())
    application.save(update_fields=["status", "audit_time", "auditor", "update_time"])
    return application


def _decided(application: Application, status: ApplicationStatus, by: Actor, at: datetime) -> None:
    application.status, application.auditor, application.audit_time = status, by.user, at


# What they have in common ------------------------------------------------------------------------


def close_what_waits_for(enterprise: Enterprise, user: User, **_of_signal: Any) -> None:
    """Somebody is no member of the enterprise any more: what would let them in again by itself ends."""
    now = timezone.now()
    invites = Invite.objects.open().filter(enterprise=enterprise, invitee=user)
    invites.update(status=InviteStatus.WITHDRAWN, update_time=now)
    waiting = Application.objects.filter(
        enterprise=enterprise, applicant=user, status=ApplicationStatus.PENDING
    )
    waiting.update(status=ApplicationStatus.REJECTED, audit_time=now, update_time=now)


def nickname_of(user: User) -> str:
    return (user.get_full_name() or user.get_username())[:64]


def _check_role(role: int, rank: int) -> None:
    if role not in (2, 3):
        raise invalid("role", _("A role is 2 or 3: the first is handed over, not given."))
    if role < rank:
        raise Forbidden(_("Nobody grants a role above their own."), code="role_too_high")


def _is_member(place: Space | Enterprise, user: User) -> bool:
    return place.members.filter(user=user).exists()


def _already_member(user: User, place: Space | Enterprise) -> AlreadyMember:
    said = _("%(user)s is a member of %(name)s already.")
    return AlreadyMember(said % {"user": user, "name": place.name})


def _no_colleague(user: User, enterprise: Enterprise) -> NoColleague:
    said = _("%(user)s is no member of the enterprise %(name)s.")
    return NoColleague(said % {"user": user, "name": enterprise.name})
