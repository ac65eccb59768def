"""Where somebody acts from, and who it is: set by the doors, read when an entry is written."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from audit.choices import Door


@dataclass(frozen=True)
class Who:
    """A person as the audit names them, and the key or the token by which they came."""

    uid: str = ""
    name: str = ""
    key_prefix: str = ""
    token: str = ""
    #: Of a key that opens nothing any more, the name of whose it was. It proves nobody.
    key_of: str = ""


NOBODY = Who()


def who_is(user: Any, key: Any = None, token: str = "") -> Who:
    """A user and their API key, or what their token is called, if they came by one.

    Whoever is not signed in is nobody.
    """
    if not getattr(user, "is_authenticated", False):
        return NOBODY
    return Who(user.uid, user.get_username(), key.prefix if key else "", token)


@dataclass
class Scene:
    """One request, command or connection."""

    door: Door
    address: str = ""
    #: Asked only where there is something to write: an answer may cost a look into the session.
    ask: Callable[[], Who] = lambda: NOBODY
    who: Who | None = None
    #: Refusals that wait for the end of a request, because its transaction is rolled back.
    waiting: list[Any] = field(default_factory=list)
    #: Whether a refusal has been told of; one request has no more than one.
    refused: bool = False

    def actor(self) -> Who:
        return self.who or self.ask()


_scene: ContextVar[Scene | None] = ContextVar("audit_scene", default=None)


def current() -> Scene | None:
    return _scene.get()


@contextmanager
def scene(opened: Scene) -> Iterator[Scene]:
    """What is written inside comes from there."""
    before = _scene.set(opened)
    try:
        yield opened
    finally:
        _scene.reset(before)


def identified(user: Any, key: Any, token: str = "") -> None:
    """An API key, or a token of that name, has proved who it is."""
    found = _scene.get()
    if found is not None:
        found.who = who_is(user, key, token)


def came_with_dead_key(key: Any) -> None:
    """Nobody is proved by an API key that was revoked, has expired, or whose user was; but it is known which it was."""
    found = _scene.get()
    if found is not None:
        found.who = Who(key_prefix=key.prefix, key_of=key.user.get_username())


def address_of(request: HttpRequest) -> str:
    """The client's address. Behind our own proxy it is the last one that was forwarded."""
    if settings.SECURE_PROXY_SSL_HEADER:
        forwarded = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
        if forwarded:
            return forwarded
    return str(request.META.get("REMOTE_ADDR", ""))
