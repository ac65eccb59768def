"""A real sandbox for the tests, and robots of a few lines to try it."""

import itertools
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from executions.sandbox import LIMITS, Outcome, Process, Profile, Sandbox, Spec
from executions.sandbox.proc import wait_readable
from executions.sandbox.workspace import Workspace, open_workspace

PYTHON = "/usr/bin/python3"
# A robot that says so when it runs, and then waits for a signal.
WAIT = "print('up', flush=True); import signal; signal.pause()"
# Far from any account and from other test runs on the same machine.
UID_BASE = 1_000_000 + os.getpid() * 2_000
AS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not AS_ROOT, reason="needs root: uids, tmpfs and cgroup v1")

_PRELUDE = """\
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def syscall(number, *arguments):
    result = libc.syscall(ctypes.c_long(number), *[
        a if isinstance(a, bytes) else ctypes.c_long(a) for a in arguments])
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
def name(attempt):
    try:
        return attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno, error.errno)
def show(attempt):
    print(name(attempt))
"""


@dataclass
class Result:
    """What a robot printed and how it ended."""

    out: str
    err: str
    outcome: Outcome


@dataclass
class Running:
    """A robot that has been started, with its workspace."""

    process: Process
    workspace: Workspace
    output: dict[int, bytes] = field(default_factory=dict)

    def read_until(self, text: str, timeout: float = 20) -> str:
        """Read the robot's output until `text` is in it."""
        seen = self.output.setdefault(self.process.stdout, b"")
        while text.encode() not in seen:
            assert wait_readable(self.process.stdout, timeout), f"no {text!r} in {seen!r}"
            more = os.read(self.process.stdout, 65536)
            assert more, f"no {text!r} in {seen!r}: {self.finish().err}"
            seen += more
            self.output[self.process.stdout] = seen
        return seen.decode(errors="replace")

    def finish(self, timeout: float = 30) -> Result:
        """Read everything, wait for the end and tell it."""
        streams = (self.process.stdout, self.process.stderr)
        readers = [threading.Thread(target=self._drain, args=(stream,)) for stream in streams]
        for reader in readers:
            reader.start()
        dead = self.process.wait_dead(timeout)
        if not dead:
            self.process.kill()
        for reader in readers:
            reader.join()
        assert dead, "the robot did not end"
        out, err = (self.output.get(s, b"").decode(errors="replace") for s in streams)
        return Result(out, err, self.process.outcome())

    def _drain(self, stream: int) -> None:
        parts = [self.output.get(stream, b"")]
        while wait_readable(stream, 60) and (more := os.read(stream, 1 << 20)):
            parts.append(more)
        self.output[stream] = b"".join(parts)


class Box:
    """Starts robots in slots of their own and cleans up after them."""

    def __init__(self, sandbox: Sandbox, data_dir: Path) -> None:
        self.sandbox = sandbox
        self.data_dir = data_dir
        self._slots = itertools.count()
        self._running: list[Running] = []

    def start(
        self,
        *command: str,
        profile: Profile = Profile.STRICT,
        limits: dict[str, Any] | None = None,
        slot: int | None = None,
        **spec: Any,
    ) -> Running:
        """Start a command in an empty workspace."""
        number = next(self._slots) if slot is None else slot
        ceilings = replace(LIMITS[profile], **(limits or {}))
        workspace = open_workspace(
            self.data_dir / "work",
            number,
            self.sandbox.uid(number, profile),
            ceilings.workspace,
            ceilings.inodes,
        )
        wanted = Spec(
            command=command,
            workspace=workspace.path,
            slot=number,
            profile=profile,
            limits=ceilings,
            **spec,
        )
        running = Running(self.sandbox.start(wanted), workspace)
        self._running.append(running)
        return running

    def python(self, code: str, *arguments: str, **options: Any) -> Running:
        """Start a robot of Python code; `syscall`, `name` and `show` are defined for it."""
        return self.start(PYTHON, "-c", _PRELUDE + code, *arguments, **options)

    def run(self, code: str, *arguments: str, **options: Any) -> Result:
        """Run such a robot to its end."""
        return self.python(code, *arguments, **options).finish()

    def end(self) -> None:
        """Kill what still runs and remove every workspace."""
        for running in self._running:
            running.process.close()
            running.workspace.destroy()


@pytest.fixture(scope="session")
def data_dir() -> Iterator[Path]:
    """The platform's folder: searchable by robots' uids, as it must be."""
    path = Path(tempfile.mkdtemp(prefix="rpa-tests-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def sandbox(data_dir: Path) -> Iterator[Sandbox]:
    made = Sandbox(data_dir, UID_BASE)
    yield made
    made.close()


@pytest.fixture
def box(sandbox: Sandbox, data_dir: Path) -> Iterator[Box]:
    made = Box(sandbox, data_dir)
    yield made
    made.end()


@pytest.fixture
def folder(data_dir: Path) -> Iterator[Path]:
    """An empty folder of the platform's, which a robot may be shown."""
    path = Path(tempfile.mkdtemp(dir=data_dir))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)
