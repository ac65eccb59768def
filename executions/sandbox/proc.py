"""What /proc tells about processes. Every answer may be stale: a process can end at any time."""

import ctypes
import os
import select
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_TICKS = os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on; the name before it may hold anything."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def parent(pid: int) -> int | None:
    """The parent of `pid`."""
    fields = _stat(pid)
    return int(fields[1]) if fields else None


def started_at(pid: int) -> int | None:
    """When `pid` started, in ticks since boot: with the number, it names a process for good."""
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def cpu_seconds(pid: int) -> float:
    """The processor time of `pid` and of those of its children that it has waited for."""
    fields = _stat(pid)
    return sum(int(field) for field in fields[11:15]) / _TICKS if fields else 0.0


def resident(pid: int) -> int:
    """The memory that is `pid`'s own: what it shares with files of the host is not counted."""
    total = 0
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines():
            if line.startswith(("RssAnon:", "RssShmem:")):
                total += int(line.split()[1]) * 1024
    return total


def tree(root: int) -> Iterator[int]:
    """All descendants of `root`, itself excluded."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (above := parent(int(entry.name))) is not None:
            children.setdefault(above, []).append(int(entry.name))
    pending = list(children.get(root, ()))
    while pending:
        pid = pending.pop()
        yield pid
        pending += children.get(pid, ())


def main_process(init: int) -> int | None:
    """The command that `init`, the first process of a PID namespace, was started for."""
    for pid in tree(init):
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines():
                if line.startswith("NSpid:") and line.split()[-1] == "2":
                    return pid
    return None


def adopt_orphans() -> None:
    """Make this process the parent of those descendants whose own parent ends first."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def await_exit(pid: int, timeout: float) -> bool:
    """Wait until `pid` is dead, at most `timeout` seconds."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return wait_readable(descriptor, timeout)
    finally:
        os.close(descriptor)


def wait_readable(descriptor: int, timeout: float) -> bool:
    """Wait until `descriptor` can be read (a pidfd: until its process is dead)."""
    poll = select.poll()  # not select(): a server may have more than 1024 descriptors
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(max(0, round(timeout * 1000))))
