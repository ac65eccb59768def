"""Starting a run inside bubblewrap, and everything that can be done to it until it is gone.

The chain is sh -> setpriv -> bwrap -> prlimit -> sh -> the command, each replacing the one before. The
first sh joins the slot's cgroups (a process that moves itself takes no global lock); setpriv drops to the
slot's uid and asks the kernel for a SIGKILL when the server dies. Nothing of it needs a fork of the
server: subprocess can use vfork.
"""

import os
import shutil
import subprocess
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from . import profile
from .passage import Passage
from .probe import Probe, probe
from .process import Process, SandboxUnavailable
from .resources import Group, Resources, Rung
from .spawner import Spawner
from .spec import Profile, Spec
from .watchdog import Watchdog

_TOOL_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"

# The arguments up to -- are the files of cgroups.
_JOIN = """\
while [ "$1" != -- ]; do echo 0 > "$1" || exit 97; shift; done
shift
echo 500 > /proc/self/oom_score_adj
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class Tools:
    """The host's programs that make up the chain."""

    bwrap: str
    setpriv: str
    prlimit: str
    shell: str = "/bin/sh"


class Sandbox:
    """The door to confined runs, shared by all threads of a server.

    A run starts with everything its spec asks for or not at all.
    """

    def __init__(
        self,
        data_dir: Path,
        uid_base: int,
        bwrap: str = "bwrap",
        resources: Resources | None = None,
    ) -> None:
        """Nothing is started or changed on the host yet.

        As root, a run has the uid `uid_base` + slot and a build `uid_base` - 1.
        """
        self._data_dir = data_dir
        self._uid_base = uid_base
        self._bwrap = bwrap
        self._root = os.geteuid() == 0
        self._lock = threading.Lock()
        self._resources = resources
        self._etc: Path | None = None
        self._watchdog = Watchdog()
        self._probing = threading.Lock()
        self._spawner = Spawner()
        self._passage = Passage(data_dir)

    def uid(self, slot: int, profile: Profile = Profile.STRICT) -> int:
        """The host's uid of a run in `slot`: who must own what it may write."""
        if not self._root:
            return os.getuid()
        return self._uid_base - 1 if profile is Profile.BUILDER else self._uid_base + slot

    @property
    def resources(self) -> Resources:
        """The rung of the ladder this server stands on, chosen at first use."""
        with self._lock:
            if self._resources is None:
                self._resources = Resources(self._data_dir)
            return self._resources

    def tools(self) -> Tools:
        """The programs needed, or SandboxUnavailable with the package to install."""
        found = {}
        for name, package in (
            (self._bwrap, "bubblewrap"),
            ("setpriv", "util-linux"),
            ("prlimit", "util-linux"),
        ):
            path = shutil.which(name, path=_TOOL_PATH)
            if path is None:
                raise SandboxUnavailable(f"{name} is missing.", f"apt-get install {package}")
            found[name] = path
        return Tools(bwrap=found[self._bwrap], setpriv=found["setpriv"], prlimit=found["prlimit"])

    def folder(self) -> Path:
        """Where the sandbox keeps what it needs itself; no robot can write to it."""
        path = self._data_dir / "sandbox"
        path.mkdir(mode=0o711, parents=True, exist_ok=True)
        return path

    def probe(self) -> Probe:
        """Whether this host can confine robots: every profile is really run."""
        with self._probing:
            return probe(self)

    def start(self, spec: Spec) -> Process:
        """Start `spec` and return once its processes exist. Any thread may call it, and end."""
        tools = self.tools()
        kind = "build" if spec.profile is Profile.BUILDER else "run"
        name = f"{kind}-{spec.slot}"
        try:
            group = self.resources.lease(name)
        except OSError as error:
            raise SandboxUnavailable(f"No cgroup for {name}: {error}.") from error
        with ExitStack() as undo:
            undo.callback(self.resources.give_back, name, group)
            try:
                group.prepare(spec.ceilings)
                process = self._spawn(spec, tools, group)
            except OSError as error:
                raise SandboxUnavailable(f"The sandbox could not be set up: {error}.") from error
            undo.pop_all()
        process.on_close(lambda: self.resources.give_back(name, group))
        self._watchdog.watch(process)
        return process

    def reclaim(self) -> int:
        """Kill what servers that are gone left running. Returns how many groups they had."""
        return self.resources.reclaim()

    def close(self) -> None:
        """Start nothing more and give the idle cgroups back. Runs still going on are killed."""
        self._spawner.close()
        if self._resources is not None:
            self._resources.close()

    def _spawn(self, spec: Spec, tools: Tools, group: Group) -> Process:
        with ExitStack() as passed, ExitStack() as handed, ExitStack() as kept:
            status_read, status_write = _pipe(kept, handed)
            stdout_read, stdout_write = _pipe(kept, handed)
            stderr_read, stderr_write = _pipe(kept, handed)
            copies: list[int] = []
            handles = self._open(spec, status_write, copies, handed)
            options = "".join(f"{option}\0" for option in profile.arguments(spec, handles))
            args = _memory("args", os.fsencode(options), handed)
            go_read, go_write = os.pipe2(os.O_CLOEXEC)
            handed.callback(os.close, go_read)
            kept.callback(os.close, go_write)
            if copies:
                leave = self._spawner.spawn(lambda: self._passage.open(copies))
                passed.callback(self._spawner.spawn, leave)
            # No shell reads a robot's words: they are arguments behind "--".
            popen = self._spawner.spawn(
                lambda: subprocess.Popen(  # noqa: S603
                    self._chain(spec, tools, group, args),
                    stdin=go_read,
                    stdout=stdout_write,
                    stderr=stderr_write,
                    env={},
                    cwd="/",
                    close_fds=True,
                    pass_fds=(args, *_numbers(handles)),
                )
            )
            handed.close()
            process = Process(
                popen,
                stdout=stdout_read,
                stderr=stderr_read,
                status=status_read,
                go=go_write,
                group=group,
                cpu_limit=spec.ceilings.cpu_seconds,
                memory_limit=spec.ceilings.memory,
            )
            kept.pop_all()
            try:
                process.await_start()
            except BaseException:
                process.kill()
                process.close()
                raise
        return process

    def _chain(self, spec: Spec, tools: Tools, group: Group, args: int) -> list[str]:
        identity = []
        if self._root:
            uid = str(self.uid(spec.slot, spec.profile))
            identity = ["--reuid", uid, "--regid", uid, "--clear-groups"]
        soft = self.resources.rung is Rung.RLIMITS
        command = profile.command(
            spec,
            prlimit=tools.prlimit,
            # Address space is not memory: leave room for what a runtime only reserves.
            address_space=2 * spec.ceilings.memory if soft else None,
        )
        return [
            *(tools.shell, "-c", _JOIN, "sh", *group.join, "--"),
            *(tools.setpriv, *identity, "--pdeathsig", "KILL", "--"),
            *(tools.bwrap, "--args", str(args), "--", *command),
        ]

    def _open(
        self, spec: Spec, status: int, copies: list[int], stack: ExitStack
    ) -> profile.Handles:
        """The descriptors of what the run is shown; of those in `copies` the way there is still to be made."""

        def shown(path: Path, kind: int = 0) -> int:
            copy = self._passage.copy(path)
            if copy is None:
                return _opened(stack, path, os.O_PATH | os.O_NOFOLLOW | kind)
            stack.callback(os.close, copy)
            copies.append(copy)
            return copy

        def directory(path: Path) -> int:
            return shown(path, os.O_DIRECTORY)

        return profile.Handles(
            seccomp=_memory("seccomp", _filter(spec.profile), stack),
            status=status,
            etc=directory(self._prepared_etc()),
            workspace=directory(spec.workspace),
            environment=directory(spec.environment) if spec.environment else None,
            package=directory(spec.package) if spec.package else None,
            support=directory(spec.support) if spec.support else None,
            cache=directory(spec.cache) if spec.cache else None,
            files={name: _memory("file", content, stack) for name, content in spec.files.items()},
            tools={name: shown(path) for name, path in spec.tools.items()},
        )

    def _prepared_etc(self) -> Path:
        """The folder that robots see as /etc, with places for the host's files to be mounted on."""
        with self._lock:
            if self._etc is None:
                etc = self.folder() / "etc"
                etc.mkdir(parents=True, exist_ok=True)
                for name in profile.etc_mountpoints():
                    _mountpoint(Path("/etc") / name, etc / name)
                for name, content in profile.ETC_FILES.items():
                    fresh = etc / f".{name}.{os.getpid()}"
                    fresh.write_text(content)
                    fresh.chmod(0o444)
                    fresh.replace(etc / name)
                self._etc = etc
            return self._etc


