"""One build of one environment, step by step in the sandbox.

Two steps make one. The first fetches wheels with the network on and runs nothing of them: no source is built there,
and the new interpreter is not started once packages are in it (a wheel's .pth file would be executed). The second
has no network and compiles the modules, with the machine's own interpreter and without `site`. What exists as source
only is made into a wheel in between (sources.py).
"""

from __future__ import annotations

import copy
import os
import re
import selectors
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from executions.interpreters import EnvironmentFailed, Interpreter
from executions.sandbox import Outcome, Profile, Sandbox, Spec
from executions.sources import MAX_SOURCES, SourceFailed, make_wheel, missing_wheel
from robots.environments import EnvironmentSpec

OnLine = Callable[[str], None]
ShouldStop = Callable[[], bool]

BUILD_SECONDS = 900
MAX_ENVIRONMENT_BYTES = 5 * 1024**3
LOCK_FILE = "rpa-lock.txt"

_MAX_LINE = 2000
_LOOKS_AGAIN_AFTER = 0.2
# What an operator may say about the index, as uv reads it. Anything else of the server's environment stays out.
_PASSED_ON = (
    "UV_DEFAULT_INDEX",
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_EXTRA_INDEX_URL",
    "UV_INDEX_STRATEGY",
    "UV_HTTP_TIMEOUT",
    "UV_HTTP_RETRIES",
    "UV_NATIVE_TLS",
    "UV_SYSTEM_CERTS",
    "UV_INSECURE_HOST",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
)
_CA_FILE = "ca.pem"


class EnvironmentStopped(Exception):
    """Whoever wanted the environment no longer does."""


@dataclass(frozen=True)
class Workshop:
    """What all builds of one server share: where environments go, and how they are made."""

    root: Path
    sandbox: Sandbox
    uv: Path
    cache: Path
    settings: Mapping[str, str]


