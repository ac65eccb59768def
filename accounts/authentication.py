"""How a request proves who sent it: a credential in `Authorization: Bearer`, or a signed-in session.

The credential is an API key or a token of the identity provider. Every door asks `actor_of_header`.
"""

from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.request import Request

from accounts.actors import Actor
from accounts.models import ApiKey, User
from accounts.second_factor import is_lacking
from accounts.tokens import actor_of_token
from audit.scenes import came_with_dead_key, identified


def bearer_token(header: str) -> str:
    """The token of an Authorization header; a bare token counts too. Empty if there is none."""
    scheme, _space, token = header.strip().partition(" ")
    if not token:
        return scheme
    return token.strip() if scheme.lower() == "bearer" else ""


def actor_of_header(header: str) -> Actor | None:
    """The actor whose usable credential an Authorization header carries, its use noted, or None.

    Unavailable where the identity provider is needed to tell and does not answer. Touches the database.
    """
    token = bearer_token(header)
    key = ApiKey.objects.known(token)
    if key is not None and not key.is_usable:
        came_with_dead_key(key)
    elif key is not None:
        key.note_use()
        identified(key.user, key)
        return Actor(key.user, key)
    actor = actor_of_token(token)
    if actor is not None:
        identified(actor.user, None, actor.token)
    return actor


class BearerAuthentication(BaseAuthentication):
    """`Authorization: Bearer CREDENTIAL`. A wrong one is refused, never passed on to the session."""

    def authenticate(self, request: Request) -> tuple[User, Actor] | None:
        header = request.headers.get("Authorization", "")
        if not header:
            return None
        actor = actor_of_header(header)
        if actor is None:
            raise exceptions.AuthenticationFailed(
                _("This API key or token is unknown, expired or revoked.")
            )
        return actor.user, actor

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


class SignedInAuthentication(SessionAuthentication):
    """The browser's session, with CSRF protection; answers 401 where nobody is signed in."""

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "accounts.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        description = "An API key, or a token of the configured OpenID Connect provider."
        return {"type": "http", "scheme": "bearer", "description": description}


class SignedInScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "accounts.authentication.SignedInAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}


def identify(request: HttpRequest) -> Actor | None:
    """The actor of a plain Django request: by its header, else by session; None for a stranger.

    A wrong credential is a stranger, whatever the session says. Touches the database.
    """
    header = request.headers.get("Authorization", "")
    if header:
        return actor_of_header(header)
    if not request.user.is_authenticated:
        return None
    # Asked anew: a long-lived reader asks again, and what the request has cached may be out of date.
    user = User.objects.filter(pk=request.user.pk, is_active=True).first()
    return None if user is None or is_lacking(user) else Actor(user)


def actor_of_session(session_key: str | None) -> Actor | None:
    """The actor of a session as it is now; None if it has ended, its password was changed, or its user may not.

    For what lives longer than a request. Touches the database.
    """
    if not session_key:
        return None
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = get_user(request)
    return Actor(user) if isinstance(user, User) and not is_lacking(user) else None
