"""Inviting everybody of a table, and telling what came of each row."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import Q
from django.utils.translation import gettext as _

from accounts.actors import Actor
from accounts.models import User
from accounts.refusals import Forbidden, Refused
from audit.recording import attempt
from enterprises.models import Enterprise
from joining.models import InviteRole
from joining.pace import spend_rows
from joining.seats import TooManyUsers, no_seat, seats_of
from joining.services import invite_user, require_at
from joining.tables import Row
from spaces.models import Space

#: How many accounts one statement looks for.
_AT_ONCE = 100
_INVITED = "invited"
_LONGEST_NAME = 150
_NAME = re.compile(r"(?=.*[^\W_])[\w.+:|-]+(@[\w.+:|-]+)?")
_PHONE = re.compile(r"\+?[\d ().-]*\d[\d ().-]*")


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
    """Invite each of these user names, phones that are user names, or e-mails. Each row stands for itself.

    TooOften where `by` has named too many people already. Once there is no seat left, nothing is told of whom the
    rest of the rows name.
    """
    require_may_invite(place, by=by)
    spend_rows(len(rows), by=by)
    seats = seats_of(place)
    known = _users_named({row.account.casefold() for row in rows if row.account})
    outcomes: list[Outcome] = []
    left = seats.free
    full = no_seat(place, seats) if left < 1 else None
    for row in rows:
        if full is not None:
            outcomes.append(Outcome(row, full.code, str(full)))
            continue
        outcome = _invite(place, row, known, role, by)
        outcomes.append(outcome)
        left -= outcome.code == _INVITED
        if outcome.code == TooManyUsers.code or not left:
            full = no_seat(place, seats)
    return outcomes


def _invite(
    place: Space | Enterprise,
    row: Row,
    known: dict[str, set[str]],
    role: InviteRole,
    by: Actor,
) -> Outcome:
    uids = known.get(row.account.casefold(), set()) if row.account else set()
    if not uids:
        if not _may_be_account(row.account):
            return Outcome(row, "malformed", _("No account can be like this."))
        return Outcome(row, "no_such_user", _("There is no such user."))
    if len(uids) > 1:
        return Outcome(row, "ambiguous", _("Several users have this e-mail."))
    try:
        invite_user(place, next(iter(uids)), role, by=by)
    except Forbidden:
        raise  # of none of them, then
    except Refused as error:
        return Outcome(row, error.code, str(error))
    return Outcome(row, _INVITED, _("Invited."))


def _may_be_account(text: str) -> bool:
    """Whether somebody might be called so: by a user name, an e-mail, a uid of an identity provider, or a phone.

    User names may have an @ anywhere. Who writes one at an end, or two of them, means an e-mail and has mistyped it.
    """
    if _NAME.fullmatch(text) or _PHONE.fullmatch(text):
        return len(text) <= _LONGEST_NAME
    try:
        validate_email(text)
    except ValidationError:
        return False
    return True


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
