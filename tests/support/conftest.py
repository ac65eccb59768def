"""A real sandbox, real environments, and robots run in them as the platform runs them."""

from __future__ import annotations

import io
import json
import os
import selectors
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from executions import robot_env
from executions.environments import Built, EnvironmentStore
from executions.sandbox import Profile, Sandbox, Spec
from executions.sandbox.process import Process
from robots import packages
from robots.environments import EnvironmentSpec
from robots.manifest import Manifest

UV = Path(__file__).parents[2] / ".venv/bin/uv"
_BEGIN, _END = b"\x1b]7313;", b"\x07"


@dataclass
class Run:
    """What a robot said and left behind."""

    exit_code: int | None = None
    text: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list)
    artifacts: dict[str, bytes] = field(default_factory=dict)

    def said(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["kind"] == kind]

    def steps(self) -> list[tuple[str, str, str]]:
        return [(each["name"], each["type"], each["state"]) for each in self.said("step")]

    @property
    def result(self) -> Any:
        return self.said("result")[-1]["value"]


@dataclass
class Machine:
    """One server's sandbox and environments."""

    folder: Path
    sandbox: Sandbox
    store: EnvironmentStore

    def build(
        self, spec: EnvironmentSpec, on_line: Callable[[str], None] = lambda _line: None
    ) -> Built:
        return self.store.ensure(spec, on_line=on_line, should_stop=lambda: False, slot=0)

    def inspected(self, folder: Path) -> tuple[Manifest, Path]:
        """The robot in `folder`, packed, looked into and unpacked again."""
        file = io.BytesIO()
        packages.pack(folder, file)
        found = packages.inspect(file, f"{folder.name}.zip", uploaded_on=date(2026, 11, 23))
        place = self.folder / "packages" / found.digest
        packages.unpack(file, found.manifest, place, digest=found.digest)
        return found.manifest, place

    def run(
        self,
        folder: Path,
        params: dict[str, Any] | None = None,
        task: str | None = None,
        *,
        say: Callable[[Process, bytes], None] = lambda *_: None,
    ) -> Run:
        """Run the robot in `folder` to its end. `say` hears of every piece of output."""
        manifest, package = self.inspected(folder)
        environment = self.build(manifest.environment).path if manifest.environment else None
        with ExitStack() as stack:
            work = Path(tempfile.mkdtemp(prefix="work-", dir=self.folder))
            stack.callback(shutil.rmtree, work)
            self._prepare(work, manifest, package, params or {})
            run, python = Run(), robot_env.interpreter(has_environment=environment is not None)
            for command in manifest.commands(task, python=python):
                self._follow(
                    run,
                    Spec(
                        command=command,
                        workspace=work,
                        slot=0,
                        profile=Profile(manifest.profile),
                        environment=environment,
                        package=package,
                        support=robot_env.SUPPORT,
                        files=robot_env.run_files(params or {}),
                        env=robot_env.robot_environment(
                            manifest, execution_id="e-1", has_environment=environment is not None
                        ),
                    ),
                    say,
                )
                if run.exit_code:
                    break
            for path in (work / manifest.artifacts).rglob("*"):
                if path.is_file():
                    run.artifacts[path.relative_to(work / manifest.artifacts).as_posix()] = (
                        path.read_bytes()
                    )
            return run

    def _prepare(
        self, work: Path, manifest: Manifest, package: Path, params: dict[str, Any]
    ) -> None:
        shutil.copytree(package, work, dirs_exist_ok=True)
        for name in robot_env.workspace_folders(manifest):
            (work / name).mkdir(exist_ok=True)
        for name, content in robot_env.workspace_files(params).items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_bytes(content)
        uid = self.sandbox.uid(0)
        for path in (work, *work.rglob("*")):
            os.chown(path, uid, uid)

    def _follow(self, run: Run, spec: Spec, say: Callable[[Process, bytes], None]) -> None:
        process = self.sandbox.start(spec)
        try:
            streams = {process.stdout: b"", process.stderr: b""}
            with selectors.DefaultSelector() as selector:
                for stream in streams:
                    selector.register(stream, selectors.EVENT_READ)
                while selector.get_map():
                    for ready, _events in selector.select(60):
                        piece = os.read(ready.fd, 65536)
                        streams[ready.fd] += piece
                        if piece:
                            say(process, streams[ready.fd])
                        else:
                            selector.unregister(ready.fd)
            assert process.wait_dead(10)
            run.exit_code = process.outcome().exit_code
            out, *rest = streams[process.stdout].split(_BEGIN)
            for part in rest:
                message, _end, text = part.partition(_END)
                run.messages.append(json.loads(message))
                out += text
            run.text += (out + streams[process.stderr]).decode(errors="replace")
        finally:
            process.close()


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    with tempfile.TemporaryDirectory(prefix="rpa-tests-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        (folder / "packages").mkdir()
        sandbox = Sandbox(folder, 64000)
        yield Machine(folder, sandbox, EnvironmentStore(folder / "environments", sandbox, UV))
        sandbox.close()


@pytest.fixture
def robot(tmp_path: Path) -> Callable[..., Path]:
    """Write a robot's folder: its files by name."""

    def write(files: dict[str, str]) -> Path:
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)
        return tmp_path

    return write


@pytest.fixture(autouse=True)
def no_hanging() -> Iterator[None]:
    """A robot that hangs must not hang the tests."""
    signal.alarm(120)
    yield
    signal.alarm(0)
