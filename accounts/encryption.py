"""Secrets that have to be read again, such as those of second factors: encrypted where they lie.

What is encrypted begins with the mark of its key, so that a lost or changed key is told from a damaged text.
"""

import base64
import hashlib
import hmac

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.utils.translation import gettext as _

from accounts.refusals import Unavailable

_PURPOSE = b"accounts.encryption second factors"


class Unreadable(Unavailable):
    """The key is not the one by which this was encrypted."""

    code = "unreadable_secret"


def encrypt(text: str) -> str:
    key = _key()
    return f"{_mark(key)}:{Fernet(key).encrypt(text.encode()).decode()}"


def decrypt(encrypted: str) -> str:
    """The text, or Unreadable."""
    key = _key()
    mark, _colon, token = encrypted.partition(":")
    try:
        if hmac.compare_digest(mark, _mark(key)):
            return Fernet(key).decrypt(token).decode()
    except InvalidToken:
        pass
    raise Unreadable(
        _("This second factor can no longer be checked here. Use another one, or ask an operator.")
    )


def is_readable(encrypted: str) -> bool:
    """Whether it was encrypted by the key of today."""
    return encrypted.partition(":")[0] == _mark(_key())


def _key() -> bytes:
    """Of RPA_MFA_KEY, or of the secret key where there is none."""
    secret = settings.RPA_MFA_KEY or settings.SECRET_KEY
    return base64.urlsafe_b64encode(hmac.digest(secret.encode(), _PURPOSE, "sha256"))


def _mark(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:8]
