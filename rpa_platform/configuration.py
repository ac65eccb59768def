"""What the environment says, read once, checked, and named in the error when it is wrong.

Every setting of the platform is an environment variable (or a line of `.env`); the table in
docs/configuration.md lists them. A wrong value stops the start with its name and its remedy.
"""

import os
import re
import secrets
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

_ORIGIN = re.compile(r"https?://(\*\.)?([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", re.IGNORECASE)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_HOST = re.compile(r"\*|\.?[a-z0-9._-]+|\[[0-9a-f:.]+\]", re.IGNORECASE)

environ.Env.read_env(BASE_DIR / ".env")


def text(name: str, default: str) -> str:
    """The value as it stands there. An empty one is as good as none, for every setting."""
    return os.environ.get(name) or default


def listed(name: str, default: list[str]) -> list[str]:
    """The items between commas, without blanks around them."""
    return [item.strip() for item in text(name, ",".join(default)).split(",") if item.strip()]


def hosts(name: str, default: list[str]) -> list[str]:
    """Host names without port, as Django compares them."""
    found = listed(name, default)
    for host in found:
        if _HOST.fullmatch(host) is None:
            raise ImproperlyConfigured(
                f"{name}: {host!r} is no host. Use names such as rpa.example.com, without scheme or port."
            )
    return found


def origins(name: str, default: list[str]) -> list[str]:
    found = listed(name, default)
    for each in found:
        _check_origin(name, each)
    return found


def origin(name: str, default: str) -> str:
    value = text(name, default).rstrip("/")
    if value:
        _check_origin(name, value)
    return value


def _check_origin(name: str, value: str) -> None:
    if _ORIGIN.fullmatch(value) is None:
        raise ImproperlyConfigured(
            f"{name}: {value!r} is no address. Use https://host or http://host:port, and nothing after it."
        )


def switch(name: str, *, default: bool) -> bool:
    value = text(name, str(default)).strip().lower()
    if value not in {"true", "1", "yes", "on", "false", "0", "no", "off"}:
        raise ImproperlyConfigured(f"{name}={value!r} is not a switch. Use true or false.")
    return value in {"true", "1", "yes", "on"}


def number(name: str, default: int, *, least: int, most: int, alias: str = "") -> int:
    """A whole number within its limits; `alias` is an older name that operators still have."""
    if not os.environ.get(name) and os.environ.get(alias):
        name = alias
    value = text(name, str(default))
    try:
        found = int(value)
    except ValueError:
        raise ImproperlyConfigured(
            f"{name}={value!r} is not a whole number. Use {least} to {most}."
        ) from None
    if not least <= found <= most:
        raise ImproperlyConfigured(f"{name}={found} is out of range. Use {least} to {most}.")
    return found


def choice(name: str, default: str, allowed: tuple[str, ...]) -> str:
    value = text(name, default)
    if value not in allowed:
        raise ImproperlyConfigured(
            f"{name}={value!r} is unknown. Use one of: {', '.join(allowed)}."
        )
    return value


def names(name: str, default: list[str]) -> list[str]:
    """What pools and labels are called, as robots ask for them."""
    found = listed(name, default)
    for each in found:
        if _NAME.fullmatch(each) is None:
            raise ImproperlyConfigured(
                f"{name}: {each!r} is no name. Use 1 to 40 small letters, digits, dots, dashes and underscores."
            )
    return found


def one_name(name: str, default: str) -> str:
    found = names(name, [default])
    if len(found) > 1:
        raise ImproperlyConfigured(f"{name} names several: {', '.join(found)}. Use one of them.")
    return found[0]


def time_zone(name: str, default: str) -> str:
    value = text(name, default)
    try:
        ZoneInfo(value)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise ImproperlyConfigured(
            f"{name}={value!r} is no time zone. Use a name such as UTC or Asia/Shanghai."
        ) from None
    return value


def rate(name: str, default: str) -> str:
    """So many in a period, as REST framework's throttles read it."""
    value = text(name, default)
    if re.fullmatch(r"[1-9][0-9]{0,9}/(sec|min|hour|day)", value) is None:
        raise ImproperlyConfigured(
            f"{name}={value!r} is no rate. Use a number and sec, min, hour or day: {default}."
        )
    return value


def data_dir() -> Path:
    """The one folder that holds all state, made if missing; what lies in it cannot be listed by others."""
    folder = Path(text("RPA_DATA_DIR", "") or BASE_DIR / "var").expanduser()
    folder = folder if folder.is_absolute() else BASE_DIR / folder
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o711)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ImproperlyConfigured(
            f"RPA_DATA_DIR={folder} cannot be used: {error.strerror}. Name a folder that may be written."
        ) from None
    return folder


def secret_key(folder: Path) -> str:
    """The signing key: RPA_SECRET_KEY, or one that is made once and kept in the data folder."""
    given = text("RPA_SECRET_KEY", "")
    if given:
        if len(given) < 32:
            raise ImproperlyConfigured("RPA_SECRET_KEY is too short. Use at least 32 characters.")
        return given
    kept = folder / "secret_key"
    try:
        # Exclusive creation: two processes that start together must not each make a key.
        with os.fdopen(os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(64))
    except FileExistsError:
        pass
    try:
        found = kept.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"{kept} cannot be read: {error.strerror}. Run this as the user who owns it."
        ) from None
    if len(found) < 32:
        raise ImproperlyConfigured(f"{kept} holds no key. Delete it, and a new one is made.")
    return found


