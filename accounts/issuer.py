"""The identity provider: where its parts are, its keys, and whether a token is one of its own.

What it publishes is kept for a while, and asked for anew at most twice a minute: a flood of made-up tokens
costs it nothing, and neither does one that is down cost every request its patience.
"""

import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import jwt
import requests
from django.conf import settings
from django.utils.translation import gettext as _
from jwt.algorithms import get_default_algorithms

from accounts.refusals import Unavailable

#: Signatures by public keys. With HS256, whoever reads the keys could sign.
ALGORITHMS = {
    "RS256": "RSA", "RS384": "RSA", "RS512": "RSA",
    "PS256": "RSA", "PS384": "RSA", "PS512": "RSA",
    "ES256": "EC", "ES384": "EC", "ES512": "EC",
    "EdDSA": "OKP",
}  # fmt: skip
_LEEWAY_SECONDS = 30
_KEPT_SECONDS = 3600
#: How long what cannot be renewed is still used.
_STALE_SECONDS = 24 * 3600
_PAUSE_SECONDS = 30
_PATIENCE_SECONDS = 5
_LONGEST_DOCUMENT = 2**20
_MOST_KEYS = 100


class BadToken(Exception):
    """Not a token of the provider that counts here and now. The text is for the log and the audit."""


class ProviderAway(Unavailable):
    code = "identity_provider_unavailable"


@dataclass
class _Document:
    """Something that the provider publishes at an address."""

    content: dict[str, Any] | None = None
    fetched_at: float = 0.0
    tried_at: float = float("-inf")
    lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, url: str, *, renew: bool = False) -> dict[str, Any]:
        """As it was an hour ago at most; `renew` asks for it now, if that was not done just before."""
        # Who can do with what there is does not wait for who asks.
        if self._due(renew) and self.lock.acquire(blocking=renew or self.content is None):
            try:
                if self._due(renew):
                    self._renew(url)
            finally:
                self.lock.release()
        if self.content is None or time.monotonic() - self.fetched_at > _STALE_SECONDS:
            raise ProviderAway(_("The identity provider does not answer. Try again in a minute."))
        return self.content

    def _due(self, renew: bool) -> bool:
        now = time.monotonic()
        old = renew or self.content is None or now - self.fetched_at > _KEPT_SECONDS
        return old and now - self.tried_at > _PAUSE_SECONDS

    def _renew(self, url: str) -> None:
        fetched = _fetch(url)
        self.tried_at = time.monotonic()
        if fetched is not None:
            self.content, self.fetched_at = fetched, self.tried_at


def _fetch(url: str) -> dict[str, Any] | None:
    """The JSON object at `url`, or None, whatever is wrong with it."""
    try:
        with requests.get(url, timeout=_PATIENCE_SECONDS, stream=True) as response:
            response.raise_for_status()
            found = json.loads(response.raw.read(_LONGEST_DOCUMENT, decode_content=True))
    except (requests.RequestException, OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


class Issuer:
    """One provider, by the address that it calls itself."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._configuration = _Document()
        self._keys = _Document()

    def configuration(self) -> dict[str, Any]:
        """What it says of itself; it must be the one that was asked for, and name all that is needed."""
        url = f"{self.address.rstrip('/')}/.well-known/openid-configuration"
        found = self._configuration.read(url)
        needed = ("authorization_endpoint", "token_endpoint", "jwks_uri")
        missing = [name for name in needed if not _is_address(found.get(name))]
        if found.get("issuer") != self.address or missing:
            raise ProviderAway(
                _(
                    "The identity provider says that it is another one, or does not say where its parts are."
                )
            )
        return found

    def verified(
        self, token: str, *, audiences: list[str], nonce: str | None = None
    ) -> dict[str, Any]:
        """The claims of a token that this provider has made for one of `audiences`, or BadToken.

        With `nonce`, the token must have that one. The network is asked only for what has the form of a
        token and names an algorithm of public keys.
        """
        header = header_of(token)
        key = self._key(header)
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key=key,
                algorithms=[header["alg"]],
                issuer=self.address,
                audience=audiences,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"], "verify_iat": True},
            )
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError) as error:
            raise BadToken(str(error)) from None
        if nonce is not None and claims.get("nonce") != nonce:
            raise BadToken("The nonce is another one.")
        return claims

    def _key(self, header: dict[str, Any]) -> Any:
        url = self.configuration()["jwks_uri"]
        for renew in (False, True):
            for each in _usable(self._keys.read(url, renew=renew), header):
                return each
        raise BadToken("The provider has no such key.")


def header_of(token: str) -> dict[str, Any]:
    """The header of what has the form of a signed token, or BadToken."""
    if len(token) > 16_384 or not token.isascii() or token.count(".") != 2:
        raise BadToken("This has not the form of a token.")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise BadToken("This has not the form of a token.") from None
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise BadToken("The token names no algorithm of public keys.")
    if not isinstance(header.get("kid", ""), str) or "crit" in header:
        raise BadToken("The token's header is not understood.")
    return header


def _usable(published: dict[str, Any], header: dict[str, Any]) -> list[Any]:
    """Those of the published keys that may have signed a token with this header."""
    algorithm, kid = header["alg"], header.get("kid")
    listed = published.get("keys")
    found = []
    for each in listed[:_MOST_KEYS] if isinstance(listed, list) else []:
        if not isinstance(each, dict) or each.get("kty") != ALGORITHMS[algorithm]:
            continue
        if each.get("use", "sig") != "sig" or each.get("alg", algorithm) != algorithm:
            continue
        if kid is not None and each.get("kid") != kid:
            continue
        try:
            found.append(get_default_algorithms()[algorithm].from_jwk(each))
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            continue
    # Without a name, only a key that is alone can be meant.
    return found if kid is not None or len(found) == 1 else []


def _is_address(value: Any) -> bool:
    try:
        return isinstance(value, str) and urlsplit(value).scheme in {"http", "https"}
    except ValueError:
        return False


_known: dict[str, Issuer] = {}


def issuer() -> Issuer | None:
    """The configured provider, or None."""
    address: str = settings.RPA_OIDC_ISSUER
    if not address:
        return None
    return _known.setdefault(address, Issuer(address))
