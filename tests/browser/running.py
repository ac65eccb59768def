"""A whole platform for full-page tests: a server process of its own with its own data."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def package(
    code: str, *, parameters: dict[str, Any] | None = None, tasks: Sequence[str] = ("Main",)
) -> bytes:
    """A robot's zip: `code` as each of its tasks, with the parameters that it declares."""
    described = {
        "tasks": {name: {"shell": "python main.py"} for name in tasks},
        "artifactsDir": "output",
        "rpa": {"description": "A robot of the tests.", "parameters": parameters or {}},
    }
    if not parameters:
        del described["rpa"]["parameters"]  # type: ignore[attr-defined]
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("robot.yaml", json.dumps(described))
        archive.writestr("main.py", code)
    return packed.getvalue()


class Platform:
    """A server process with the demo's people and data of its own. It can be killed and started again."""

    name = "alice"

    def __init__(self, data: Path) -> None:
        data.chmod(0o711)  # the robots' users must find their way in
        self.data = data
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RPA_")},
            "DJANGO_SETTINGS_MODULE": "rpa_platform.settings",
            "RPA_DATA_DIR": str(self.data),
            "RPA_BASE_URL": self.url,
            "RPA_SLOTS": "4",
            "RPA_CANCEL_GRACE": "1",
            "RPA_SANDBOX_UID_BASE": "2600000",
        }
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "serve", "--demo", "--port", str(self.port)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert any("RPA Platform" in line for line in self.process.stdout), "it did not start"

    @property
    def password(self) -> str:
        kept: dict[str, str] = json.loads((self.data / "demo.json").read_text())
        return kept[self.name]

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(how)
        self.process.communicate(timeout=30)


@contextmanager
def platform() -> Iterator[Platform]:
    with tempfile.TemporaryDirectory(prefix="rpa-browser-", ignore_cleanup_errors=True) as folder:
        running = Platform(Path(folder))
        try:
            running.start()
            yield running
        finally:
            running.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
