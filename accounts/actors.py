"""Who is asking: a person, perhaps through a key that may do less than they may."""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from accounts.models import ApiKey, User
from accounts.refusals import Forbidden
from accounts.scopes import EVERYTHING


@dataclass(frozen=True)
class Actor:
    """A user and the limits of the credential by which they came. Every rule takes one of these."""

    user: User
    key: ApiKey | None = None
    #: What a token of the identity provider is limited to; None is all that the user may do.
    token_scopes: frozenset[str] | None = None
    #: What that token is called in the audit; empty where they came by none.
    token: str = ""

    @property
    def is_bound(self) -> bool:
        """Whether they came by a key that opens one place alone; which, is asked elsewhere."""
        return self.key is not None and self.key.bound

    @property
    def scopes(self) -> frozenset[str] | None:
        """What the credential is limited to; None is all that the user may do."""
        given = self.key.scopes if self.key is not None else self.token_scopes
        return None if given is None or EVERYTHING in given else frozenset(given)

    def in_scope(self, permission: str) -> bool:
        """Whether the credential reaches as far as `permission`; what the user may do is asked elsewhere."""
        return self.scopes is None or permission in self.scopes

    def in_own_scope(self, deed: str) -> bool:
        """As `in_scope`, for what everybody may do and for what is theirs alone: it is in no place."""
        return not self.is_bound and self.in_scope(deed)

    def require_scope(self, deed: str) -> None:
        """For what everybody may do: only a key may be too narrow for it."""
        if not self.in_own_scope(deed):
            raise Forbidden(
                _("This API key is not allowed to do this (%(permission)s).")
                % {"permission": deed},
                details={"permission": deed},
            )

    def require_operator(self) -> None:
        if not self.is_operator:
            raise Forbidden(_("This is for operators."))

    @property
    def is_operator(self) -> bool:
        """Superusers run the platform and see all of it, unless they came by a narrower key."""
        return self.user.is_superuser and self.scopes is None and not self.is_bound


def actor_of(request: Any) -> Actor:
    """The actor behind an authenticated request of Django or of REST framework."""
    user = request.user
    if not isinstance(user, User):
        raise TypeError("An anonymous request has no actor: the door must refuse it first.")
    by_header = getattr(request, "auth", None)
    return by_header if isinstance(by_header, Actor) else Actor(user)
