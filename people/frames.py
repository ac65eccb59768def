"""What all pages of an enterprise or a space have in common: which it is, and what its reader is and may do there."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.actors import Actor, actor_of
from accounts.refusals import Forbidden
from enterprises.access import OPERATOR, enterprises_allowing, permissions_in_enterprise
from enterprises.models import Enterprise, EnterpriseRole, EnterpriseUser
from joining.models import InviteRole
from people.answers import tried
from spaces.access import known_spaces, permissions_in
from spaces.limits import type_of
from spaces.models import Space, SpaceRole, SpaceUser

SPACE, ENTERPRISE = "space", "enterprise"
#: The number of the one role that is handed over and never given: officer, owner.
FIRST = 1
_PAGES = (
    *("members", "invite", "invite-table", "invites", "settings"),
    *("transfer", "leave", "delete"),
)


#: One may be allowed to change these and nothing else of an enterprise.
_PICTURES = frozenset({"enterprise.set_logo", "enterprise.set_avatar"})
#: What the changes of a place tell of. Who may not list all of it does not read it there either.
_TOLD = {
    SPACE: frozenset({"member.list", "invite.list", "apply.list", "api_key.manage"}),
    ENTERPRISE: frozenset({"member.list", "invite.list"}),
}


@dataclass(frozen=True)
class Frame:
    """A place as `actor` sees it. `allowed` and `of_house` are the deeds in it, and in the enterprise of a space."""

    request: HttpRequest
    place: Space | Enterprise
    actor: Actor
    role: int | None
    allowed: frozenset[str]
    of_house: frozenset[str]

    @property
    def kind(self) -> str:
        return SPACE if isinstance(self.place, Space) else ENTERPRISE

    @property
    def is_space(self) -> bool:
        return isinstance(self.place, Space)

    @property
    def enterprise(self) -> Enterprise | None:
        return self.place.enterprise if isinstance(self.place, Space) else self.place

    @property
    def expired(self) -> bool:
        return self.enterprise is not None and self.enterprise.expired

    @property
    def rank(self) -> int:
        """How high the actor stands, as the services have it."""
        return OPERATOR if self.actor.is_operator else self.role or 3

    @property
    def role_name(self) -> str:
        return "" if self.role is None else str(self.roles(self.role).label)

    @property
    def type_name(self) -> str:
        if isinstance(self.place, Enterprise):
            return self.place.get_service_type_display()
        return str(type_of(self.place).label)

    @property
    def roles(self) -> type[SpaceRole] | type[EnterpriseRole]:
        return SpaceRole if self.is_space else EnterpriseRole

    @property
    def given_roles(self) -> list[tuple[int, str]]:
        """The roles that the actor may give to others, the lowest first."""
        given = [role for role in InviteRole if role >= self.rank]
        return [(int(role), str(self.roles(int(role)).label)) for role in reversed(given)]

    @property
    def picture(self) -> str:
        """Of its pictures one that lies on this site: pages show no others."""
        logo = self.place.logo_url if isinstance(self.place, Enterprise) else ""
        return next((each for each in (self.place.avatar_url, logo) if each.startswith("/")), "")

    @cached_property
    def urls(self) -> dict[str, str]:
        urls = {
            name.replace("-", "_"): reverse(f"people:{self.kind}-{name}", args=[self.place.pk])
            for name in _PAGES
        }
        return urls | {"overview": reverse(f"people:{self.kind}", args=[self.place.pk])}

    # What takes more than one permission to tell ----------------------------------------------------

    @property
    def can_edit(self) -> bool:
        pictures = not self.is_space and bool(self.allowed & _PICTURES)
        return self._ruling("edit") or pictures

    @property
    def can_delete(self) -> bool:
        return self._ruling("delete")

    @property
    def can_transfer(self) -> bool:
        return f"{self.kind}.transfer" in self.allowed

    @property
    def can_leave(self) -> bool:
        member = self.role is not None and self.role != FIRST
        return member and f"{self.kind}.leave" in self.allowed

    @property
    def can_see_limits(self) -> bool:
        return ("space.limits" if self.is_space else "member.limits") in self.allowed

    @property
    def can_see_changes(self) -> bool:
        return self.allowed >= _TOLD[self.kind]

    @property
    def can_add(self) -> bool:
        """Whether colleagues may be made members without asking them."""
        return self.is_space and self.enterprise is not None and "member.add" in self.allowed

    @property
    def can_apply(self) -> bool:
        """Whether a space that the actor is not in is one to ask for; operators are in without asking."""
        outside = self.role is None and not self.actor.is_operator
        return self.is_space and outside and "apply.create" in self.of_house

    @property
    def has_settings(self) -> bool:
        return self.can_edit or self.can_delete or self.can_transfer

    def _ruling(self, deed: str) -> bool:
        """A personal space is its owner's to rule, an enterprise's is the enterprise's."""
        if not self.is_space:
            return ("enterprise.rename" if deed == "edit" else "enterprise.delete") in self.allowed
        if self.enterprise is None:
            return f"space.{deed}_personal" in self.allowed
        return f"space.{deed}" in self.of_house

    def require(self, permission: str) -> None:
        """Return if allowed; else Forbidden, in the words of the service."""
        self.refuse_unless(permission in self.allowed, permission)

    def refuse_unless(self, allowed: bool, permission: str, *, deed: str = "") -> None:
        """As `require`, of what takes more to tell; `deed` is what the service calls it, where that differs."""
        if not allowed:
            with tried(self.request, deed or permission, self.place, by=self.actor):
                raise self._refusal(permission)

    def _refusal(self, permission: str) -> Forbidden:
        if self.expired and self.enterprise is not None:
            return Forbidden(
                _("The enterprise %(name)s has expired: it is read-only until it is renewed.")
                % {"name": self.enterprise.name},
                code="enterprise_expired",
            )
        return Forbidden(
            _("Your role in %(name)s does not allow this (%(permission)s).")
            % {"name": self.place.name, "permission": permission},
            details={"permission": permission},
        )


def frame_of(request: HttpRequest, kind: str, pk: int) -> Frame:
    """The frame of the place with that key; 404 where it does not exist for the reader."""
    actor = actor_of(request)
    if kind == SPACE:
        space = get_object_or_404(known_spaces(actor).select_related("enterprise"), pk=pk)
        mine = SpaceUser.objects.filter(space=space, user=actor.user)
        house = space.enterprise
        return Frame(
            request,
            space,
            actor,
            mine.values_list("role", flat=True).first(),
            permissions_in(actor, space),
            frozenset() if house is None else permissions_in_enterprise(actor, house),
        )
    enterprise = get_object_or_404(enterprises_allowing(actor, "enterprise.view"), pk=pk)
    membership = EnterpriseUser.objects.filter(enterprise=enterprise, user=actor.user)
    deeds = permissions_in_enterprise(actor, enterprise)
    role = membership.values_list("role", flat=True).first()
    return Frame(request, enterprise, actor, role, deeds, deeds)


def link_to(name: str, *arguments: Any) -> str:
    """The whole address of a page, for somebody to send to somebody else."""
    return f"{settings.RPA_BASE_URL}{reverse(name, args=arguments)}"
