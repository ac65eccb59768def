"""Settings come from the environment, and a wrong one stops the start with its name and what it may be."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from rpa_platform import configuration

NOWHERE = "mysql://root:secret@127.0.0.1:3306/"


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """`start(RPA_X="…")` reads the settings as a new process would, and returns them."""
    for name in list(os.environ):
        if "RPA_" in name:
            monkeypatch.delenv(name)

    def read(**given: str) -> dict[str, Any]:
        monkeypatch.setenv("RPA_DATA_DIR", str(tmp_path))
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        return runpy.run_path(str(settings.BASE_DIR / "rpa_platform" / "settings.py"))

    return read


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("RPA_FREE_SPACES", "x", "Use 0 to 1000000."),
        ("RPA_PRO_SPACES", "x", "Use 0 to 1000000."),
        ("RPA_TEAM_SPACES", "x", "Use 0 to 1000000."),
        ("RPA_ENTERPRISE_SPACES", "x", "Use 0 to 1000000."),
        ("RPA_FREE_USERS", "x", "Use 1 to 1000000."),
        ("RPA_PRO_USERS", "x", "Use 1 to 1000000."),
        ("RPA_TEAM_USERS", "x", "Use 1 to 1000000."),
        ("RPA_ENTERPRISE_USERS", "x", "Use 1 to 1000000."),
        ("RPA_SEARCH_RATE", "often", "is no rate"),
        ("RPA_INVITE_RATE", "0/day", "is no rate"),
        ("RPA_ENGINE", "celery", "Set RPA_BROKER_URL to redis://host:6379/1 or amqp://"),
        ("RPA_BROKER_URL", "kafka://u:p@host", "RPA_BROKER_URL=kafka://host is no broker."),
        ("RPA_BROKER_URL", "amqp://host:port", "the port a number"),
        ("RPA_OPEN_SIGN_UP", "true", "Set RPA_EMAIL_URL as well."),
        ("RPA_REQUIRE_MFA", "some", "Use one of: none, staff, all."),
        ("RPA_MFA_KEY", "short", "Use at least 32 characters."),
        ("RPA_EMAIL_URL", "mail.example.org", "Use smtp+tls://user:password@host:587"),
        ("RPA_EMAIL_URL", "smtp://host/path", "Use smtp+tls://user:password@host:587"),
        ("RPA_EMAIL_URL", "smtp://u:secret@host:x", "RPA_EMAIL_URL is no address."),
        ("RPA_EMAIL_FROM", "nobody", "Use an address: RPA Platform <rpa@example.com>."),
        (
            "RPA_OIDC_ISSUER",
            "casdoor.example.com",
            "Use the address that the provider calls its issuer",
        ),
        (
            "RPA_OIDC_ISSUER",
            "https://u:secret@host",
            "Use the address that the provider calls its issuer",
        ),
        (
            "RPA_OIDC_ISSUER",
            "https://casdoor.example.com",
            "RPA_OIDC_ISSUER needs RPA_OIDC_CLIENT_ID",
        ),
        ("RPA_OIDC_SIGN_UP", "perhaps", "Use true or false."),
        ("RPA_OIDC_GROUPS", "heads=Acme:governor", "Use GROUP=ENTERPRISE:ROLE"),
        ("RPA_OIDC_GROUPS", "heads=1:officer", "Use GROUP=ENTERPRISE:ROLE"),
        ("RPA_SLOTS", "0", "Use 1 to 256."),
        ("RPA_SLOTS", "257", "Use 1 to 256."),
        ("RPA_SLOTS", "many", "is not a whole number. Use 1 to 256."),
        ("RPA_SLOTS", "1.5", "Use 1 to 256."),
        ("RPA_RUNNER_POOL", "Big", "is no name"),
        ("RPA_RUNNER_POOL", "eu,us", "names several"),
        ("RPA_RUNNER_LABELS", "gpu,a b", "is no name"),
        ("RPA_QUEUE_TIMEOUT", "-1", "Use 0 to 2592000."),
        ("RPA_SPACE_RUNS", "-1", "Use 0 to 100000."),
        ("RPA_ENTERPRISE_RUNS", "many", "is not a whole number. Use 0 to 100000."),
        ("RPA_HEARTBEAT_SECONDS", "0", "Use 1 to 60."),
        ("RPA_RUN_TIMEOUT", "86401", "Use 1 to 86400."),
        ("RPA_CANCEL_GRACE", "-1", "Use 0 to 300."),
        ("RPA_DRAIN_SECONDS", "-1", "Use 0 to 86400."),
        ("RPA_ARCHIVE_AFTER", "soon", "Use 0 to 2592000."),
        ("RPA_RETENTION_DAYS", "-7", "Use 0 to 36500."),
        ("RPA_LOG_LIMIT_MIB", "0", "Use 1 to 4096."),
        ("RPA_ARTIFACT_LIMIT_MIB", "0", "Use 1 to 10240."),
        ("RPA_ARTIFACT_COUNT", "x", "Use 1 to 10000."),
        ("RPA_SANDBOX_UID_BASE", "0", "Use 1000 to 2147483648."),
        ("RPA_PING_INTERVAL", "0", "Use 1 to 60."),
        ("RPA_TIMEOUT", "never", "Use 1 to 86400."),
        ("XIAOWU_RPA_PING_INTERVAL", "61", "Use 1 to 60."),
        ("XIAOWU_RPA_TIMEOUT", "never", "Use 1 to 86400."),
        ("RPA_DEBUG", "maybe", "Use true or false."),
        ("RPA_BEHIND_PROXY", "2", "Use true or false."),
        ("RPA_TIMEOUT_CANCELS", "nein", "Use true or false."),
        ("RPA_ENGINE", "steam", "Use one of: embedded, celery, none."),
        ("RPA_LANGUAGE", "xx", "Use one of: en, zh-hans."),
        ("RPA_LOG_LEVEL", "loud", "Use one of: DEBUG, INFO, WARNING, ERROR, CRITICAL."),
        ("RPA_TIME_ZONE", "Mars/Base", "Use a name such as UTC"),
        ("RPA_TIME_ZONE", "../etc/passwd", "Use a name such as UTC"),
        ("RPA_API_RATE", "fast", "Use a number and sec, min, hour or day: 6000/min."),
        ("RPA_SECRET_KEY", "short", "Use at least 32 characters."),
        ("RPA_BASE_URL", "rpa.example.com", "Use https://host or http://host:port"),
        ("RPA_BASE_URL", "https://example.com/rpa", "and nothing after it"),
        ("RPA_BASE_URL", "https://[::1", "Use https://host"),
        ("RPA_ALLOWED_HOSTS", "ok.example.com, https://x.com", "without scheme or port"),
        ("RPA_ALLOWED_HOSTS", "localhost:8000", "without scheme or port"),
        ("RPA_TRUSTED_ORIGINS", "https://x.com,y.com", "Use https://host"),
        ("RPA_DATABASE_URL", "postgres://here/rpa", "Use mysql://"),
        ("RPA_DATABASE_URL", "/var/lib/rpa.db", "sqlite:////folder/file"),
        ("RPA_DATABASE_URL", "sqlite://", "sqlite:////folder/file"),
        ("RPA_DATABASE_URL", NOWHERE, "Use mysql://user:password@host:3306/name"),
        ("RPA_DATABASE_URL", "mysql://root:secret/word@host/rpa", "as %XX"),
        ("RPA_DATABASE_URL", "mysql://root:secret@host:port/rpa", "the port a number"),
        ("RPA_STORAGE_URL", "s3://user:hidden@host", "Use s3://key:secret@host:port/bucket"),
        ("RPA_STORAGE_PUBLIC_URL", "https://host/bucket", "Use https://host or"),
        ("RPA_REDIS_URL", "localhost:6379", "Use redis://host:6379/0"),
        ("RPA_REDIS_URL", "http://user:secret@host/", "Use redis://host:6379/0"),
        ("RPA_DATA_DIR", "/proc/nowhere", "Name a folder that may be written."),
        ("RPA_DATA_DIR", "/sys", "Name a folder that may be written."),
        ("RPA_DATA_DIR", "/dev/null", "Name a folder that may be written."),
    ],
)
def test_a_wrong_value_is_named_with_its_remedy(
    start: Any, name: str, value: str, remedy: str
) -> None:
    with pytest.raises(ImproperlyConfigured) as wrong:
        start(**{name: value})
    said = str(wrong.value)
    assert re.match(rf"{name}\b", said)
    assert remedy in said
    assert "\n" not in said
    assert not {"secret", "hidden"} & set(re.split(r"\W", said.replace("key:secret@", "")))


def test_every_setting_that_can_be_wrong_is_in_the_list() -> None:
    """The readers that check are those of configuration.py; whoever adds a setting adds its wrong value."""
    source = (settings.BASE_DIR / "rpa_platform" / "settings.py").read_text()
    read = set(
        re.findall(r'read(?:_sign_in)?\.(?!text|listed|client_id)\w+\(\s*"(RPA_\w+)"', source)
    )
    [mark] = [
        each
        for each in test_a_wrong_value_is_named_with_its_remedy.pytestmark
        if each.name == "parametrize"
    ]
    assert len(read) > 20
    assert read <= {name for name, _value, _remedy in mark.args[1]}


def manage(data: Path, **given: str) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if "RPA_" not in name}
    clean |= {"DJANGO_SETTINGS_MODULE": "rpa_platform.settings", "RPA_DATA_DIR": str(data)}
    return subprocess.run(
        [sys.executable, "manage.py", "serve"],
        cwd=settings.BASE_DIR,
        env={**clean, **given},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_command_says_it_in_one_line(tmp_path: Path) -> None:
    refused = manage(tmp_path, RPA_SLOTS="0")
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr == "Configuration: RPA_SLOTS=0 is out of range. Use 1 to 256.\n"


def test_nothing_given_is_a_platform_of_this_machine(start: Any, tmp_path: Path) -> None:
    found = start()
    assert found["ALLOWED_HOSTS"] == ["localhost", "127.0.0.1", "[::1]"]
    assert found["RPA_BASE_URL"] == "http://127.0.0.1:8000"
    assert found["DATABASES"]["default"]["NAME"] == tmp_path / "db.sqlite3"
    assert not found["DEBUG"]


def test_an_empty_value_is_the_default(start: Any) -> None:
    source = (settings.BASE_DIR / "rpa_platform" / "settings.py").read_text()
    names = set(re.findall(r'"((?:XIAOWU_)?RPA_\w+)"', source)) - {"RPA_DATA_DIR"}
    names |= {"RPA_DATABASE_URL", "RPA_REDIS_URL", "RPA_STORAGE_URL"}
    plain, empty = start(), start(**dict.fromkeys(names, ""))
    for name in plain:
        if name.isupper():
            assert empty[name] == plain[name], name


def test_a_value_is_taken_as_it_stands(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key or a password may begin with a dollar: it names no other variable."""
    monkeypatch.setenv("HOME_OF_NOBODY", "x")
    key = "$HOME_OF_NOBODY" + "k" * 40
    assert start(RPA_SECRET_KEY=key)["SECRET_KEY"] == key
    assert start(RPA_METRICS_TOKEN="$token")["RPA_METRICS_TOKEN"] == "$token"


