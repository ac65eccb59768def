"""How many users a space or an enterprise has and may have: members, and invites that are still open."""

from dataclasses import dataclass

from django.utils.translation import gettext as _

from accounts.refusals import Refused
from enterprises.models import Enterprise
from joining.models import Invite
from spaces.limits import most_users, type_of
from spaces.models import Space


class TooManyUsers(Refused):
    code = "too_many_users"


@dataclass(frozen=True)
class Seats:
    members: int
    open_invites: int
    limit: int

    @property
    def free(self) -> int:
        return max(0, self.limit - self.members - self.open_invites)


def seats_of(place: Space | Enterprise) -> Seats:
    """True until the transaction ends, where the place is locked."""
    return Seats(
        members=place.members.count(),
        open_invites=Invite.objects.to(place).open().count(),
        limit=most_users(type_of(place)),
    )


def require_seat(place: Space | Enterprise) -> None:
    seats = seats_of(place)
    if seats.free < 1:
        raise no_seat(place, seats)


def no_seat(place: Space | Enterprise, seats: Seats) -> TooManyUsers:
    return TooManyUsers(
        _("%(name)s has its %(limit)d users, open invites among them: there is no seat left.")
        % {"name": place.name, "limit": seats.limit},
        details={"limit": seats.limit},
    )