class Build:
    """One build, from an empty folder to one that can be renamed into place."""

    def __init__(
        self,
        shop: Workshop,
        spec: EnvironmentSpec,
        interpreter: Interpreter,
        *,
        folder: Path,
        scratch: Path,
        on_line: OnLine,
        should_stop: ShouldStop,
        slot: int,
    ) -> None:
        """`folder` becomes the environment; `scratch` is an empty folder that goes afterwards."""
        self.shop, self.spec, self.interpreter = shop, spec, interpreter
        self.folder, self.scratch = folder, scratch
        self.on_line, self.should_stop, self.slot = on_line, should_stop, slot
        self.sandbox = shop.sandbox
        self.python = interpreter.path
        self.deadline = time.monotonic() + BUILD_SECONDS
        self.said: list[str] = []
        # What had to be built from source, by the package's name.
        self.wheels: dict[str, Path] = {}

    def run(self) -> None:
        self.shop.cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        for mine in (self.shop.cache, self.folder):
            _give(mine, self.sandbox.uid(self.slot, Profile.BUILDER))
        self.on_line(
            f"Building the environment: Python {self.interpreter.version}, {len(self.spec.requirements)} requirements."
        )
        self._checked(
            self.uv(
                [
                    "venv",
                    "--quiet",
                    "--allow-existing",
                    "--no-project",
                    "--python",
                    self.python,
                    "/env",
                ],
                {},
                environment=self.folder,
            )
        )
        self._install()
        lock = _installed(self.folder)
        if _size(self.folder) > MAX_ENVIRONMENT_BYTES:
            raise EnvironmentFailed(
                f"The environment is larger than {MAX_ENVIRONMENT_BYTES // 1024**3} GiB."
            )
        self._compile()
        _hand_over(self.folder, 0 if os.geteuid() == 0 else os.getuid())
        (self.folder / LOCK_FILE).write_text(lock)
        self.on_line(f"The environment is ready: {len(lock.splitlines())} packages.")

    def _install(self) -> None:
        """With nothing newer than the robot; and if that cannot be had, with what there is today."""
        if self.spec.cutoff is None:
            self._checked(self._install_with([]))
            return
        outcome = self._install_with(["--exclude-newer", self.spec.cutoff.isoformat()])
        if outcome.exit_code == 0:
            return
        text = "\n".join(self.said)
        if "missing an upload date" in text:
            self.on_line(
                "Warning: the package index gives no dates, so packages may be newer than the robot."
            )
        elif "exclude-newer" in text:
            self.on_line(
                f"Warning: nothing that fits is as old as the robot ({self.spec.cutoff}), so packages may be newer."
            )
        else:
            self._checked(outcome)
        self._checked(self._install_with([]))

    def _install_with(self, options: list[str]) -> Outcome:
        """Install wheels; one that is missing is built from its source first."""
        while True:
            outcome = self._install_once(options)
            missing = (
                None if outcome.exit_code == 0 else missing_wheel("\n".join(self.said), self.wheels)
            )
            if (
                missing is None
                or len(self.wheels) >= MAX_SOURCES
                or "--require-hashes" in self.spec.options
            ):
                return outcome
            apart = copy.copy(self)
            with tempfile.TemporaryDirectory(prefix=".scratch-", dir=self.shop.root) as scratch:
                apart.scratch = Path(scratch)
                try:
                    self.wheels[Requirement(missing).name] = make_wheel(
                        missing, apart, options, self.scratch
                    )
                except SourceFailed as error:
                    raise EnvironmentFailed(str(error)) from error

    def _install_once(self, options: list[str]) -> Outcome:
        made = [f"{name} @ file:///work/{path.name}" for name, path in self.wheels.items()]
        files = {"requirements.txt": "\n".join([*self.spec.requirements, *made]).encode()}
        if self.spec.constraints:
            files["constraints.txt"] = "\n".join(self.spec.constraints).encode()
            options = [*options, "--constraints", "/run/constraints.txt"]
        return self.uv(
            [
                "pip",
                "install",
                "--python",
                "/env",
                "--no-build",
                "--link-mode",
                "copy",
                *self.spec.options,
                *options,
                "--requirements",
                "/run/requirements.txt",
            ],
            files,
            environment=self.folder,
        )

    def uv(
        self,
        arguments: Sequence[str],
        files: Mapping[str, bytes],
        *,
        environment: Path | None = None,
        config: bool = False,
    ) -> Outcome:
        settings = {
            "UV_CACHE_DIR": "/cache",
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_NO_PROGRESS": "1",
            "UV_COMPILE_BYTECODE": "0",
            "NO_COLOR": "1",
        }
        settings["UV_CONFIG_FILE" if config else "UV_NO_CONFIG"] = "/run/uv.toml" if config else "1"
        return self._online(("/opt/tools/uv", *arguments), files, settings, environment)

    def fetch(self, script: str, arguments: Sequence[str]) -> Outcome:
        return self._online((self.python, "-I", "-S", "-c", script, *arguments), {}, {}, None)

    def offline(self, command: Sequence[str], *, environment: Path | None = None) -> Outcome:
        _hand_over(self.scratch, self.sandbox.uid(self.slot))
        return self._follow(
            Spec(
                command=tuple(command),
                workspace=self.scratch,
                slot=self.slot,
                environment=environment,
            )
        )

    def _online(
        self,
        command: tuple[str, ...],
        files: Mapping[str, bytes],
        settings: dict[str, str],
        environment: Path | None,
    ) -> Outcome:
        """With the network, the cache, and an environment to write into. Runs nothing that a package brought."""
        for mine in (self.scratch, *([environment] if environment else [])):
            _hand_over(mine, self.sandbox.uid(self.slot, Profile.BUILDER))
        settings |= {name: value for name in _PASSED_ON if (value := self.shop.settings.get(name))}
        bundle = self.shop.settings.get("SSL_CERT_FILE")
        if bundle and Path(bundle).is_file():
            files = {**files, _CA_FILE: Path(bundle).read_bytes()}
            settings["SSL_CERT_FILE"] = f"/run/{_CA_FILE}"
        return self._follow(
            Spec(
                command=command,
                workspace=self.scratch,
                slot=self.slot,
                env=settings,
                profile=Profile.BUILDER,
                environment=environment,
                environment_writable=environment is not None,
                files=files,
                tools={"uv": self.shop.uv},
                cache=self.shop.cache,
            )
        )

    def _compile(self) -> None:
        """Without network, cache and `site`: the folder is an ordinary workspace, compiled as if it lay at /env."""
        _hand_over(self.folder, self.sandbox.uid(self.slot))
        outcome = self._follow(
            Spec(
                command=(
                    self.python,
                    "-I",
                    "-S",
                    "-m",
                    "compileall",
                    "-qq",
                    "-s",
                    "/work",
                    "-p",
                    "/env",
                    "/work/lib",
                ),
                workspace=self.folder,
                slot=self.slot,
            )
        )
        if not outcome.started or outcome.oom:
            raise EnvironmentFailed(
                "The modules could not be compiled: there was not enough memory."
            )

    def _follow(self, spec: Spec) -> Outcome:
        """Run `spec` to its end, its lines going out as they come."""
        self.said = []
        process = self.sandbox.start(spec)
        try:
            with selectors.DefaultSelector() as selector:
                streams = {process.stdout: b"", process.stderr: b""}
                for stream in streams:
                    selector.register(stream, selectors.EVENT_READ)
                while selector.get_map():
                    for ready, _events in selector.select(_LOOKS_AGAIN_AFTER):
                        stream = ready.fd
                        piece = os.read(stream, 65536)
                        *lines, rest = (streams[stream] + piece).split(b"\n")
                        if not piece:
                            selector.unregister(stream)
                            lines, rest = [rest], b""
                        streams[stream] = rest[-_MAX_LINE:]
                        for line in lines:
                            self._say(line)
                    if self.should_stop():
                        raise EnvironmentStopped
                    if time.monotonic() > self.deadline:
                        raise EnvironmentFailed(
                            f"Building the environment took longer than {BUILD_SECONDS // 60} minutes."
                        )
            process.wait_dead(10)
            return process.outcome()
        finally:
            process.close()

    def _say(self, raw: bytes) -> None:
        line = raw.decode(errors="replace").rstrip()[:_MAX_LINE]
        if line:
            self.said.append(line)
            self.on_line(line)

    def _checked(self, outcome: Outcome) -> None:
        if outcome.exit_code != 0:
            raise EnvironmentFailed(_reason("\n".join(self.said), outcome))