def test_lists_may_have_spaces(start: Any) -> None:
    found = start(
        RPA_ALLOWED_HOSTS=" rpa.example.com , .example.org,[::1],*",
        RPA_TRUSTED_ORIGINS="https://*.example.com, http://localhost:3000",
    )
    assert found["ALLOWED_HOSTS"] == ["rpa.example.com", ".example.org", "[::1]", "*"]
    assert found["CSRF_TRUSTED_ORIGINS"] == ["https://*.example.com", "http://localhost:3000"]


def test_tls_is_told_by_the_address(start: Any) -> None:
    plain, secure = start(), start(RPA_BASE_URL="https://rpa.example.com/")
    assert not plain["SESSION_COOKIE_SECURE"]
    assert secure["SESSION_COOKIE_SECURE"]
    assert secure["CSRF_COOKIE_SECURE"]
    assert secure["RPA_BASE_URL"] == "https://rpa.example.com"


def test_a_database_url_may_hold_any_password(start: Any) -> None:
    at = start(RPA_DATABASE_URL="mysql://rpa:p%40ss%2Fw%23rd@db:3307/rpa")["DATABASES"]["default"]
    assert (at["USER"], at["PASSWORD"], at["HOST"], at["PORT"], at["NAME"]) == (
        *("rpa", "p@ss/w#rd", "db", 3307, "rpa"),
    )


def test_sqlite_may_lie_elsewhere(start: Any, tmp_path: Path) -> None:
    at = start(RPA_DATABASE_URL=f"sqlite:///{tmp_path}/other.db")["DATABASES"]["default"]
    assert at["NAME"] == tmp_path / "other.db"


def test_the_older_names_count_and_the_newer_ones_win(start: Any) -> None:
    assert start(XIAOWU_RPA_TIMEOUT="17")["RPA_TIMEOUT"] == 17
    assert start(XIAOWU_RPA_TIMEOUT="17", RPA_TIMEOUT="18")["RPA_TIMEOUT"] == 18


def test_the_key_is_made_once_and_kept(start: Any, tmp_path: Path) -> None:
    first = start()["SECRET_KEY"]
    assert len(first) > 50
    assert start()["SECRET_KEY"] == first
    kept = tmp_path / "secret_key"
    assert kept.stat().st_mode & 0o077 == 0
    kept.write_text("cut")
    with pytest.raises(ImproperlyConfigured, match="holds no key"):
        start()


def test_an_empty_data_folder_is_the_default_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(configuration, "BASE_DIR", tmp_path)
    monkeypatch.setenv("RPA_DATA_DIR", "")
    assert configuration.data_dir() == tmp_path / "var"
