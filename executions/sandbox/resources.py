"""The ladder of resource limits: cgroup v2, cgroup v1, or plain rlimits with a watchdog.

The best rung that really works is chosen once. A slot keeps its cgroup for as long as the server lives:
making one costs as much as starting the robot does.
"""

import hashlib
import os
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from . import proc
from .spec import Limits

_PERIOD = 100_000
# Bubblewrap's own two processes, and what a kill needs.
_OWN_TASKS = 4


class Rung(StrEnum):
    """How limits are enforced, best first."""

    CGROUP2 = "cgroup2"
    CGROUP1 = "cgroup1"
    RLIMITS = "rlimits"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a run has used so far; None where this rung cannot tell."""

    oom_kills: int = 0
    cpu_seconds: float | None = None
    memory: int | None = None
    memory_peak: int | None = None


class Group(ABC):
    """What confines the processes of one slot, run after run."""

    #: The files into which the first process of a run writes itself.
    join: tuple[str, ...] = ()

    @abstractmethod
    def prepare(self, limits: Limits) -> None:
        """Set the limits of the next run and forget what the last one used."""

    @abstractmethod
    def usage(self, root_pid: int) -> Usage:
        """What the run below `root_pid` has used since `prepare`."""

    @abstractmethod
    def members(self) -> list[int]:
        """The processes in the group now."""

    def kill(self) -> None:
        """Kill every process in the group; returns when none is left, or raises OSError."""
        for _ in range(200):
            members = self.members()
            if not members:
                return
            for pid in members:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            proc.await_exit(members[0], 0.05)
        raise TimeoutError("The processes of a slot cannot be killed.")

    @abstractmethod
    def remove(self) -> None:
        """Give the group itself back to the host."""


class Cgroup1(Group):
    """One directory in each of four hierarchies. An OOM here kills one process, not the run."""

    def __init__(self, hierarchies: dict[str, Path], name: str) -> None:
        """Make the group `name` in each of `hierarchies` (controller to directory)."""
        self._paths = {kind: base / name for kind, base in hierarchies.items()}
        for path in self._paths.values():
            path.mkdir(exist_ok=True)
        # Two controllers may share one hierarchy.
        self.join = tuple(dict.fromkeys(os.fspath(p / "tasks") for p in self._paths.values()))
        self._memory, self._cpuacct = self._paths["memory"], self._paths["cpuacct"]
        self._limits: Limits | None = None
        self._swap = (self._memory / "memory.memsw.limit_in_bytes").exists()
        self._oom_kills = 0
        self._cpu = 0
        self._memory_before = 0

    def prepare(self, limits: Limits) -> None:
        """See Group."""
        if limits != self._limits:
            self._limits = None
            self._set_memory(limits.memory)
            _write(self._paths["pids"] / "pids.max", limits.pids + _OWN_TASKS)
            _write(self._paths["cpu"] / "cpu.cfs_period_us", _PERIOD)
            _write(self._paths["cpu"] / "cpu.cfs_quota_us", int(limits.cpus * _PERIOD))
            self._limits = limits
        _write(self._memory / "memory.max_usage_in_bytes", 0)
        # Files that an earlier run read are still counted here, though nobody uses them.
        self._memory_before = int((self._memory / "memory.usage_in_bytes").read_bytes())
        self._oom_kills = self._read_oom_kills()
        self._cpu = int((self._cpuacct / "cpuacct.usage").read_bytes())

    def usage(self, root_pid: int) -> Usage:
        """See Group."""
        cpu = int((self._cpuacct / "cpuacct.usage").read_bytes()) - self._cpu
        peak = int((self._memory / "memory.max_usage_in_bytes").read_bytes())
        return Usage(
            oom_kills=self._read_oom_kills() - self._oom_kills,
            cpu_seconds=cpu / 1e9,
            memory_peak=max(0, peak - self._memory_before),
        )

    def members(self) -> list[int]:
        """See Group."""
        return [int(line) for line in (self._paths["pids"] / "cgroup.procs").read_bytes().split()]

    def remove(self) -> None:
        """See Group."""
        for path in self._paths.values():
            with suppress(OSError):
                path.rmdir()

    def _set_memory(self, size: int) -> None:
        swap = self._memory / "memory.memsw.limit_in_bytes"
        if self._swap:
            # Memory may never exceed memory plus swap, not even while both change.
            _write(swap, -1)
        _write(self._memory / "memory.limit_in_bytes", size)
        if self._swap:
            _write(swap, size)

    def _read_oom_kills(self) -> int:
        return _field(self._memory / "memory.oom_control", b"oom_kill")


class Cgroup2(Group):
    """One directory of a delegated tree. An OOM kills the whole run at once."""

    def __init__(self, base: Path, name: str) -> None:
        """Make the group `name` below `base`."""
        self._path = base / name
        self._path.mkdir(exist_ok=True)
        self.join = (os.fspath(self._path / "cgroup.procs"),)
        self._limits: Limits | None = None
        self._oom_kills = 0
        self._cpu = 0

    def prepare(self, limits: Limits) -> None:
        """See Group."""
        if limits != self._limits:
            self._limits = None
            _write(self._path / "memory.max", limits.memory)
            with suppress(FileNotFoundError):  # a kernel without swap accounting
                _write(self._path / "memory.swap.max", 0)
            _write(self._path / "memory.oom.group", 1)
            _write(self._path / "pids.max", limits.pids + _OWN_TASKS)
            _write(self._path / "cpu.max", f"{int(limits.cpus * _PERIOD)} {_PERIOD}")
            self._limits = limits
        self._oom_kills = _field(self._path / "memory.events", b"oom_kill")
        self._cpu = _field(self._path / "cpu.stat", b"usage_usec")

    def usage(self, root_pid: int) -> Usage:
        """See Group. The peak is the slot's, as kernels before 6.12 cannot reset it: not told."""
        cpu = _field(self._path / "cpu.stat", b"usage_usec") - self._cpu
        return Usage(
            oom_kills=_field(self._path / "memory.events", b"oom_kill") - self._oom_kills,
            cpu_seconds=cpu / 1e6,
            memory=int((self._path / "memory.current").read_bytes()),
        )

    def members(self) -> list[int]:
        """See Group."""
        return [int(line) for line in (self._path / "cgroup.procs").read_bytes().split()]

    def kill(self) -> None:
        """See Group."""
        if self.members():
            with suppress(FileNotFoundError):  # before kernel 5.14
                _write(self._path / "cgroup.kill", 1)
        super().kill()

    def remove(self) -> None:
        """See Group."""
        with suppress(OSError):
            self._path.rmdir()


