import json
import os
from argparse import ArgumentParser
from http import HTTPStatus
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

_SECONDS = 30


class Command(BaseCommand):
    help = "Fetch the settings of a runner from a platform, for the token in TOKEN, and keep them in .env."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("url", help="the platform's address, such as https://rpa.example.org")

    def handle(self, *, url: str, **options: Any) -> None:
        kept = settings.BASE_DIR / ".env"
        if kept.exists():
            raise CommandError(f"{kept} is there already. Move it away to join another fleet.")
        if not url.startswith(("https://", "http://")):
            raise CommandError(f"{url} is no address. Use https://host or http://host:port.")
        told = _told(url.rstrip("/"), os.environ.get("TOKEN", ""))
        lines = [f"{name}={_quoted(value)}\n" for name, value in told.items() if value]
        with os.fdopen(os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.writelines(lines)
        self.stdout.write("This machine has joined. Start its runner: manage.py runner")


def _told(url: str, token: str) -> dict[str, str]:
    request = Request(  # noqa: S310 - checked by the caller
        f"{url}/runners/join",
        method="POST",
        data=b"",
        headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
    )
    try:
        with urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 - checked by the caller
            found: dict[str, str] = json.load(answer)
    except HTTPError as error:
        if error.code == HTTPStatus.NOT_FOUND:
            raise CommandError(
                "The token is unknown, used or expired. Ask an operator for another one."
            ) from error
        raise CommandError(f"{url} answered {error.code} {error.reason}.") from error
    except (URLError, OSError, ValueError) as error:
        raise CommandError(f"{url} cannot be reached: {error}") from error
    return found


def _quoted(value: str) -> str:
    """As .env is read: in single quotes, in which nothing is special."""
    if "'" in value or "\n" in value:
        raise CommandError("A setting of the platform has a quote or a line break in it.")
    return f"'{value}'"
