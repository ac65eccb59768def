"""Machines join the fleet by a token that an operator makes: once, soon, and not where only one machine can be."""

import http.server
import io
import os
import subprocess
import tarfile
import threading
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.actors import Actor
from accounts.models import User
from accounts.refusals import Forbidden, Invalid
from audit.models import Entry
from executions import enrolment
from executions.enrolment import NotForSeveral, UnknownToken, issue_token, redeem_token
from executions.models import RunnerToken
from tests.executions.threads import together
from tests.factories import make_user

pytestmark = pytest.mark.django_db(transaction=True)

URL = "mysql://rpa:p%40ss@db.example.org:3306/rpa"
BUCKET = "s3://key:secret@s3.example.org/robots"


@pytest.fixture
def operator(db: None) -> Actor:
    return Actor(make_user("root", is_superuser=True, is_staff=True))


@pytest.fixture(autouse=True)
def several(monkeypatch: pytest.MonkeyPatch) -> None:
    """A platform whose data several machines can get at."""
    monkeypatch.setattr(enrolment, "_require_several", lambda: None)
    monkeypatch.setenv("RPA_DATABASE_URL", URL)
    monkeypatch.setenv("RPA_STORAGE_URL", BUCKET)


def token(operator: Actor, **more: Any) -> str:
    wanted = {"pool": "eu", "labels": ["gpu", "chromium"], "minutes": 15, **more}
    return issue_token(**wanted, by=operator)[1]


def test_a_machine_is_told_what_a_runner_needs_and_nothing_else(operator: Actor) -> None:
    told = redeem_token(token(operator), address="10.0.0.7")
    assert told["RPA_DATABASE_URL"] == URL
    assert told["RPA_STORAGE_URL"] == BUCKET
    assert told["RPA_RUNNER_POOL"] == "eu"
    assert told["RPA_RUNNER_LABELS"] == "chromium,gpu"
    assert not {"RPA_SECRET_KEY", "RPA_METRICS_TOKEN", "RPA_DATA_DIR"} & told.keys()
    kept = RunnerToken.objects.get()
    assert kept.used_from == "10.0.0.7"


def test_a_token_works_once_however_many_come_with_it(operator: Actor) -> None:
    secret = token(operator)
    answers = together(*[partial(redeem_token, secret, address="")] * 4)
    assert sum(isinstance(each, dict) for each in answers) == 1
    assert sum(isinstance(each, UnknownToken) for each in answers) == 3


@pytest.mark.parametrize("secret", ["", "rpa_runner_x", "\u4e2d\ud800"])
def test_what_is_no_token_is_refused(operator: Actor, secret: str) -> None:
    with pytest.raises(UnknownToken):
        redeem_token(secret, address="")


def test_a_token_is_good_for_its_minutes(operator: Actor) -> None:
    secret = token(operator)
    RunnerToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(UnknownToken):
        redeem_token(secret, address="")


def test_nobody_but_an_operator_adds_machines(people: dict[str, User]) -> None:
    with pytest.raises(Forbidden):
        token(Actor(people["alice"]))
    assert not RunnerToken.objects.exists()


@pytest.mark.parametrize(
    "wrong", [{"pool": "E U"}, {"labels": ["x" * 41]}, {"minutes": 0}, {"minutes": 1441}]
)
def test_a_token_that_makes_no_sense_is_refused(operator: Actor, wrong: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        token(operator, **wrong)


def test_a_platform_of_one_machine_takes_no_other(
    operator: Actor, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    monkeypatch.undo()
    monkeypatch.delenv("RPA_STORAGE_URL", raising=False)
    with pytest.raises(NotForSeveral):
        token(operator)


def test_the_audit_knows_and_keeps_no_secret(operator: Actor) -> None:
    secret = token(operator)
    redeem_token(secret, address="10.0.0.7")
    told = "".join(str(entry.__dict__) for entry in Entry.objects.all())
    assert {"runner.invite", "runner.join"} <= set(Entry.objects.values_list("action", flat=True))
    assert secret not in told
    assert enrolment._digest_of(secret) not in told


# Over the network --------------------------------------------------------------------------------


def test_the_sources_are_for_who_has_a_token_and_hold_no_data(operator: Actor) -> None:
    client = Client()
    assert client.get("/runners/sources.tar.gz").status_code == 404
    header = {"Authorization": f"Bearer {token(operator)}"}
    answer = client.get("/runners/sources.tar.gz", headers=header)
    packed = io.BytesIO(b"".join(answer.streaming_content))  # type: ignore[arg-type]
    with tarfile.open(fileobj=packed) as archive:
        names = set(archive.getnames())
    assert {"manage.py", "Makefile", "scripts/setup.sh", "executions/tickets.py"} <= names
    assert not any(name.startswith(("var/", ".env", ".git", ".venv", "tests/")) for name in names)
    # Fetching them does not use the token up: the settings are still to come.
    assert client.post("/runners/join", headers=header).status_code == 200
    assert client.get("/runners/sources.tar.gz", headers=header).status_code == 404


def test_the_script_holds_no_secret_and_takes_the_token_from_its_variable(operator: Actor) -> None:
    secret = token(operator)
    answer = Client().get("/runners/join.sh")
    assert answer.status_code == 200
    assert secret not in answer.content.decode()
    assert b"Bearer $TOKEN" in answer.content


class _Refusing(http.server.BaseHTTPRequestHandler):
    """The platform, to a machine whose token is not good any more; or when it is not well itself."""

    status = 404

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_told: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("status", "words"), [(404, "unknown, used or expired"), (503, "answered 503")]
)
def test_the_script_says_why_it_gives_up_and_leaves_nothing(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch, status: int, words: str
) -> None:
    monkeypatch.setattr(_Refusing, "status", status)
    with http.server.HTTPServer(("127.0.0.1", 0), _Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings.RPA_BASE_URL = f"http://127.0.0.1:{server.server_port}"
        folder = tmp_path / "runner"
        ended = subprocess.run(
            ["sh"],
            input=Client().get("/runners/join.sh").content,
            env={**os.environ, "TOKEN": "rpa_runner_old", "RPA_FOLDER": str(folder)},
            capture_output=True,
            timeout=60,
            check=False,
        )
        server.shutdown()
    assert (ended.returncode, words in ended.stderr.decode()) == (1, True), ended.stderr
    assert not list(folder.iterdir())
