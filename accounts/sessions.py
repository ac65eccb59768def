"""The sessions of a user: where they are signed in, since when, and how they are ended."""

import time
from collections.abc import Iterable

from allauth.account.adapter import get_adapter
from allauth.usersessions.models import UserSession
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from audit.recording import tell
from audit.scenes import who_is

#: What a session remembers of when it was last noted, and how old that may be.
_SEEN = "seen_at"
_NOTED_EVERY = 5 * 60
#: One user has no more; the oldest ones end.
MOST = 50
_BROWSERS = ("Edg", "OPR", "Firefox", "Chrome", "Safari")
_NAMES = {"Edg": "Edge", "OPR": "Opera"}
_SYSTEMS = ("Windows", "Android", "iPhone", "iPad", "Mac OS", "Linux")


def opened(request: HttpRequest, user: User) -> None:
    """A sign-in has begun a session."""
    request.session[_SEEN] = int(time.time())
    key = request.session.session_key
    if key is None:
        return
    agent = request.headers.get("User-Agent", "")[:200]
    try:
        with transaction.atomic():
            UserSession.objects.create(
                user=user,
                session_key=key,
                ip=get_adapter().get_client_ip(request),
                user_agent=agent,
            )
    except IntegrityError:
        return
    surplus = UserSession.objects.filter(user=user).order_by("-pk")[MOST : 2 * MOST]
    for session in surplus:
        session.end()


def note_use(request: HttpRequest) -> None:
    """Remember that, and from where, the session was used: to five minutes, for a write each is too much."""
    seen = request.session.get(_SEEN)
    now = int(time.time())
    if not isinstance(seen, int) or 0 <= now - seen < _NOTED_EVERY:
        return
    request.session[_SEEN] = now
    UserSession.objects.filter(session_key=request.session.session_key).update(
        last_seen_at=timezone.now(), ip=get_adapter().get_client_ip(request)
    )


def closed(request: HttpRequest) -> None:
    """Signed out."""
    key = request.session.session_key
    if key is not None:
        UserSession.objects.filter(session_key=key).delete()


def of(user: User) -> list[UserSession]:
    """Those that are alive, the one used last first."""
    found = UserSession.objects.filter(user=user).order_by("-last_seen_at")[:MOST]
    return [session for session in found if not session.purge()]


def end(user: User, sessions: Iterable[UserSession], *, by: User) -> int:
    """End these of the user's sessions, with everything that is watched in them; returns how many."""
    ended = 0
    for session in sessions:
        session.end()
        ended += 1
    if ended:
        tell("session.end", who=who_is(by), on=user, sessions=ended)
    return ended


def end_all(user: User, *, by: User) -> int:
    return end(user, UserSession.objects.filter(user=user), by=by)


def others(request: HttpRequest, user: User) -> list[UserSession]:
    return list(
        UserSession.objects.filter(user=user).exclude(session_key=request.session.session_key)
    )


def device_of(agent: str) -> str:
    """A browser's long name, as far as a person knows it."""
    browser = next((each for each in _BROWSERS if f"{each}/" in agent), "")
    system = next((each for each in _SYSTEMS if each in agent), "")
    names = [_NAMES.get(browser, browser), system]
    return ", ".join(name for name in names if name) or _("Unknown device")
