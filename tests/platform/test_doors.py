"""What the composition adds to the apps: who may open a socket, who may read the data folder."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from channels.testing import WebsocketCommunicator
from django.conf import settings

from accounts.models import ApiKey
from executions.hub import hub
from executions.models import Execution
from rpa_platform.asgi import application

Header = tuple[bytes, bytes]


async def first_frame(execution: Execution, *headers: Header) -> dict[str, object]:
    """What the socket of `execution` says first; the handshake's refusal is a frame of its own."""
    path = f"/ws/executions/{execution.uid}/"
    socket = WebsocketCommunicator(application, path, headers=[(b"host", b"localhost"), *headers])
    accepted, code = await socket.connect(timeout=10)
    if not accepted:
        return {"type": "refused", "code": code}
    frame: dict[str, object] = await socket.receive_output(timeout=10)
    await socket.disconnect()
    return frame


@pytest.fixture
def authorization(execution: Execution) -> Header:
    _key, secret = ApiKey.issue(user=execution.requested_by, name="program")
    return b"authorization", f"Bearer {secret}".encode()


@pytest.mark.django_db(transaction=True)
async def test_a_program_needs_a_key_and_no_origin(
    execution: Execution, authorization: Header
) -> None:
    assert (await first_frame(execution, authorization))["type"] == "websocket.send"
    assert (await first_frame(execution))["code"] == 4401
    hub().close()


@pytest.mark.django_db(transaction=True)
async def test_a_foreign_page_is_refused_even_with_a_key(
    execution: Execution, authorization: Header
) -> None:
    foreign = (b"origin", b"https://evil.example")
    assert (await first_frame(execution, authorization, foreign))["type"] == "refused"


def test_the_database_is_its_owners_alone(tmp_path: Path) -> None:
    place = {"RPA_DATA_DIR": str(tmp_path), "RPA_DATABASE_URL": "", "PATH": os.environ["PATH"]}
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "accounts", "--verbosity", "0"],
        cwd=settings.BASE_DIR,
        env=place,
        check=True,
        timeout=120,
    )
    files = [tmp_path / "db.sqlite3", tmp_path / "secret_key"]
    assert [stat.S_IMODE(each.stat().st_mode) for each in files] == [0o600, 0o600]
