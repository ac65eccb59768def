"""What may be done with spaces and their members; how one becomes a member is told in `joining`.

Lock order: the enterprise's row, the space's, the owner's. Every deed that changes who belongs to a space, what it
is called, or how many spaces there are, takes those that there are first: what it then reads stays true until it is
done.
"""

from typing import Any

from django.db import IntegrityError
from django.db.models import F
from django.dispatch import Signal
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.actors import Actor
from accounts.models import User
from accounts.refusals import Forbidden, NotFound, Refused
from accounts.validation import invalid, picture_address, tidy_name
from audit.recording import audited, recording
from enterprises import services as enterprises
from enterprises.access import enterprises_allowing, require_in_enterprise
from enterprises.models import Enterprise, EnterpriseUser
from spaces.access import may, rank_of, require, spaces_allowing
from spaces.limits import most_spaces, type_of
from spaces.models import Space, SpaceQuerySet, SpaceRole, SpaceType, SpaceUser

#: Sent with `spaces` (their keys) in the transaction that hides them, with their rows locked.
spaces_deleted = Signal()


class NameTaken(Refused):
    code = "name_taken"


class TooManySpaces(Refused):
    code = "too_many_spaces"


class EnterpriseDeleted(Refused):
    code = "enterprise_deleted"


class LastOwner(Refused):
    """A space always has its owner: ownership is handed over first."""

    code = "last_owner"


class NotAMember(NotFound):
    code = "not_a_member"


@audited("space.create")
def create_space(
    *,
    name: str,
    by: Actor,
    enterprise: Enterprise | None = None,
    description: str = "",
    avatar_url: str = "",
    owner: User | None = None,
) -> Space:
    """A space of an enterprise, or of `by` alone, who becomes its owner; an operator may make it for somebody else.

    Its type is that of whom it belongs to.
    """
    chosen = None if owner is None else enterprises.for_whom(owner, by)
    space = Space(name=tidy_name(name), creator=chosen or by.user, enterprise=enterprise)
    space.description = _checked_description(description)
    space.avatar_url = picture_address("avatar_url", avatar_url)
    try:
        with recording():
            if enterprise is None:
                by.require_scope("space.create_personal")
                owner = chosen or by.user
                space.type = _check_personal_limit(owner)
            else:
                enterprise = enterprises.locked(enterprise)
                require_in_enterprise(by, "space.create", enterprise=enterprise)
                _check_limit(enterprise)
                owner, space.type = _owner_in(enterprise, by, chosen), type_of(enterprise)
            space.save()
            space.members.create(user=owner, role=SpaceRole.OWNER)
    except IntegrityError:
        raise _name_taken(space) from None
    return space


@audited("space.change")
def change_space(
    space: Space,
    *,
    by: Actor,
    name: str | None = None,
    description: str | None = None,
    avatar_url: str | None = None,
) -> Space:
    """The space with what is given changed; None leaves as it is."""
    space = locked(space)
    _require_rule(by, space, personal="space.edit_personal", shared="space.edit")
    changed = ["update_time"]
    if name is not None:
        space.name = tidy_name(name)
        changed.append("name")
    if description is not None:
        space.description = _checked_description(description)
        changed.append("description")
    if avatar_url is not None:
        space.avatar_url = picture_address("avatar_url", avatar_url)
        changed.append("avatar_url")
    if len(changed) == 1:
        return space
    try:
        with recording():
            space.save(update_fields=changed)
    except IntegrityError:
        raise _name_taken(space) from None
    return space


@audited("space.type")
def set_space_type(space: Space, of_type: SpaceType, *, by: Actor) -> None:
    """Make a personal space free or pro, for operators. An enterprise's spaces have its type."""
    by.require_operator()
    space = locked(space)
    if space.enterprise_id is not None or of_type not in (SpaceType.FREE, SpaceType.PRO):
        message = _("A personal space is free or pro; an enterprise's has the enterprise's type.")
        raise invalid("type", message)
    Space.objects.filter(pk=space.pk).update(type=of_type, update_time=timezone.now())


def retype_spaces(enterprise: Enterprise, **_of_signal: Any) -> None:
    """An enterprise is of another type now: so are its spaces, the deleted ones too."""
    spaces = Space.objects.filter(enterprise=enterprise)
    spaces.update(type=type_of(enterprise), update_time=F("update_time"))


def visit_space(space: Space, *, by: Actor) -> None:
    """Remember when `by` last worked in it. An operator who is no member leaves no trace."""
    require(by, "space.view", space=space)
    SpaceUser.objects.filter(space=space, user=by.user).update(last_visit_time=timezone.now())


def locked(space: Space) -> Space:
    """The space as it is now; its enterprise's row and its own locked. NotFound once either is deleted."""
    if space.enterprise_id is not None:
        enterprises.locked(Enterprise(pk=space.enterprise_id))
    found = Space.objects.select_for_update().filter(pk=space.pk, deleted=False).first()
    if found is None:
        raise NotFound(_("Not found."))
    return found


