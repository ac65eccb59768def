"""Tokens of the identity provider as credentials of programs: who they are for, and how far they reach."""

import hashlib
import logging
from typing import Any

from django.conf import settings

from accounts import identities
from accounts.actors import Actor
from accounts.issuer import BadToken, header_of, issuer
from accounts.refusals import Forbidden

logger = logging.getLogger(__name__)

#: Scopes of the provider that begin like this are ours: `rpa:robot.view`.
SCOPE_PREFIX = "rpa:"
#: What a token may say that it is. Others, such as those that renew a session or end one, open no door.
_TYPES = {"", "jwt", "at+jwt", "application/at+jwt"}
_USES = {"", "bearer", "id", "access-token", "id-token"}
_LONGEST_NAME = 100


def actor_of_token(token: str) -> Actor | None:
    """The active user that a token of the provider is for, or None where it is none that counts.

    ProviderAway where its keys are needed and cannot be had.
    """
    provider = issuer()
    if provider is None or "." not in token:
        return None
    try:
        kind = header_of(token).get("typ", "")
        claims = provider.verified(token, audiences=settings.RPA_OIDC_AUDIENCES)
        if not _is_credential(kind, claims):
            raise BadToken("The token is made for something else.")
        user = identities.find(identities.subject_of(claims))
    except (BadToken, Forbidden) as error:
        logger.info("A token was refused: %s", error)
        return None
    if user is None or not user.is_active:
        return None
    return Actor(user, token_scopes=_scopes(claims), token=_name_of(token, claims))


def _is_credential(kind: Any, claims: dict[str, Any]) -> bool:
    uses = [claims.get(name, "") for name in ("typ", "tokenType", "token_use")]
    known = all(isinstance(each, str) and each.lower() in _USES for each in uses)
    return known and "events" not in claims and str(kind).lower() in _TYPES


def _name_of(token: str, claims: dict[str, Any]) -> str:
    """What the provider calls the token (`jti`); where it has no name, the beginning of its digest."""
    given = claims.get("jti")
    if isinstance(given, str) and given:
        return given[:_LONGEST_NAME]
    return f"sha256:{hashlib.sha256(token.encode()).hexdigest()[:16]}"


def _scopes(claims: dict[str, Any]) -> frozenset[str] | None:
    """What the `scope` claim limits the token to; None where it speaks of nothing of ours."""
    said = claims.get("scope", claims.get("scp", ""))
    words = said.split() if isinstance(said, str) else said if isinstance(said, list) else []
    ours = [each for each in words if isinstance(each, str) and each.startswith(SCOPE_PREFIX)]
    return frozenset(each.removeprefix(SCOPE_PREFIX) for each in ours) if ours else None
