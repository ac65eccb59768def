"""An operator gets one command to copy, by which one machine joins."""

from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.actors import Actor
from executions.enrolment import redeem_token
from tests.executions.test_enrolment import operator, several

pytestmark = pytest.mark.django_db(transaction=True)
__all__ = ["operator", "several"]


def test_the_command_prints_what_to_copy(
    operator: Actor, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("runner_token", "--pool", "eu", "--label", "gpu", "--minutes", "5")
    printed = capsys.readouterr().out
    assert printed.startswith("curl -fsS '")
    secret = printed.split("TOKEN=")[1].split()[0]
    assert redeem_token(secret, address="")["RPA_RUNNER_LABELS"] == "gpu"
    with pytest.raises(CommandError):
        call_command("runner_token", "--minutes", "0")


def test_it_warns_of_addresses_that_no_other_machine_reaches(
    operator: Actor,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings.RPA_BASE_URL = "https://rpa.example.org"
    call_command("runner_token")
    assert capsys.readouterr().err == ""
    settings.RPA_BASE_URL = "http://localhost:8000"
    monkeypatch.setenv("RPA_STORAGE_URL", "s3+http://key:secret@127.0.0.1:8333/robots")
    call_command("runner_token")
    told = capsys.readouterr()
    assert [line.split()[0] for line in told.err.splitlines()] == [
        "RPA_BASE_URL",
        "RPA_STORAGE_URL",
    ]
    assert told.out.startswith("curl "), "What is copied is as before."