def _lock_enterprise(space: Space) -> None:
    """Alive or not. A change of the name, or of whether it is deleted, writes a key that the enterprise is part of:
    MariaDB then wants the enterprise's row with the space's in hand, against the order of locks.
    """
    if space.enterprise_id is not None:
        Enterprise.objects.select_for_update().filter(pk=space.enterprise_id).first()


@audited("space.member_role")
def change_member_role(space: Space, uid: str, role: SpaceRole, *, by: Actor) -> SpaceUser:
    """Make an admin a member, or the other way round. Ownership is handed over instead."""
    space = locked(space)
    require(by, "member.change_role", space=space)
    if role == SpaceRole.OWNER:
        raise invalid("role", _("There is one owner: hand the ownership over instead."))
    member = _member(space, uid)
    if role < _require_above(by, member):
        raise Forbidden(_("Nobody grants a role above their own."), code="role_too_high")
    member.role = role
    member.save(update_fields=["role", "update_time"])
    return member


@audited("space.member_remove")
def remove_member(space: Space, uid: str, *, by: Actor) -> None:
    space = locked(space)
    require(by, "member.remove", space=space)
    member = _member(space, uid)
    _require_above(by, member)
    member.delete()


@audited("space.leave")
def leave_space(space: Space, *, by: Actor) -> None:
    space = locked(space)
    require(by, "space.leave", space=space)
    member = _member(space, by.user.uid)
    if member.role == SpaceRole.OWNER:
        raise _last_owner()
    member.delete()


@audited("space.transfer")
def transfer_space(space: Space, uid: str, *, by: Actor) -> None:
    """Make another member the owner. The owner of before becomes an admin."""
    space = locked(space)
    require(by, "space.transfer", space=space)
    heir = _member(space, uid)
    if not heir.user.is_active:
        raise invalid("user", _("%(user)s is deactivated.") % {"user": heir.user})
    if heir.role == SpaceRole.OWNER:
        raise invalid("user", _("They are the owner already."))
    if space.enterprise_id is None:
        _check_personal_limit(heir.user, of_type=SpaceType(space.type))
        _give_name(space, heir.user)
    space.members.filter(role=SpaceRole.OWNER).update(
        role=SpaceRole.ADMIN, update_time=timezone.now()
    )
    heir.role = SpaceRole.OWNER
    heir.save(update_fields=["role", "update_time"])


@audited("space.delete")
def delete_space(space: Space, *, by: Actor) -> None:
    """Hide the space and all that is in it, and cancel the runs that wait there; nothing is destroyed."""
    space = locked(space)
    _require_rule(by, space, personal="space.delete_personal", shared="space.delete")
    hide_space(space)


@audited("space.delete")
def hide_space(space: Space) -> None:
    """As `delete_space`, for the admin, which says who may; in a deleted enterprise, too."""
    _lock_enterprise(space)
    living = Space.objects.filter(pk=space.pk, deleted=False)
    if not living.update(deleted=True, update_time=timezone.now()):
        raise NotFound(_("Not found."))
    spaces_deleted.send(Space, spaces=[space.pk])


def restorable_spaces(by: Actor) -> SpaceQuerySet:
    """The deleted spaces that `by` may show again; those of a deleted enterprise come back with it."""
    deleted = Space.objects.restorable()
    personal = deleted.filter(enterprise=None)
    own = spaces_allowing(by, "space.delete_personal", among=personal)
    keepers = enterprises_allowing(by, "space.delete")
    return own | deleted.filter(enterprise__in=keepers.values("pk"))


@audited("space.restore")
def restore_space(space: Space, *, by: Actor) -> Space:
    """Show a deleted space again, as far as name and limits allow."""
    if space.enterprise_id is not None:
        enterprises.locked(Enterprise(pk=space.enterprise_id))
    if not restorable_spaces(by).filter(pk=space.pk).exists():
        raise NotFound(_("Not found."))
    return unhide_space(space)


@audited("space.restore")
def unhide_space(space: Space) -> Space:
    """As `restore_space`, for the admin, which says who may."""
    if space.enterprise is not None:
        if space.enterprise.deleted:
            raise EnterpriseDeleted(
                _("The enterprise %(name)s is deleted: restore it first.")
                % {"name": space.enterprise}
            )
        _check_limit(enterprises.locked(space.enterprise))
    else:
        Space.objects.select_for_update().filter(pk=space.pk).first()
        owner = space.members.filter(role=SpaceRole.OWNER).select_related("user").first()
        _check_personal_limit(owner.user if owner else space.creator, of_type=SpaceType(space.type))
    try:
        with recording():
            hidden = Space.objects.restorable().filter(pk=space.pk)
            if not hidden.update(deleted=False, update_time=timezone.now()):
                raise enterprises.BeingPurged(
                    _("%(name)s is being removed for ever.") % {"name": space}
                )
    except IntegrityError:
        raise _name_taken(space) from None
    space.deleted = False
    return space


