"""A real server: `manage.py serve` in a process of its own, on this test's database and data folder."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from django.conf import settings
from django.db import connection

from executions.choices import TERMINAL
from executions.events import head_of, read_page
from executions.models import Execution

ROOT = Path(__file__).resolve().parents[2]
UID_BASE = "2700000"
#: The code was checked once, before all tests; here it would be again for each process, in a third of its start. A shell makes none.
_UNCHECKED = ["--skip-checks"]


def environment(**more: str) -> dict[str, str]:
    """What another process needs to work on this test's data."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("RPA_")},
        "DJANGO_SETTINGS_MODULE": "rpa_platform.settings",
        "RPA_DATA_DIR": str(settings.RPA_DATA_DIR),
        "RPA_DATABASE_URL": database_url(),
        "RPA_HEARTBEAT_SECONDS": "1",
        "RPA_CANCEL_GRACE": "1",
        "RPA_API_RATE": "1000000/min",
        "RPA_SANDBOX_UID_BASE": UID_BASE,
        "PYTHONFAULTHANDLER": "1",
        **more,
    }


def database_url() -> str:
    at = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{at['NAME']}"
    secret = f":{at['PASSWORD']}" if at["PASSWORD"] else ""
    return f"mysql://{at['USER']}{secret}@{at['HOST']}:{at['PORT'] or 3306}/{at['NAME']}"


def manage(*arguments: str, **more: Any) -> "subprocess.Popen[str]":
    """`manage.py` in a process of its own, with pipes for its output."""
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments, *([] if arguments[0] == "shell" else _UNCHECKED)],
        cwd=ROOT,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def managed(*arguments: str, **more: Any) -> tuple[int, str, str]:
    """The exit code and what a command that ends by itself says."""
    with manage(*arguments, **more) as process:
        out, err = process.communicate(timeout=60)
    return process.returncode, out, err


class Server:
    """Use it as a context manager; `kill` and `start` as often as you like."""

    def __init__(self, **more: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._more = more
        self._log = Path(settings.RPA_DATA_DIR) / f"server-{self.port}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """Everything that its processes have said so far."""
        return self._log.read_text()

    def start(self) -> None:
        """Start it, and return once it answers."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "manage.py", "serve", "--port", str(self.port), *_UNCHECKED],
                cwd=ROOT,
                env=environment(RPA_BASE_URL=f"http://{self.address}", **self._more),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        process = self._process

        def answers() -> bool:
            assert process.poll() is None, self.log
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                return False
            return True

        try:
            until(answers, "The server answers.", timeout=90)
        except BaseException:
            self.kill()  # or it would carry out the runs of the next test
            raise

    def kill(self) -> None:
        """As a power cut: nothing of it runs one more instruction."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def wait(self) -> int:
        """The exit code, once it has ended."""
        assert self._process is not None
        return self._process.wait(30)

    def stop(self) -> None:
        """As an operator: it may tidy up."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGABRT)  # the log then says what each thread does
                self._process.wait(10)
                raise AssertionError(f"The server did not stop:\n{self.log}") from None
            assert self._process.returncode == 0, self.log


def until(condition: Callable[[], Any], what: str, timeout: float = 30.0) -> Any:
    """Wait until `condition` holds, looked at again and again: another process makes it true."""
    deadline = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"Not within {timeout} s: {what}"
        time.sleep(0.02)


def events_of(execution: Execution) -> list[dict[str, Any]]:
    frames = read_page(execution.pk, after=0, size=2**40, count=10**6)
    return [json.loads(each.text) for each in frames]


def lines_of(execution: Execution) -> list[str]:
    logs = (each["data"] for each in events_of(execution) if each["kind"] == "log")
    return [line for data in logs if data["stream"] == "stdout" for line in data["lines"]]


def ended(*executions: Execution) -> bool:
    return all(head_of(each.pk).closed for each in executions)


def check_end(execution: Execution) -> Execution:
    """The run, which must be terminal by exactly one event, the last of a stream without holes."""
    execution.refresh_from_db()
    events = events_of(execution)
    assert [each["seq"] for each in events] == list(range(1, len(events) + 1))
    assert head_of(execution.pk).last_seq == len(events)
    ends = [
        each["seq"]
        for each in events
        if each["kind"] == "status" and each["data"]["status"] in TERMINAL
    ]
    assert ends == [len(events)]
    assert events[-1]["data"]["status"] == execution.status
    assert events[-1]["data"]["reason"] == execution.failure_reason
    return execution


def robots_alive(execution: Execution) -> list[int]:
    """The processes of this host that belong to the run."""
    mark = f"RPA_EXECUTION_ID={execution.uid}".encode()
    found = []
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            try:
                if mark in (each / "environ").read_bytes().split(b"\0"):
                    found.append(int(each.name))
            except OSError:
                continue  # it has gone meanwhile
    return found
