"""A platform of the benchmark's own: fresh data, a real server, and nothing left afterwards."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import Request, urlopen

from benchmarks.soak.backing import free_port
from executions.sandbox import Sandbox
from executions.sandbox.workspace import reclaim

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
SLOTS = 24
UID_BASE = 2_100_000
_METRICS_TOKEN = "the benchmark's own"
_START_SECONDS = 60.0
_STOP_SECONDS = 25.0


class House:
    """The running platform. Use it as a context manager."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._server: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.data_dir = Path()
        self.seed: dict[str, Any] = {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.data_dir = Path(tempfile.mkdtemp(prefix="rpa-bench-"))
            # Robots have uids of their own and must be able to pass through.
            self.data_dir.chmod(0o711)
            stack.callback(self._remove)
            self.seed = json.loads(self.run("benchmarks.seed"))
            stack.callback(self.stop)
            self.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def database(self) -> Path:
        return self.data_dir / "db.sqlite3"

    @property
    def key(self) -> str:
        return str(self.seed["api_key"])

    def robot(self, name: str) -> str:
        return str(self.seed["robots"][name])

    def run(self, module: str, given: object = None, **more: str) -> str:
        """What `python -m module` prints, run on this house's data with `given` as JSON on its stdin.

        `more` are settings that differ from the server's.
        """
        with self.popen(module, **more) as process:
            try:
                output, _none = process.communicate(json.dumps(given).encode())
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            raise RuntimeError(f"{module} ended with exit code {process.returncode}.")
        return output.decode()

    def popen(self, module: str, **more: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**self._environment(), **more},
            cwd=ROOT,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Of the server."""
        assert self._server is not None
        return self._server.pid

    def cpu_seconds(self) -> float:
        """The processor time of the server itself, without that of its robots."""
        return cpu_seconds(self.pid)

    def metric(self, name: str, label: str) -> float:
        """A figure of the server's /metrics, such as `name{label}`; 0 if it has none yet."""
        address = f"http://{HOST}:{self.port}/metrics"
        asked = Request(address, headers={"Authorization": f"Bearer {_METRICS_TOKEN}"})
        with urlopen(asked, timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        start = f"{name}{{{label}}} "
        return next(
            (float(line.removeprefix(start)) for line in lines if line.startswith(start)), 0
        )

    def restart(self, *, slots: int = SLOTS, engine: str = "embedded") -> None:
        """A fresh server; with the engine `none` it carries out nothing."""
        self.stop()
        self.start(slots=slots, engine=engine)

    def start(self, *, slots: int = SLOTS, engine: str = "embedded") -> None:
        """Start the server, which runs at most `slots` robots at once, and wait until it answers."""
        self.port = free_port()
        log = self.data_dir / "server.log"
        with log.open("ab") as output:
            self._server = subprocess.Popen(
                [sys.executable, "manage.py", "serve", "--host", HOST, "--port", str(self.port)],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**self._environment(), "RPA_SLOTS": str(slots), "RPA_ENGINE": engine},
                cwd=ROOT,
                # Ctrl-C is for us: we end the server when we are done with it.
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while True:
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"The server did not start:\n{log.read_text()[-4000:]}")
            try:
                socket.create_connection((HOST, self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)

    def stop(self) -> None:
        """End the server. May be called twice."""
        server, self._server = self._server, None
        if server is None:
            return
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()

    def _environment(self) -> dict[str, str]:
        """The caller's environment without the settings of a platform that he may have."""
        inherited = {
            name: value for name, value in os.environ.items() if "RPA_" not in name.upper()
        }
        return {
            **inherited,
            "DJANGO_SETTINGS_MODULE": "rpa_platform.settings",
            "RPA_DATA_DIR": str(self.data_dir),
            "RPA_DATABASE_URL": "",
            "RPA_ENGINE": "embedded",
            "RPA_SANDBOX_UID_BASE": str(UID_BASE),
            "RPA_API_RATE": "1000000/min",
            "RPA_METRICS_TOKEN": _METRICS_TOKEN,
            "RPA_BASE_URL": f"http://{HOST}:{self.port}",
        }

    def _remove(self) -> None:
        sandbox = Sandbox(self.data_dir, UID_BASE)
        sandbox.reclaim()
        sandbox.close()
        reclaim(self.data_dir / "work")
        shutil.rmtree(self.data_dir)


def cpu_seconds(pid: int) -> float:
    """The processor time of the process, without that of its children."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """What the process has in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
