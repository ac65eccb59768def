"""Finding whom to invite, without showing who else there is.

A whole name, e-mail or uid finds anybody; a beginning of three letters only colleagues: members of the enterprise
that the place belongs to.
"""

from dataclasses import dataclass

from django.db.models import Q

from accounts.actors import Actor
from accounts.models import User
from enterprises.models import Enterprise, EnterpriseUser
from joining.models import Invite
from joining.services import require_at
from spaces.models import Space

LEAST_LETTERS = 3
MOST_FOUND = 20


@dataclass(frozen=True)
class Found:
    """A user, and what they are to the place: `member`, `invited` or `none`."""

    user: User
    state: str


def search_users(place: Space | Enterprise, text: str, *, by: Actor) -> list[Found]:
    """At most MOST_FOUND users, whom it names exactly first."""
    require_at(by, "invite.search_users", place)
    text = text.strip()
    if not text or len(text) > 254:
        return []
    active = User.objects.filter(is_active=True)
    exact = Q(username=text) | Q(uid=text)
    if "@" in text:
        exact |= Q(email__iexact=text)
    found = list(active.filter(exact).order_by("pk")[:MOST_FOUND])
    enterprise = place.enterprise if isinstance(place, Space) else place
    if len(text) >= LEAST_LETTERS and enterprise is not None:
        colleagues = EnterpriseUser.objects.filter(enterprise=enterprise).values("user")
        named = active.filter(username__istartswith=text, uid__in=colleagues)
        others = named.exclude(pk__in=[user.pk for user in found]).order_by("username")
        found += others[: MOST_FOUND - len(found)]
    uids = [user.uid for user in found]
    members = set(place.members.filter(user__uid__in=uids).values_list("user__uid", flat=True))
    invites = Invite.objects.to(place).open().filter(invitee__uid__in=uids)
    invited = set(invites.values_list("invitee__uid", flat=True))
    return [Found(user, _state(user.uid, members, invited)) for user in found]


def _state(uid: str, members: set[str], invited: set[str]) -> str:
    if uid in members:
        return "member"
    return "invited" if uid in invited else "none"
