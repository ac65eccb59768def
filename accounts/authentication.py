"""How a request proves who sent it: an API key in `Authorization: Bearer`, or a signed-in session."""

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
from audit.scenes import identified


def bearer_token(header: str) -> str:
    """The token of an Authorization header; a bare token counts too. Empty if there is none."""
    scheme, _space, token = header.strip().partition(" ")
    if not token:
        return scheme
    return token.strip() if scheme.lower() == "bearer" else ""


def key_of(header: str) -> ApiKey | None:
    """The usable API key that an Authorization header carries, its use noted, or None."""
    key = ApiKey.objects.find(bearer_token(header))
    if key is not None:
        key.note_use()
        identified(key.user, key)
    return key


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer KEY`. A wrong key is refused, never passed on to the session."""

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        header = request.headers.get("Authorization", "")
        if not header:
            return None
        key = key_of(header)
        if key is None:
            raise exceptions.AuthenticationFailed(_("This API key is unknown, expired or revoked."))
        return key.user, key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


class SignedInAuthentication(SessionAuthentication):
    """The browser's session, with CSRF protection; answers 401 where nobody is signed in."""

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "accounts.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "An API key."}


class SignedInScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "accounts.authentication.SignedInAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}


def identify(request: HttpRequest) -> Actor | None:
    """The actor of a plain Django request: by API key, else by session; None for a stranger.

    A wrong key is a stranger, whatever the session says. Touches the database.
    """
    header = request.headers.get("Authorization", "")
    if header:
        key = key_of(header)
        return Actor(key.user, key) if key else None
    if not request.user.is_authenticated:
        return None
    # Asked anew: a long-lived reader asks again, and what the request has cached may be out of date.
    user = User.objects.filter(pk=request.user.pk, is_active=True).first()
    return Actor(user) if user else None


def actor_of_session(session_key: str | None) -> Actor | None:
    """The actor of a session as it is now; None if it has ended, its password was changed, or its user may not.

    For what lives longer than a request. Touches the database.
    """
    if not session_key:
        return None
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = get_user(request)
    return Actor(user) if isinstance(user, User) else None