def _reason(said: str, outcome: Outcome) -> str:
    """What went wrong, in the words of somebody who wants their robot to run."""
    if outcome.oom:
        return "Building the environment needed more memory than it may have."
    if re.search(
        r"dns error|error sending request|failed to fetch|connect|timed out|network",
        said,
        re.IGNORECASE,
    ):
        return "The package index could not be reached. Try again, or ask the operator about the network."
    if missing := re.search(r"Because (\S+) was not found in the package registry", said):
        return f"The package index has no package named '{missing[1]}'."
    if re.search(
        r"no usable wheels|has no wheels|building source distributions is disabled|no-build", said
    ):
        return "Too many packages are published as source only, or one of them that must match a hash. Choose other versions."
    if "No solution found" in said:
        because = " ".join(
            re.sub(r"\s*[╰│├]─?▶?\s*", " ", said.split("No solution found", 1)[1]).split()
        ).partition(":")[2]
        return f"The requirements cannot be met together:{because[:600]}"
    if "No space left" in said or "os error 122" in said:
        return "There is no space left for the environment."
    last = next(
        (line for line in reversed(said.splitlines()) if line.strip()),
        f"exit code {outcome.exit_code}",
    )
    return f"The environment could not be built: {last[:600]}"


def _installed(environment: Path) -> str:
    """What is installed, read off the folders: asking the interpreter would run what the packages left for it."""
    packages = set()
    for path in environment.glob("lib/python*/site-packages/*.dist-info"):
        name, _dash, version = path.name.removesuffix(".dist-info").rpartition("-")
        packages.add(f"{canonicalize_name(name)}=={version}\n")
    return "".join(sorted(packages))


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_symlink())


def _give(path: Path, uid: int) -> None:
    if os.geteuid() == 0:
        os.chown(path, uid, uid, follow_symlinks=False)


def _hand_over(folder: Path, uid: int) -> None:
    """Everything in `folder` becomes `uid`'s, readable for all, writable for nobody else, without special bits."""
    for root, folders, files in os.walk(folder):
        for path in (Path(root), *(Path(root, name) for name in (*folders, *files))):
            _give(path, uid)
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
