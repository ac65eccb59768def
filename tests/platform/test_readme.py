"""What the README tells people to type works as it is printed, on a platform as `make run` starts it."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
SHELL = r"(?ms)^```sh\n(.*?)^```"
SET_UP = ("make run", "make test")


@pytest.fixture
def place() -> Iterator[dict[str, str]]:
    """The environment of a platform that serves with demo data."""
    with tempfile.TemporaryDirectory(prefix="rpa-readme-", ignore_cleanup_errors=True) as folder:
        yield from _served(folder)


def _served(folder: str) -> Iterator[dict[str, str]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RPA_")},
        "DJANGO_SETTINGS_MODULE": "rpa_platform.settings",
        "RPA_DATA_DIR": folder,
        "RPA_BASE_URL": f"http://127.0.0.1:{port}",
        "RPA_SANDBOX_UID_BASE": "2800000",
        "RPA_SLOTS": "4",
    }
    command = [sys.executable, "manage.py", "serve", "--demo", "--port", str(port)]
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        with server.stdout:
            assert any("sample robot is running" in line for line in server.stdout)
            yield environment
    finally:
        server.terminate()
        server.wait(40)


def filled_in(text: str, place: dict[str, str], robot: Path) -> str:
    """The commands with what a reader fills in: the address, the key, the robot, where the file lies."""
    demo = json.loads(
        subprocess.run(
            [sys.executable, "manage.py", "demo", "--json"],
            cwd=ROOT,
            env=place,
            capture_output=True,
            check=True,
        ).stdout
    )
    for pattern, value in {
        r"http://127\.0\.0\.1:8000": place["RPA_BASE_URL"],
        r"(?m)^KEY=\.\.\..*$": f"KEY={demo['api_key']}",
        r"(?m)^ROBOT=\.\.\..*$": f"ROBOT={demo['robots']['hello']}",
        r"greet\.py": str(robot),
        r"\.venv/bin/python": sys.executable,
    }.items():
        text, found = re.subn(pattern, value, text)
        assert found, pattern
    return text


@pytest.mark.skipif(shutil.which("curl") is None, reason="the README's commands use curl")
def test_the_readme_can_be_typed_in(place: dict[str, str], tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    robot = tmp_path / "greet.py"
    source = re.search(r"(?ms)^```python\n(.*?)^```", readme)
    assert source is not None
    robot.write_text(source[1])
    blocks = [each for each in re.findall(SHELL, readme) if not each.startswith(SET_UP)]
    script = filled_in("\n".join(blocks), place, robot)
    typed = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env=place,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert typed.returncode == 0, typed.stderr
    shown = typed.stdout
    assert "API key of alice" in shown
    assert re.search(r"(?m)^event: end$", shown)  # by curl
    assert re.search(r'(?m)^\{"type":"end","status":"COMPLETED"', shown)  # by websocket
    assert shown.count("Hello, Ada!\n") == 2  # by command line: hello, then the reader's own
    assert '[result] {"greeted": "Ada"}' in typed.stderr