def _filter(kind: Profile) -> bytes:
    """The seccomp program; without the library there is no sandbox."""
    try:
        from . import seccomp  # the import itself loads the C library
    except (ImportError, OSError, RuntimeError) as error:
        raise SandboxUnavailable(
            f"The seccomp library is missing: {error}.", "apt-get install libseccomp2"
        ) from error
    return seccomp.program(kind)


def _numbers(handles: profile.Handles) -> list[int]:
    """Every descriptor that bubblewrap must inherit."""
    single = (
        *(handles.seccomp, handles.status, handles.etc, handles.workspace),
        *(handles.environment, handles.package, handles.support, handles.cache),
    )
    return [
        *(number for number in single if number is not None),
        *handles.files.values(),
        *handles.tools.values(),
    ]


def _pipe(reading: ExitStack, writing: ExitStack) -> tuple[int, int]:
    """A pipe whose reading end is non-blocking; each end is closed by its stack."""
    read, write = os.pipe2(os.O_CLOEXEC)
    reading.callback(os.close, read)
    writing.callback(os.close, write)
    os.set_blocking(read, False)
    return read, write


def _opened(stack: ExitStack, path: Path | str, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    stack.callback(os.close, descriptor)
    return descriptor


def _memory(name: str, content: bytes, stack: ExitStack) -> int:
    """A file that exists only as a descriptor, to be read from its start."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    stack.callback(os.close, descriptor)
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _mountpoint(host: Path, place: Path) -> None:
    """Make an empty `place` of the same kind as `host`, so that it can be mounted there."""
    if not host.exists():
        return
    if host.is_dir():
        place.mkdir(parents=True, exist_ok=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
