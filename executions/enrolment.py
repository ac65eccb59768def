"""How a machine joins the fleet: an operator makes a token, and the machine exchanges it for the fleet's settings.

What it is told lets it speak to the database, the storage and the broker, as a runner must. So a token is for an
operator to make, works once, and not for long.
"""

import hashlib
import os
import secrets
from collections.abc import Sequence
from datetime import timedelta
from http import HTTPStatus
from urllib.parse import urlsplit

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.actors import Actor
from accounts.refusals import Forbidden, Invalid, Refused
from audit.recording import attempt, recording
from executions.models import Pool, RunnerToken
from robots.manifest import MAX_LABELS, NAME

MOST_MINUTES = 24 * 60
_ABOUT = "rpa_runner_"
#: What of the server's own settings a runner needs as well, where they are set.
_SHARED = (
    *("RPA_DATABASE_URL", "RPA_STORAGE_URL", "RPA_STORAGE_REGION", "RPA_STORAGE_ADDRESSING"),
    *("RPA_REDIS_URL", "RPA_ENGINE", "RPA_BROKER_URL", "RPA_HEARTBEAT_SECONDS", "RPA_RUN_TIMEOUT"),
    *("RPA_CANCEL_GRACE", "RPA_LOG_LIMIT_MIB", "RPA_ARTIFACT_LIMIT_MIB", "RPA_ARTIFACT_COUNT"),
    *("RPA_ARCHIVE_AFTER", "RPA_QUEUE_TIMEOUT", "RPA_SPACE_RUNS", "RPA_ENTERPRISE_RUNS"),
    *("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL"),
)


class NotForSeveral(Refused):
    """The platform keeps its data where only one machine gets at it."""

    code = "one_machine_only"


class UnknownToken(Refused):
    """No such token, or not any more."""

    status = HTTPStatus.NOT_FOUND
    code = "unknown_token"


def issue_token(
    *, pool: str, labels: Sequence[str], minutes: int, by: Actor
) -> tuple[RunnerToken, str]:
    """A new token and its secret, which nobody can read again. For operators."""
    with attempt("runner.invite", by=by, pool=pool):
        if not by.is_operator:
            raise Forbidden(_("Only operators add machines."))
        wrong = next((each for each in (pool, *labels) if NAME.fullmatch(each) is None), None)
        if wrong is not None or len(labels) > MAX_LABELS:
            raise Invalid(
                _("Names are 1 to 40 small letters, digits, dots, dashes and underscores: %(name)s")
                % {"name": wrong or ", ".join(labels)}
            )
        if not 1 <= minutes <= MOST_MINUTES:
            raise Invalid(_("A token is good for 1 to %(most)d minutes.") % {"most": MOST_MINUTES})
        _require_several()
        secret = _ABOUT + secrets.token_urlsafe(32)
        with recording():
            named, _created = Pool.objects.get_or_create(name=pool)
            token = RunnerToken.objects.create(
                digest=_digest_of(secret),
                pool=named,
                labels=sorted(set(labels)),
                created_by=by.user,
                expires_at=timezone.now() + timedelta(minutes=minutes),
            )
    return token, secret


def check_token(secret: str) -> RunnerToken:
    """The token, which may still be redeemed; else UnknownToken."""
    token = RunnerToken.objects.filter(digest=_digest_of(secret), used_at=None).first()
    if token is None or token.expires_at <= timezone.now():
        raise UnknownToken(
            _("This token is unknown, used or expired. Ask an operator for another one.")
        )
    return token


def redeem_token(secret: str, *, address: str) -> dict[str, str]:
    """The settings of a new runner, by the names of their variables. Works once."""
    with attempt("runner.join"), recording():
        token = check_token(secret)
        _require_several()
        unused = RunnerToken.objects.filter(pk=token.pk, used_at=None)
        if not unused.update(used_at=timezone.now(), used_from=address[:64]):
            raise UnknownToken(_("This token was used a moment ago."))
    told = {name: os.environ[name] for name in _SHARED if os.environ.get(name)}
    if settings.RPA_ENGINE == "none":
        del told["RPA_ENGINE"]  # this server carries out no runs; the runner is there to do so
    return {
        **told,
        "RPA_RUNNER_POOL": token.pool.name,
        "RPA_RUNNER_LABELS": ",".join(token.labels),
    }


def only_here() -> list[str]:
    """The names of the settings that a new machine is told, or comes by, and that each machine takes for itself."""
    told = {"RPA_BASE_URL": settings.RPA_BASE_URL}
    told |= {name: os.environ.get(name, "") for name in _SHARED if name.endswith("_URL")}
    return [name for name, value in told.items() if _is_loopback(urlsplit(value).hostname)]


def _is_loopback(host: str | None) -> bool:
    return host is not None and (host in ("localhost", "::1") or host.startswith("127."))


def _require_several() -> None:
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        raise NotForSeveral(
            _("SQLite is for one machine. Set RPA_DATABASE_URL to a MariaDB or MySQL first.")
        )
    if not os.environ.get("RPA_STORAGE_URL"):
        raise NotForSeveral(
            _("Files lie in a folder of this machine. Set RPA_STORAGE_URL to a bucket first.")
        )


def _digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
