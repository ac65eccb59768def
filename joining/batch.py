"""Inviting everybody of a table, and telling what came of each row."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

from django.db.models import Q
from django.utils.translation import gettext as _

from accounts.actors import Actor
from accounts.models import User
from accounts.refusals import Forbidden, Refused
from audit.recording import attempt
from enterprises.models import Enterprise
from joining.models import InviteRole
from joining.services import invite_user, require_at
from joining.tables import Row
from spaces.models import Space

#: How many accounts one statement looks for.
_AT_ONCE = 100


@dataclass(frozen=True)
class Outcome:
    """Of one row: `code` for programs, `message` for people."""

    row: Row
    code: str
    message: str


def require_may_invite(place: Space | Enterprise, *, by: Actor) -> None:
    """Before a table is looked into: what is in it is no answer to who may not send it."""
    with attempt("invite.create", place, by=by):
        require_at(by, "invite.create", place)


def invite_all(
    place: Space | Enterprise, rows: Sequence[Row], role: InviteRole, *, by: Actor
) -> list[Outcome]:
    """Invite each of these user names, phones that are user names, or e-mails. Each row stands for itself."""
    require_may_invite(place, by=by)
    known = _users_named({row.account.casefold() for row in rows if row.account})
    return [_invite(place, row, known, role, by) for row in rows]


def _invite(
    place: Space | Enterprise,
    row: Row,
    known: dict[str, set[str]],
    role: InviteRole,
    by: Actor,
) -> Outcome:
    if not row.account:
        return Outcome(row, "malformed", _("No account can be like this."))
    uids = known.get(row.account.casefold(), set())
    if not uids:
        return Outcome(row, "no_such_user", _("There is no such user."))
    if len(uids) > 1:
        return Outcome(row, "ambiguous", _("Several users have this e-mail."))
    try:
        invite_user(place, next(iter(uids)), role, by=by)
    except Forbidden:
        raise  # of none of them, then
    except Refused as error:
        return Outcome(row, error.code, str(error))
    return Outcome(row, "invited", _("Invited."))


def _users_named(names: set[str]) -> dict[str, set[str]]:
    """The uids of active users by name and by e-mail, in small letters."""
    found: dict[str, set[str]] = defaultdict(set)
    wanted = sorted(names)
    for first in range(0, len(wanted), _AT_ONCE):
        some = wanted[first : first + _AT_ONCE]
        matches = [Q(username__iexact=each) for each in some if "@" not in each]
        matches += [
            Q(email__iexact=each) | Q(username__iexact=each) for each in some if "@" in each
        ]
        users = User.objects.filter(reduce(or_, matches), is_active=True)
        for uid, username, email in users.values_list("uid", "username", "email"):
            for name in {username.casefold(), email.casefold()}:
                found[name].add(uid)
    return found
