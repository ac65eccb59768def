"""Browsers in which somebody has signed in before: their attempts are counted apart from those of strangers.

So strangers who try an account's passwords from everywhere keep its owner out of none of their own browsers.
The mark opens nothing by itself.
"""

import secrets

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

from accounts.models import User

COOKIE = "known_device"
_SALT = "accounts.devices"
_SECONDS = 180 * 24 * 3600
_LONGEST = 1000


def remember(response: HttpResponse, user: User) -> None:
    """Mark the browser that gets the response as one of this user's."""
    mark = {"account": user.get_username().casefold(), "device": secrets.token_hex(16)}
    response.set_cookie(
        COOKIE,
        signing.dumps(mark, salt=_SALT),
        max_age=_SECONDS,
        httponly=True,
        samesite="Lax",
        secure=settings.SESSION_COOKIE_SECURE,
    )


def known(request: HttpRequest, account: str) -> str | None:
    """Which browser of this account it is, or None for a stranger's."""
    value = request.COOKIES.get(COOKIE, "")
    if not value or len(value) > _LONGEST:
        return None
    try:
        mark = signing.loads(value, salt=_SALT, max_age=_SECONDS)
    except signing.BadSignature:
        return None
    return str(mark["device"]) if mark["account"] == account else None
