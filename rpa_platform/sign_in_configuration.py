"""What the environment says of signing in: e-mail, the identity provider, the key of the second factors."""

import re
from typing import NamedTuple
from urllib.parse import unquote

from django.core.exceptions import ImproperlyConfigured

from rpa_platform.configuration import listed, parts_of, text, without_password

_ROLES = {"governor": 2, "staff": 3}
_ADDRESS = re.compile(r"([^<>\r\n]+ <)?[^@\s<>]+@[^@\s<>]+>?")


class Mail(NamedTuple):
    """How mail is sent: Django's own settings."""

    backend: str = "django.core.mail.backends.dummy.EmailBackend"
    host: str = ""
    port: int = 0
    user: str = ""
    password: str = ""
    starttls: bool = False
    tls: bool = False


def mail(name: str) -> Mail:
    """No mail at all, mail on the standard error (`console:`), or the server that the address names."""
    url = text(name, "")
    if not url:
        return Mail()
    if url.rstrip(":/") == "console":
        return Mail("django.core.mail.backends.console.EmailBackend")
    parts = parts_of(name, url)
    ports = {"smtp": 25, "smtp+tls": 587, "smtp+ssl": 465}
    if parts.scheme not in ports or not parts.hostname or parts.path.strip("/"):
        raise ImproperlyConfigured(
            f"{name}={without_password(parts)} is no mail server. Use smtp+tls://user:password@host:587, "
            "smtp+ssl:// or smtp://, or console: to see mail on the standard error."
        )
    return Mail(
        "django.core.mail.backends.smtp.EmailBackend",
        parts.hostname,
        parts.port or ports[parts.scheme],
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        parts.scheme == "smtp+tls",
        parts.scheme == "smtp+ssl",
    )


def sender(name: str, *, needed: bool) -> str:
    value = text(name, "")
    if (needed or value) and _ADDRESS.fullmatch(value) is None:
        raise ImproperlyConfigured(
            f"{name}={value!r} is no sender. Use an address: RPA Platform <rpa@example.com>."
        )
    return value


def check_open_sign_up(allowed: bool, mail_url: str) -> None:
    """Who signs up proves an address by mail; without that, anybody could take anybody's."""
    if allowed and not mail_url:
        raise ImproperlyConfigured("RPA_OPEN_SIGN_UP needs e-mail. Set RPA_EMAIL_URL as well.")


def encryption_key(name: str) -> str:
    value = text(name, "")
    if value and len(value) < 32:
        raise ImproperlyConfigured(f"{name} is too short. Use at least 32 characters.")
    return value


def issuer(name: str) -> str:
    """The provider's address exactly as its tokens say it in `iss`: a slash at its end counts."""
    value = text(name, "")
    parts = parts_of(name, value)
    wrong = parts.scheme not in {"http", "https"} or not parts.hostname or parts.username
    if value and (wrong or parts.query or parts.fragment):
        raise ImproperlyConfigured(
            f"{name}={without_password(parts)} is no issuer. Use the address that the provider calls "
            "its issuer, such as https://casdoor.example.com."
        )
    return value


def client_id(name: str, *, needed: bool) -> str:
    value = text(name, "")
    if needed and not value:
        raise ImproperlyConfigured(
            f"RPA_OIDC_ISSUER needs {name}: what the provider calls this client."
        )
    return value


def group_roles(name: str) -> tuple[tuple[str, int, int], ...]:
    """Groups of the provider as (group, enterprise, role). The office of the officer is nobody's by a group."""
    found = []
    for each in listed(name, []):
        match = re.fullmatch(r"(.+)=([1-9][0-9]{0,17}):(governor|staff)", each)
        if match is None:
            raise ImproperlyConfigured(
                f"{name}: {each!r} maps no group. Use GROUP=ENTERPRISE:ROLE such as acme/admins=1:governor, "
                "the enterprise by its number and the role governor or staff."
            )
        found.append((match[1], int(match[2]), _ROLES[match[3]]))
    return tuple(found)