class Soft(Group):
    """No cgroup: rlimits hold each process, and usage is what a look at /proc finds."""

    def __init__(self) -> None:
        """Start with nothing used."""
        self._cpu = 0.0
        self._peak = 0

    def prepare(self, limits: Limits) -> None:
        """See Group."""
        self._cpu, self._peak = 0.0, 0

    def usage(self, root_pid: int) -> Usage:
        """See Group. Samples: what ran between two looks and is gone was not seen."""
        cpu, memory = 0.0, 0
        for pid in proc.tree(root_pid):
            cpu += proc.cpu_seconds(pid)
            memory += proc.resident(pid)
        self._cpu, self._peak = max(self._cpu, cpu), max(self._peak, memory)
        return Usage(cpu_seconds=self._cpu, memory=memory, memory_peak=self._peak)

    def members(self) -> list[int]:
        """See Group. Unknown once bubblewrap is gone; its PID namespace took them all with it."""
        return []

    def remove(self) -> None:
        """See Group. Nothing of the host was taken."""


class Resources:
    """The groups of one server, by slot."""

    def __init__(self, data_dir: Path) -> None:
        """Choose the rung. Touches the host's cgroups only below the one this process lives in."""
        digest = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:12]
        self._family = f"rpa-{digest}"
        self._own = f"{os.getpid()}.{proc.started_at(os.getpid())}"
        self._lock = threading.Lock()
        self._free: dict[str, Group] = {}
        self._leased: set[str] = set()
        self.reason = ""
        self.rung = Rung.RLIMITS
        self._hierarchies: dict[str, Path] = {}
        for rung, find in ((Rung.CGROUP2, _cgroup2), (Rung.CGROUP1, _cgroup1)):
            try:
                self._hierarchies = {
                    kind: _made(base / self._family) for kind, base in find().items()
                }
                if rung is Rung.CGROUP2:
                    _enable(self._hierarchies["memory"])
            except OSError as error:
                self.reason = self.reason or str(error)
                continue
            self.rung = rung
            break

    def lease(self, name: str) -> Group:
        """The group called `name`, empty, until it is given back. One run at a time."""
        with self._lock:
            if name in self._leased:
                raise ValueError(f"{name} is in use already.")
            self._leased.add(name)
            group = self._free.pop(name, None)
        try:
            return group or self._make(f"{self._own}-{name}")
        except BaseException:
            with self._lock:
                self._leased.discard(name)
            raise

    def give_back(self, name: str, group: Group) -> None:
        """End a lease. What still lives in the group is killed."""
        group.kill()
        with self._lock:
            self._free[name] = group
            self._leased.discard(name)

    def reclaim(self) -> int:
        """Kill what servers that are gone left in their groups; returns how many groups there were."""
        names = {
            path.name
            for base in self._hierarchies.values()
            for path in base.iterdir()
            if path.is_dir() and not _is_alive(path.name)
        }
        for name in names:
            group = self._make(name)
            group.kill()
            group.remove()
        return len(names)

    def close(self) -> None:
        """Give the idle groups back to the host."""
        with self._lock:
            for group in self._free.values():
                group.remove()
            self._free.clear()
        for base in self._hierarchies.values():
            with suppress(OSError):  # another server of the same folder still has groups in it
                base.rmdir()

    def _make(self, name: str) -> Group:
        if self.rung is Rung.CGROUP1:
            return Cgroup1(self._hierarchies, name)
        if self.rung is Rung.CGROUP2:
            return Cgroup2(self._hierarchies["memory"], name)
        return Soft()


