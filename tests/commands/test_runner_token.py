"""An operator gets one command to copy, by which one machine joins."""

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