def database(folder: Path) -> dict[str, Any]:
    """SQLite in the data folder, or what RPA_DATABASE_URL (mysql://user:pass@host/name) names."""
    url = text("RPA_DATABASE_URL", "")
    if not url:
        return _sqlite(folder / "db.sqlite3")
    parts = parts_of("RPA_DATABASE_URL", url)
    if parts.scheme == "sqlite" and len(parts.path) > 2 and parts.path.startswith("//"):
        return _sqlite(Path(environ.Env.db_url_config(url)["NAME"]))
    if parts.scheme != "mysql" or not parts.path.strip("/"):
        raise ImproperlyConfigured(
            f"RPA_DATABASE_URL={without_password(parts)} names no database. Use "
            "mysql://user:password@host:3306/name (MariaDB 10.11 or MySQL 8.4), "
            "sqlite:////folder/file, or leave it empty for SQLite in the data folder."
        )
    return {
        **environ.Env.db_url_config(url),
        "ENGINE": "django.db.backends.mysql",
        # Threads last, and so do their connections; one that the server has dropped is replaced.
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "charset": "utf8mb4",
            "sql_mode": "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION",
            "isolation_level": "read committed",
            "init_command": "SET default_storage_engine=InnoDB",
        },
        "TEST": {"CHARSET": "utf8mb4", "COLLATION": "utf8mb4_unicode_ci"},
    }


def storage(folder: Path, public_url: str) -> dict[str, Any]:
    """The folder, or the bucket that RPA_STORAGE_URL (s3://key:secret@host/bucket/prefix) names."""
    url = text("RPA_STORAGE_URL", "")
    if not url:
        modes = {"file_permissions_mode": 0o600, "directory_permissions_mode": 0o700}
        return {
            "BACKEND": "resources.storage.Folder",
            "OPTIONS": {"location": folder / "storage", **modes},
        }
    parts = parts_of("RPA_STORAGE_URL", url)
    bucket, _slash, prefix = parts.path.strip("/").partition("/")
    if parts.scheme not in {"s3", "s3+http"} or not parts.hostname or not bucket:
        raise ImproperlyConfigured(
            f"RPA_STORAGE_URL={without_password(parts)} names no bucket. Use "
            "s3://key:secret@host:port/bucket/prefix (s3+http:// without TLS), or leave it empty for a "
            "folder in the data folder."
        )
    scheme = "http" if parts.scheme == "s3+http" else "https"
    options = {
        "endpoint_url": f"{scheme}://{parts.netloc.rpartition('@')[2]}",
        "bucket_name": bucket,
        "location": prefix,
        # Without them, those of the machine are used, as Amazon's libraries find them.
        "access_key": unquote(parts.username) if parts.username else None,
        "secret_key": unquote(parts.password) if parts.password else None,
        "region_name": text("RPA_STORAGE_REGION", "us-east-1"),
        "addressing_style": choice("RPA_STORAGE_ADDRESSING", "path", ("path", "virtual")),
        "public_url": public_url,
    }
    return {"BACKEND": "resources.s3.Bucket", "OPTIONS": options}


def redis_url() -> str:
    """RPA_REDIS_URL (redis://host:6379/0, or rediss:// with TLS), or nothing."""
    url = text("RPA_REDIS_URL", "")
    if url and parts_of("RPA_REDIS_URL", url).scheme not in {"redis", "rediss", "unix"}:
        raise ImproperlyConfigured(
            f"RPA_REDIS_URL={without_password(urlsplit(url))} is no Redis. Use redis://host:6379/0, "
            "rediss:// or unix://, or leave it empty where one process does everything."
        )
    return url


def broker_url(engine: str) -> str:
    """RPA_BROKER_URL (redis://host:6379/1 or amqp://user:password@host:5672/vhost), which the engine `celery` needs."""
    url = text("RPA_BROKER_URL", "")
    schemes = {"redis", "rediss", "redis+socket", "amqp", "amqps"}
    if url and parts_of("RPA_BROKER_URL", url).scheme not in schemes:
        raise ImproperlyConfigured(
            f"RPA_BROKER_URL={without_password(urlsplit(url))} is no broker. Use redis://host:6379/1 or "
            "amqp://user:password@host:5672/vhost (rediss:// or amqps:// with TLS)."
        )
    if engine == "celery" and not url:
        raise ImproperlyConfigured(
            "RPA_ENGINE=celery needs a broker. Set RPA_BROKER_URL to redis://host:6379/1 or "
            "amqp://user:password@host:5672/vhost."
        )
    return url


def parts_of(name: str, url: str) -> SplitResult:
    """The parts of an address. What is wrong with it is not repeated: it may hold a password."""
    try:
        parts = urlsplit(url)
        _read = parts.port  # only now it is looked at
    except ValueError:
        raise ImproperlyConfigured(
            f"{name} is no address. Use scheme://user:password@host:port/name, the port a number and "
            "special characters of the password as %XX."
        ) from None
    return parts


def without_password(parts: SplitResult) -> str:
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _sqlite(path: Path) -> dict[str, Any]:
    if path.parent.is_dir() and not path.exists():
        # SQLite would make it readable for every user of the machine, and its journals after it.
        path.touch(mode=0o600)
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            # A deferred transaction that upgrades ignores the busy timeout: take the lock at once.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; "
            "PRAGMA mmap_size=134217728; PRAGMA cache_size=-16000",
        },
        "TEST": {"NAME": str(path.with_name(f"test-{path.name}"))},
    }
