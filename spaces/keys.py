"""API keys of a space: by each, programs act there as who made it, and nowhere else.

A key follows its maker. It may what their role allows at the moment, less where it has scopes, and nothing once
they are no member any more or the space is deleted. Everybody who manages the keys of a space may revoke it.
"""

from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.actors import Actor
from accounts.models import ApiKey
from accounts.refusals import Forbidden, NotFound, Refused
from accounts.scopes import EVERYTHING
from accounts.validation import invalid, tidy_name
from audit.recording import attempt, audited, deed
from spaces.access import require
from spaces.models import Space, SpaceKey, SpaceKeyQuerySet, SpaceUser
from spaces.permissions import DEFAULTS
from spaces.services import NotAMember, locked

#: Valid keys of one space.
MOST_KEYS = 100
#: Ten years.
MOST_DAYS = 3650
_LONGEST_NAME = 100


class TooManyKeys(Refused):
    code = "too_many_keys"


def keys_of(space: Space, *, by: Actor) -> SpaceKeyQuerySet:
    """All that were made for the space, also those that open nothing any more."""
    require(by, "api_key.manage", space=space)
    return SpaceKey.objects.filter(space=space).select_related("key__user")


@audited("space.key_make")
def make_key(
    space: Space,
    *,
    by: Actor,
    name: str,
    scopes: list[str] | None = None,
    days: int | None = None,
) -> tuple[SpaceKey, str]:
    """A new key by which programs act in the space as `by`, and its secret, which nobody can read again.

    `scopes` are permissions of a space; None is all that `by` may do there. `days` is how long it is valid; None
    is until it is revoked. A credential makes no key that reaches further or lives longer than itself.
    """
    space = locked(space)
    require(by, "api_key.manage", space=space)
    if not SpaceUser.objects.filter(space=space, user=by.user).exists():
        message = _("You are no member of %(name)s: a key of yours would open nothing there.")
        raise NotAMember(message % {"name": space.name})
    wanted = _checked_scopes(scopes)
    expires_at = _end(days)
    _require_no_wider(by, wanted, expires_at)
    valid = ApiKey.objects.valid().filter(pk__in=SpaceKey.objects.filter(space=space).values("pk"))
    if valid.count() >= MOST_KEYS:
        raise TooManyKeys(
            _("The space has %(most)d keys: revoke some first.") % {"most": MOST_KEYS},
            details={"limit": MOST_KEYS},
        )
    key, secret = ApiKey.issue(
        user=by.user,
        name=tidy_name(name, most=_LONGEST_NAME),
        scopes=wanted,
        expires_at=expires_at,
        bound=True,
    )
    return SpaceKey.objects.create(key=key, space=space), secret


def key_to_revoke(space: Space, number: int, *, by: Actor) -> SpaceKey:
    """The one of that number; NotFound where the space has none."""
    with attempt("space.key_revoke", space, by=by):
        found = keys_of(space, by=by).filter(pk=number).first()
        if found is None:
            raise NotFound(_("Not found."))
        return found


def revoke_key(held: SpaceKey, *, by: Actor) -> None:
    """End it, whoever made it. One that was revoked before stays as it is."""
    with deed("space.key_revoke", held.space, by=by):
        require(by, "api_key.manage", space=held.space)
        held.key.revoke()


def _checked_scopes(scopes: list[str] | None) -> list[str]:
    if scopes is None:
        return [EVERYTHING]
    unknown = [each for each in scopes if each != EVERYTHING and each not in DEFAULTS]
    if unknown:
        message = _("%(unknown)s is not a permission of a space.") % {"unknown": unknown[0]}
        raise invalid("scopes", message)
    if not scopes:
        raise invalid("scopes", _("Name at least one permission, or leave the scopes out."))
    return sorted(set(scopes))


def _end(days: int | None) -> datetime | None:
    if days is None:
        return None
    if not 1 <= days <= MOST_DAYS:
        raise invalid("days", _("A key is valid for 1 to %(most)d days.") % {"most": MOST_DAYS})
    return timezone.now() + timedelta(days=days)


def _require_no_wider(by: Actor, scopes: list[str], expires_at: datetime | None) -> None:
    """Else revoking the credential would not end what it can do."""
    if by.is_bound:
        raise Forbidden(_("A key of a space makes no further keys."))
    if by.scopes is not None and not by.scopes.issuperset(scopes):
        raise Forbidden(_("A key cannot reach further than the credential that makes it."))
    ends = by.key.expires_at if by.key is not None else None
    if ends is not None and (expires_at is None or expires_at > ends):
        raise Forbidden(_("A key cannot live longer than the one that makes it."))