def close_spaces(enterprise: Enterprise, **_of_signal: Any) -> None:
    """An enterprise is being hidden: so is what is in its spaces."""
    spaces = Space.objects.select_for_update().filter(enterprise=enterprise, deleted=False)
    keys = list(spaces.order_by("pk").values_list("pk", flat=True))
    spaces_deleted.send(Space, spaces=keys)


def take_spaces_from(
    enterprise: Enterprise, user: User, heir: User | None, **_of_signal: Any
) -> None:
    """Somebody is no member of the enterprise any more, nor of its spaces; what they owned goes to the officer."""
    theirs = SpaceUser.objects.filter(space__enterprise=enterprise, user=user)
    owned = list(
        theirs.filter(role=SpaceRole.OWNER).order_by("space").values_list("space", flat=True)
    )
    SpaceUser.objects.filter(pk__in=list(theirs.values_list("pk", flat=True))).delete()
    if heir is None or not owned:
        return
    known = SpaceUser.objects.filter(user=heir, space__in=owned)
    there = set(known.values_list("space", flat=True))
    known.update(role=SpaceRole.OWNER, update_time=timezone.now())
    SpaceUser.objects.bulk_create(
        SpaceUser(space_id=key, user=heir, role=SpaceRole.OWNER)
        for key in owned
        if key not in there
    )


def _require_rule(by: Actor, space: Space, *, personal: str, shared: str) -> None:
    """A personal space is its owner's to rule, an enterprise's is the enterprise's."""
    if space.enterprise is None:
        require(by, personal, space=space)
    else:
        seen = may(by, "space.view", space=space)
        require_in_enterprise(by, shared, enterprise=space.enterprise, seen=seen)


def _owner_in(enterprise: Enterprise, by: Actor, chosen: User | None) -> User:
    """Who owns a space that `by` makes: they, or the officer for an operator who is no member and chooses nobody."""
    if chosen is not None:
        if not EnterpriseUser.objects.filter(enterprise=enterprise, user=chosen).exists():
            raise NotAMember(_("That user is no member of %(name)s.") % {"name": enterprise.name})
        return chosen
    if EnterpriseUser.objects.filter(enterprise=enterprise, user=by.user).exists():
        return by.user
    return enterprises.officer_of(enterprise) or by.user


def _check_limit(enterprise: Enterprise) -> None:
    """Raise TooManySpaces where one more is too much. The enterprise is locked."""
    _refuse_beyond(
        Space.objects.filter(enterprise=enterprise, deleted=False).count(),
        most_spaces(type_of(enterprise)),
    )


def _check_personal_limit(owner: User, of_type: SpaceType = SpaceType.FREE) -> SpaceType:
    """Lock the owner, and raise TooManySpaces where one more is too much. Else the type that it will have.

    Who has a pro space has the limit of pro, and gets more of them.
    """
    User.objects.select_for_update().get(pk=owner.pk)
    owned = SpaceUser.objects.filter(
        user=owner, role=SpaceRole.OWNER, space__enterprise=None, space__deleted=False
    )
    types = [of_type, *owned.values_list("space__type", flat=True)]
    best = SpaceType.PRO if SpaceType.PRO in types else SpaceType.FREE
    _refuse_beyond(len(types) - 1, most_spaces(best))
    return best


def _refuse_beyond(count: int, limit: int) -> None:
    if count >= limit:
        raise TooManySpaces(
            _("There are %(count)d spaces already; the limit is %(limit)d.")
            % {"count": count, "limit": limit},
            details={"limit": limit},
        )


def _give_name(space: Space, owner: User) -> None:
    """Names of personal spaces are unique for their owner, whom the table knows as their creator."""
    try:
        with recording():
            Space.objects.filter(pk=space.pk).update(creator=owner, update_time=timezone.now())
    except IntegrityError:
        raise _name_taken(space) from None


def _member(space: Space, uid: str) -> SpaceUser:
    member = space.members.select_related("user").filter(user__uid=uid).first()
    if member is None:
        raise NotAMember(_("That user is no member of %(name)s.") % {"name": space.name})
    return member


def _require_above(by: Actor, member: SpaceUser) -> int:
    """The rank of `by`, who may touch the member; else Forbidden, or LastOwner where nobody may."""
    rank = rank_of(by, member.space)
    if rank > member.role:
        raise Forbidden(
            _("Your role is below that of %(user)s.") % {"user": member.user}, code="role_too_low"
        )
    if member.role == SpaceRole.OWNER:
        raise _last_owner()
    return rank


def _last_owner() -> LastOwner:
    return LastOwner(_("A space has always one owner. Hand the ownership over first."))


def _name_taken(space: Space) -> NameTaken:
    return NameTaken(_("There is a space named %(name)s already.") % {"name": space.name})


def _checked_description(description: str) -> str:
    if len(description) > 2000:
        raise invalid("description", _("A description has at most 2000 characters."))
    return description
