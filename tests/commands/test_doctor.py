"""`manage.py doctor` finds what is not in order, and says how to mend it."""

import json
import os
import subprocess
import sys
import time
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.conf import settings as configured
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts import encryption
from executions.models import Execution, ExecutionEvent, Runner
from executions.sandbox import launch
from spaces.models import SpacePermission
from tests.executions.test_redis_hints import RedisServer
from tests.factories import make_user

pytestmark = pytest.mark.usefixtures("permissions")
_ROOT = Path(__file__).parents[2]


def examined() -> dict[str, list[dict[str, Any]]]:
    """The findings by part, and a failure if one failed: as an operator's script reads them."""
    out = StringIO()
    failure = ""
    try:
        call_command("doctor", "--json", stdout=out)
    except CommandError as error:
        failure = str(error)
    parts: dict[str, list[dict[str, Any]]] = {"failed": [{"what": failure}] if failure else []}
    for finding in json.loads(out.getvalue()):
        parts.setdefault(finding["part"], []).append(finding)
    return parts


def in_a_process(**environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "manage.py", "doctor"],
        cwd=_ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "rpa_platform.settings", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_everything_in_order_is_said_part_by_part() -> None:
    Runner.objects.create(host="here", pid=1, slots=4)
    parts = examined()
    assert parts.pop("failed") == []
    assert set(parts) == {
        *(
            "database",
            "migrations",
            "permissions",
            "second factors",
            "identity provider",
            "storage",
        ),
        *("data folder", "sandbox", "engine", "clock"),
    }
    levels = {name: {each["level"] for each in found} for name, found in parts.items()}
    # The tests' settings start no engine, and a machine may limit robots softly.
    assert levels.pop("engine") == {"warning", "ok"}
    assert "ok" in levels.pop("sandbox")
    assert set.union(*levels.values()) == {"ok"}


def test_without_bubblewrap_the_package_to_install_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(launch, "_TOOL_PATH", str(tmp_path))
    parts = examined()
    assert parts["failed"][0]["what"] == "Not in order: sandbox."
    assert parts["sandbox"][0]["remedy"] == "apt-get install bubblewrap"


def test_a_missing_permission_row_is_named() -> None:
    SpacePermission.objects.filter(permission_key="execution.run").delete()
    assert "execution.run" in examined()["permissions"][0]["what"]


def test_a_row_that_nothing_asks_for_is_refused_too() -> None:
    SpacePermission.objects.create(permission_key="robot.dream")
    parts = examined()
    (found,) = parts["permissions"]
    assert (found["level"], "robot.dream" in found["what"]) == ("failure", True)
    assert "permissions" in parts["failed"][0]["what"]


def test_storage_that_cannot_be_written_fails(settings: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": tmp_path / "file"},
        },
    }
    found = examined()["storage"][0]
    assert (found["level"], "file" in found["what"]) == ("failure", True)


def test_a_key_that_others_can_read_fails() -> None:
    key = Path(configured.RPA_DATA_DIR) / "secret_key"
    mode = key.stat().st_mode & 0o777
    key.chmod(0o644)
    try:
        found = examined()["data folder"][0]
    finally:
        key.chmod(mode)
    assert found["remedy"] == f"Run: chmod 600 {key}"


def test_dead_runners_and_waiting_runs_are_seen(execution: Execution) -> None:
    long_ago = timezone.now() - timedelta(hours=1)
    Runner.objects.create(host="gone", pid=1, slots=4, heartbeat_at=long_ago)
    Execution.objects.update(requested_at=long_ago)
    words = " ".join(each["what"] for each in examined()["engine"])
    assert "No runner is alive" in words
    assert "waits for 3600 s" in words or "waits for 3601 s" in words


@pytest.mark.parametrize("answers", [True, False])
def test_a_broker_is_rung_at(settings: Any, tmp_path: Path, *, answers: bool) -> None:
    from executions.engine.messages import app

    redis = RedisServer(tmp_path)
    settings.RPA_ENGINE, settings.RPA_BROKER_URL = "celery", redis.url
    before, app.conf.broker_url = app.conf.broker_url, redis.url
    if answers:
        redis.start()
    try:
        found = [each for each in examined()["engine"] if "the broker" in each["what"].lower()]
    finally:
        app.conf.broker_url = before
        redis.kill()
    assert [each["level"] for each in found] == ["ok" if answers else "warning"]


def test_an_event_of_the_future_betrays_the_clock(execution: Execution) -> None:
    ahead = int((time.time() + 3600) * 1000)
    ExecutionEvent.objects.filter(execution=execution).update(created=ahead)
    parts = examined()
    assert parts["failed"][0]["what"] == "Not in order: clock."
    assert "in the future" in parts["clock"][0]["what"]


def test_a_new_database_is_told_to_migrate(tmp_path: Path) -> None:
    answer = in_a_process(RPA_DATA_DIR=str(tmp_path), RPA_DATABASE_URL="")
    assert answer.returncode == 1
    assert "Run: manage.py migrate" in answer.stdout
    assert "WARN  engine: Not examined: first the migrations." in answer.stdout
    assert "Traceback" not in answer.stderr


def test_an_unreachable_database_is_named_once(tmp_path: Path) -> None:
    url = "mysql://nobody@127.0.0.1:9/none"
    answer = in_a_process(RPA_DATA_DIR=str(tmp_path), RPA_DATABASE_URL=url)
    assert answer.returncode == 1
    assert "FAIL  database" in answer.stdout
    assert "WARN  migrations: Not examined: first the database." in answer.stdout
    assert "mend RPA_DATABASE_URL" in answer.stdout
    assert "Traceback" not in answer.stderr


def test_a_lost_key_of_the_second_factors_fails(settings: Any) -> None:
    Authenticator.objects.create(
        user=make_user("alice"), type="totp", data={"secret": encryption.encrypt("a secret")}
    )
    assert examined()["second factors"][0]["level"] == "ok"
    settings.RPA_MFA_KEY = "another key of thirty-two characters"
    found = examined()["second factors"][0]
    assert found["level"] == "failure"
    assert found["what"].startswith("1 of 1")
    assert "RPA_MFA_KEY" in found["remedy"]


def test_an_identity_provider_that_does_not_answer_fails(settings: Any) -> None:
    settings.RPA_OIDC_ISSUER = "http://127.0.0.1:9"
    found = examined()["identity provider"][0]
    assert found["level"] == "failure"
    assert "RPA_OIDC_ISSUER" in found["remedy"]
