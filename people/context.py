"""What the header of every page says of the reader: where they work, and whether somebody has invited them."""

from dataclasses import dataclass

from django.http import HttpRequest
from django.utils.functional import cached_property

from accounts.actors import actor_of
from joining.models import Invite
from spaces.models import Space
from spaces.working import recent_spaces, working_space

#: Nobody counts further: it is one more digit in a badge.
_COUNTED = 9


@dataclass(frozen=True)
class Header:
    """Two queries, and only where a page shows them."""

    request: HttpRequest

    @cached_property
    def space(self) -> Space | None:
        return working_space(self.request)

    @cached_property
    def recent(self) -> list[Space]:
        return recent_spaces(self.request)

    @cached_property
    def invites(self) -> str:
        """How many invites wait for an answer; nothing where none does."""
        user = actor_of(self.request).user
        waiting = Invite.objects.to_living_places().open().filter(invitee=user)
        count = len(waiting.order_by().values_list("pk", flat=True)[: _COUNTED + 1])
        return f"{_COUNTED}+" if count > _COUNTED else str(count or "")


def people(request: HttpRequest) -> dict[str, Header]:
    return {"people": Header(request)}
