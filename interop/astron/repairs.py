"""Putting right what the other system does not hold to: the rules of tenancy.

An enterprise has one officer, a space one owner, and whoever is in a space of an enterprise is in the enterprise.
What holds already is left alone, so that doing it again repairs nothing twice. Each repair is one remark.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q

from enterprises.models import Enterprise, EnterpriseRole, EnterpriseUser
from spaces.models import Space, SpaceUser

#: A space's owner and admin have the same codes.
_FIRST, _SECOND = EnterpriseRole.OFFICER, EnterpriseRole.GOVERNOR


@dataclass(frozen=True)
class Brought:
    """The places that came from one system, by our numbers with theirs; and the memberships that are new."""

    enterprises: dict[int, int]
    spaces: dict[int, int]
    new_in_enterprises: Collection[int]
    new_in_spaces: Collection[int]


#: Called with the table, the number there, and what was done.
Tell = Callable[[str, int, str], None]


def repair(brought: Brought, *, repaired: Tell, remark: Tell) -> None:
    """Repair the places that were brought, now or before; `remark` hears of what cannot be repaired."""
    _let_into_enterprises(brought.spaces, repaired)
    for kind, places, new in (
        (_ENTERPRISE, brought.enterprises, brought.new_in_enterprises),
        (_SPACE, brought.spaces, brought.new_in_spaces),
    ):
        for place in kind.without_one_first():
            if place.pk in places:
                _leave_one_first(kind, place, new, places[place.pk], repaired, remark)


def _let_into_enterprises(spaces: dict[int, int], repaired: Tell) -> None:
    inside = EnterpriseUser.objects.filter(
        enterprise=OuterRef("space__enterprise"), user=OuterRef("user")
    )
    outside = SpaceUser.objects.exclude(space__enterprise=None).filter(~Exists(inside))
    for member in outside.select_related("space__enterprise").order_by("pk"):
        theirs = spaces.get(member.space_id)
        if theirs is None:
            continue
        _membership, made = EnterpriseUser.objects.get_or_create(
            enterprise=member.space.enterprise,
            user_id=member.user_id,
            defaults={"nickname": member.nickname, "role": EnterpriseRole.STAFF},
        )
        if made:  # they may be in several of its spaces
            said = f"{member.user_id} was not in its enterprise, and is staff there now."
            repaired("agent_space", theirs, said)


@dataclass(frozen=True)
class _Kind:
    table: str
    model: Any
    first: str
    second: str

    def without_one_first(self) -> Any:
        firsts = Count("members", filter=Q(members__role=_FIRST))
        return self.model.objects.annotate(firsts=firsts).exclude(firsts=1).order_by("pk")


_ENTERPRISE = _Kind("agent_enterprise", Enterprise, "officer", "governor")
_SPACE = _Kind("agent_space", Space, "owner", "admin")


def _leave_one_first(
    kind: _Kind,
    place: Any,
    new: Collection[int],
    theirs: int,
    repaired: Tell,
    remark: Tell,
) -> None:
    """The creator stays or becomes the first, or else the oldest of the highest role.

    Who has been it here, before anything new came, stays so whoever has created the place.
    """
    members = list(place.members.order_by("role", "create_time", "pk"))
    if not members:
        said = f"it has no {kind.first}, and nobody is left in it who could be."
        remark(kind.table, theirs, said)
        return
    firsts = [each for each in members if each.role == _FIRST]

    def rank(member: Any) -> tuple[bool, bool]:
        return member.pk in new, member.user_id != place.creator_id

    chosen = min(firsts, key=rank) if firsts else min(members, key=lambda each: rank(each)[1])
    if not firsts:
        _give(chosen, _FIRST)
        said = f"it had no {kind.first}: {chosen.user_id} is that now."
        repaired(kind.table, theirs, said)
    for each in firsts:
        if each is not chosen:
            _give(each, _SECOND)
            said = f"its one {kind.first} is {chosen.user_id}: {each.user_id} is {kind.second} now."
            repaired(kind.table, theirs, said)


def _give(member: Any, role: int) -> None:
    member.role = role
    member.save(update_fields=["role", "update_time"])