def _is_alive(name: str) -> bool:
    """Whether the server that made the group `name` is still the process of that number."""
    pid, _, rest = name.partition(".")
    started = rest.partition("-")[0]
    return pid.isdigit() and str(proc.started_at(int(pid))) == started


def _made(path: Path) -> Path:
    path.mkdir(exist_ok=True)
    return path


def _cgroup1() -> dict[str, Path]:
    """This process's directory in each hierarchy that is needed."""
    found = {
        kind: base
        for kinds, base in _hierarchies("cgroup")
        for kind in kinds
        if kind in ("memory", "pids", "cpu", "cpuacct")
    }
    missing = {"memory", "pids", "cpu", "cpuacct"} - found.keys()
    if missing:
        raise FileNotFoundError(f"no cgroup v1 controller {', '.join(sorted(missing))}")
    for base in found.values():
        if not os.access(base, os.W_OK):
            raise PermissionError(f"{base} is not writable")
    return found


def _cgroup2() -> dict[str, Path]:
    """This process's directory of the unified tree, under every controller's name."""
    for _, base in _hierarchies("cgroup2"):
        offered = set((base / "cgroup.controllers").read_text().split())
        if not {"memory", "pids", "cpu"} <= offered:
            raise FileNotFoundError("cgroup v2 delegates no memory, pids and cpu controller")
        if base.name == "server":  # an earlier server of this service moved here
            base = base.parent
        _leave_inner_node(base)
        _enable(base)
        return dict.fromkeys(("memory", "pids", "cpu"), base)
    raise FileNotFoundError("no cgroup v2")


def _leave_inner_node(base: Path) -> None:
    """Move this process to a leaf: a group with limits below it may hold no process itself."""
    mine = {os.getpid(), *proc.tree(os.getpid())}
    inside = {int(pid) for pid in (base / "cgroup.procs").read_text().split()}
    if inside - mine:
        raise PermissionError("the cgroup is shared with processes that are not the platform's")
    if inside:
        leaf = _made(base / "server")
        for pid in sorted(inside):
            with suppress(ProcessLookupError):
                _write(leaf / "cgroup.procs", pid)


def _enable(base: Path) -> None:
    _write(base / "cgroup.subtree_control", "+memory +pids +cpu")


def _hierarchies(kind: str) -> Iterator[tuple[set[str], Path]]:
    """The mounted hierarchies of `kind`: their controllers, and this process's directory there."""
    own: dict[str, str] = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        for controller in controllers.split(",") if number != "0" else [""]:
            own[controller] = path
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        mounted, point = before.split()[3:5]
        filesystem, _, options = after.split(" ", 2)
        if filesystem != kind:
            continue
        controllers_here = set(options.split(",")) if kind == "cgroup" else {""}
        known = [own[name] for name in controllers_here if name in own]
        if not known:
            continue
        inside = known[0].removeprefix(mounted.rstrip("/")).lstrip("/")
        yield controllers_here, Path(point) / inside


def _write(path: Path, value: object) -> None:
    # Unbuffered and in one write, as the kernel takes it; "w" would try to create what is missing.
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, str(value).encode())
    finally:
        os.close(descriptor)


def _field(path: Path, name: bytes) -> int:
    """The number behind `name` in a file of "name number" lines."""
    for line in path.read_bytes().splitlines():
        key, _, value = line.partition(b" ")
        if key == name:
            return int(value)
    return 0
