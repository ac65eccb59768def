"""A machine exchanges its token for the settings of a runner, and keeps them where nobody else reads."""

import stat
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django.live_server_helper import LiveServer

from accounts.actors import Actor
from rpa_platform import configuration
from tests.executions.test_enrolment import URL, operator, several, token

pytestmark = pytest.mark.django_db(transaction=True)
__all__ = ["operator", "several"]


@pytest.fixture
def empty(tmp_path: Path, settings: Any) -> Path:
    settings.BASE_DIR = tmp_path
    return tmp_path


def test_a_machine_joins_by_its_command(
    operator: Actor, live_server: LiveServer, empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", token(operator))
    call_command("join", live_server.url)
    kept = empty / ".env"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    monkeypatch.delenv("RPA_DATABASE_URL")
    configuration.environ.Env.read_env(kept, overwrite=False)
    assert configuration.text("RPA_DATABASE_URL", "") == URL
    with pytest.raises(CommandError, match="is there already"):
        call_command("join", live_server.url)
    kept.unlink()
    with pytest.raises(CommandError, match="unknown, used or expired"):
        call_command("join", live_server.url)
    assert not kept.exists()


@pytest.mark.parametrize("url", ["ftp://host", "http://127.0.0.1:9", "nonsense"])
def test_an_address_at_which_nothing_is_says_so(empty: Path, url: str) -> None:
    with pytest.raises(CommandError, match=r"cannot be reached|no address"):
        call_command("join", url)
