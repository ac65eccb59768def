"""What `manage.py doctor` looks at: each part is really used once, and what is wrong has a remedy."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from uuid import uuid4

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import Error, connection
from django.utils import timezone

from accounts.encryption import is_readable
from accounts.issuer import ProviderAway, issuer
from executions.choices import Status
from executions.models import DEFAULT_POOL, Execution, ExecutionEvent, Runner
from executions.runner.context import RunnerContext
from executions.sandbox import SandboxUnavailable
from rpa_platform.schema import pending_migrations
from spaces.access import missing_permissions, unknown_permissions

_OLDEST = {"mariadb": (10, 11), "mysql": (8, 4)}
_LEAST_FREE = 2**30
#: Clocks that are further apart make times and lifetimes wrong.
_MAX_SKEW = 2.0
_MAX_WAIT = timedelta(minutes=1)


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True)
class Finding:
    """One thing seen, and what to do about it where it is not as it should be."""

    part: str
    level: Level
    what: str
    remedy: str = ""


def examine() -> Iterator[Finding]:
    """Every part in turn; one whose ground is not in order is put off.

    A part that breaks its own examination is a failure, never an exception.
    """
    failed: set[str] = set()
    for part, look, ground in _PARTS:
        if ground in failed:
            failed.add(part)
            yield Finding(part, Level.WARNING, f"Not examined: first the {ground}.")
            continue
        try:
            for seen in look():
                finding = Finding(part, *seen)
                if finding.level is Level.FAILURE:
                    failed.add(part)
                yield finding
        except Exception as error:  # noqa: BLE001 - whatever it is, the operator wants to read it
            failed.add(part)
            yield Finding(part, Level.FAILURE, f"{type(error).__name__}: {error}", _LOOK_AT_IT)


_LOOK_AT_IT = "This is unexpected. Look at the message; the other lines may tell the cause."
Seen = Iterator[tuple[Level, str] | tuple[Level, str, str]]


def _database() -> Seen:
    try:
        connection.ensure_connection()
    except Error as error:
        yield Level.FAILURE, f"It does not answer: {error}", "Start it, or mend RPA_DATABASE_URL."
        return
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA journal_mode")
            mode = cursor.fetchone()[0]
        if mode != "wal":
            remedy = "Put the data folder on a local disk: network folders have no shared memory."
            yield Level.FAILURE, f"SQLite keeps its journal as {mode}, not as WAL.", remedy
            return
        yield Level.OK, "SQLite with a write-ahead log"
        return
    kind = "mariadb" if connection.mysql_is_mariadb else "mysql"  # type: ignore[attr-defined]
    version = connection.get_database_version()
    name = f"{'MariaDB' if kind == 'mariadb' else 'MySQL'} {'.'.join(map(str, version))}"
    if version[:2] < _OLDEST[kind]:
        oldest = ".".join(map(str, _OLDEST[kind]))
        yield Level.FAILURE, f"{name} is too old.", f"Upgrade it to {oldest} or newer."
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@sql_mode, @@character_set_connection, @@max_allowed_packet")
        mode, characters, packet = cursor.fetchone()
    if "STRICT_TRANS_TABLES" not in mode or characters != "utf8mb4":
        yield Level.FAILURE, f"{name} speaks {characters} in mode {mode}.", _LOOK_AT_IT
    if packet < 4 * 2**20:
        remedy = "Set max_allowed_packet=16M in the server's configuration."
        yield Level.WARNING, f"{name} takes packets of {packet} bytes at most.", remedy
    yield Level.OK, f"{name}, strict, utf8mb4"


def _migrations() -> Seen:
    behind = pending_migrations()
    if behind:
        yield Level.FAILURE, f"{len(behind)} are not applied.", "Run: manage.py migrate"
    else:
        yield Level.OK, "all applied"


def _permissions() -> Seen:
    missing = missing_permissions()
    if missing:
        remedy = "Run: manage.py migrate. It adds the default rows that are missing."
        yield Level.FAILURE, f"No row grants: {', '.join(missing)}.", remedy
    unknown = unknown_permissions()
    if unknown:
        remedy = (
            "They are of another version, or put in by hand: delete these rows in the database."
        )
        yield Level.FAILURE, f"Nothing asks for: {', '.join(unknown)}.", remedy
    if not missing and not unknown:
        yield Level.OK, "a row for every permission that the code asks for, and for no other"


def _storage() -> Seen:
    name = default_storage.save(f"doctor/{uuid4().hex}", ContentFile(b"examined"))
    try:
        with default_storage.open(name) as file:
            same = file.read() == b"examined"
    finally:
        default_storage.delete(name)
    if not same:
        yield Level.FAILURE, "What was written is not what is read.", "Check the storage's server."
        return
    yield Level.OK, "written, read and deleted"


def _data_folder() -> Seen:
    folder = Path(settings.RPA_DATA_DIR)
    free = shutil.disk_usage(folder).free
    if free < _LEAST_FREE:
        remedy = "Free some space, or move RPA_DATA_DIR."
        yield Level.WARNING, f"{free // 2**20} MiB are free in {folder}.", remedy
    key = folder / "secret_key"
    if key.exists() and key.stat().st_mode & 0o077:
        yield Level.FAILURE, f"{key} can be read by others.", f"Run: chmod 600 {key}"
    yield Level.OK, f"{folder}, {free / 2**30:.1f} GiB free"


def _second_factors() -> Seen:
    kept = Authenticator.objects.exclude(type=Authenticator.Type.WEBAUTHN).values_list(
        "data", flat=True
    )
    secrets = [each.get("secret") or each.get("seed") or "" for each in kept.iterator()]
    lost = sum(not is_readable(each) for each in secrets)
    if lost:
        remedy = (
            "Set RPA_MFA_KEY, or the secret key, to what it was; or remove them in the admin, under Users, "
            "so that their owners set up new ones."
        )
        yield Level.FAILURE, f"{lost} of {len(secrets)} were encrypted by another key.", remedy
    else:
        yield Level.OK, f"{len(secrets)} encrypted secrets, all by the key of today"


def _identity_provider() -> Seen:
    provider = issuer()
    if provider is None:
        yield Level.OK, "none is configured"
        return
    try:
        provider.configuration()
    except ProviderAway as error:
        remedy = "Check RPA_OIDC_ISSUER: it must be, to the letter, what the provider calls itself."
        yield Level.FAILURE, f"{provider.address}: {error}", remedy
        return
    if provider.address.startswith("http://"):
        remedy = "Use https: whoever is on the way could be anybody."
        yield Level.WARNING, f"{provider.address} is asked without TLS.", remedy
    yield Level.OK, f"{provider.address} answers"


def _sandbox() -> Seen:
    context = RunnerContext.make()
    try:
        probe = context.sandbox.probe()
    except SandboxUnavailable as error:
        yield Level.FAILURE, error.reason, error.remedy
        return
    finally:
        context.sandbox.close()
    for problem in probe.problems:
        yield (Level.WARNING if probe.ok else Level.FAILURE), problem.what, problem.remedy
    if probe.ok:
        yield Level.OK, f"{probe.tier} confines robots; limits by {probe.resources}"


def _engine() -> Seen:
    if settings.RPA_ENGINE == "none":
        remedy = "Set RPA_ENGINE=embedded where runs are to be carried out."
        yield Level.WARNING, "RPA_ENGINE=none: this server carries out no runs.", remedy
    if settings.RPA_ENGINE == "celery":
        yield from _broker()
    now = timezone.now()
    alive = list(Runner.objects.alive())
    for runner in alive:
        yield Level.OK, f"{runner} beats, with {runner.slots} slots"
    if not alive:
        command = "runner" if settings.RPA_ENGINE == "celery" else "serve"
        yield Level.WARNING, "No runner is alive: runs wait.", f"Start one: manage.py {command}"
    waiting = Execution.objects.filter(status=Status.PENDING, runner=None).order_by("pk").first()
    if waiting is not None and waiting.requested_at < now - _MAX_WAIT:
        since = int((now - waiting.requested_at).total_seconds())
        remedy = "More slots (RPA_SLOTS) or more machines carry out more at once."
        yield Level.WARNING, f"The oldest waiting run waits for {since} s.", remedy


def _broker() -> Seen:
    from executions.engine.messages import Publisher  # nobody else pays for Celery

    publisher = Publisher()
    try:
        publisher({DEFAULT_POOL: 0})
    except Exception as error:  # noqa: BLE001 - a broker's client raises errors of many kinds
        remedy = "Start it, or mend RPA_BROKER_URL. Until then runs start half a second later."
        yield Level.WARNING, f"The broker does not answer: {error}", remedy
    else:
        yield Level.OK, f"the broker answers, by {settings.RPA_BROKER_URL.partition(':')[0]}"
    finally:
        publisher.close()


def _clock() -> Seen:
    skews = {"the data folder": _folder_skew(), "the database": _database_skew()}
    wrong = {name: skew for name, skew in skews.items() if abs(skew) > _MAX_SKEW}
    remedy = "Synchronise the clocks: apt-get install chrony"
    for name, skew in wrong.items():
        yield Level.FAILURE, f"The clock of {name} is {skew:+.1f} s off.", remedy
    newest = ExecutionEvent.objects.order_by("-execution_id", "-seq").first()
    ahead = newest.created / 1000 - time.time() if newest else 0.0
    if ahead > _MAX_SKEW:
        yield Level.FAILURE, f"The newest event is {ahead:.0f} s in the future.", remedy
    elif not wrong:
        yield Level.OK, f"{timezone.now():%Y-%m-%d %H:%M:%S} UTC, everywhere the same"


def _folder_skew() -> float:
    with tempfile.NamedTemporaryFile(dir=settings.RPA_DATA_DIR) as file:
        return Path(file.name).stat().st_mtime - time.time()


def _database_skew() -> float:
    if connection.vendor == "sqlite":
        return 0.0
    with connection.cursor() as cursor:
        before = time.time()
        cursor.execute("SELECT UNIX_TIMESTAMP(NOW(6))")
        return float(cursor.fetchone()[0]) - (before + time.time()) / 2


#: Each part with the one that it stands on.
_PARTS: tuple[tuple[str, Callable[[], Seen], str], ...] = (
    ("database", _database, ""),
    ("migrations", _migrations, "database"),
    ("permissions", _permissions, "migrations"),
    ("second factors", _second_factors, "migrations"),
    ("identity provider", _identity_provider, ""),
    ("storage", _storage, ""),
    ("data folder", _data_folder, ""),
    ("sandbox", _sandbox, ""),
    ("engine", _engine, "migrations"),
    ("clock", _clock, "migrations"),
)
