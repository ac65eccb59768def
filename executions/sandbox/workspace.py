"""The folder in which one run works: bounded, private, and gone afterwards.

Root mounts a tmpfs of a fixed size; anyone else gets a folder, whose size can only be looked at.
"""

import errno
import os
import re
import secrets
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from . import mounts

_DEEPEST = 64
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Workspace:
    """One run's folder. `bounded` tells whether the kernel enforces its size."""

    path: Path
    size: int
    inodes: int
    bounded: bool

    def usage(self) -> tuple[int, int]:
        """Bytes and files in it. A folder too deep to be looked through counts as endless."""
        if self.bounded:
            state = os.statvfs(self.path)
            return (
                (state.f_blocks - state.f_bfree) * state.f_frsize,
                state.f_files - state.f_ffree,
            )
        return _usage(self.path)

    def is_over(self) -> bool:
        """Whether it holds more than it may; where the kernel enforces that, never."""
        size, inodes = self.usage()
        return size > self.size or inodes > self.inodes

    def destroy(self) -> None:
        """Remove it and everything in it. No process of the run may live any more."""
        _unmount(self.path)
        remove_tree(self.path)


def open_workspace(root: Path, slot: int, uid: int, size: int, inodes: int) -> Workspace:
    """An empty workspace for the run in `slot`, owned by `uid`, below `root`.

    `root` must be the platform's own: no robot may ever write to it. What an earlier run left in the
    slot is removed.
    """
    path = root / str(slot)
    root.mkdir(mode=0o711, parents=True, exist_ok=True)
    _unmount(path)
    remove_tree(path)
    path.mkdir(mode=0o700)
    bounded = False
    if os.geteuid() == 0:
        bounded = _mount_tmpfs(path, uid=uid, size=size, inodes=inodes)
        if not bounded:
            os.chown(path, uid, uid)
    return Workspace(path, size, inodes, bounded)


def reclaim(root: Path) -> int:
    """Remove every workspace below `root` that a killed server left; returns how many."""
    if not root.is_dir():
        return 0
    for point in mounts_below(root):
        _unmount(point)
    left = list(root.iterdir())
    for path in left:
        remove_tree(path)
    return len(left)


def remove_tree(path: Path) -> None:
    """Remove `path` whatever it holds: any depth, any permissions, and no link is followed."""
    try:
        top = os.open(path, _DIRECTORY)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        path.unlink()
        return
    try:
        os.fchmod(top, 0o700)
        prefix = f".{secrets.token_hex(8)}."
        count = 0
        while names := _names(top):
            for name in names:
                if not _is_directory(top, name):
                    os.unlink(name, dir_fd=top)
                    continue
                # Lift what lies deeper up to the top: neither paths nor open folders pile up.
                folder = _open_folder(top, name)
                try:
                    for inner in _names(folder):
                        if _is_directory(folder, inner):
                            os.close(_open_folder(folder, inner))
                            count += 1
                            os.rename(inner, f"{prefix}{count}", src_dir_fd=folder, dst_dir_fd=top)
                        else:
                            os.unlink(inner, dir_fd=folder)
                finally:
                    os.close(folder)
                os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    path.rmdir()


def _names(folder: int) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]


def _is_directory(parent: int, name: str) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)


def _open_folder(parent: int, name: str) -> int:
    """Open a folder that its owner may have locked, after unlocking it."""
    handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        Path(f"/proc/self/fd/{handle}").chmod(0o700)
    finally:
        os.close(handle)
    return os.open(name, _DIRECTORY, dir_fd=parent)


def _usage(path: Path) -> tuple[int, int]:
    size = inodes = 0
    top = os.open(path, _DIRECTORY)
    pending = [(".", 0)]
    try:
        while pending:
            folder, depth = pending.pop()
            if depth > _DEEPEST:
                return sys.maxsize, sys.maxsize
            with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                descriptor = os.open(folder, _DIRECTORY, dir_fd=top)
                try:
                    for name in _names(descriptor):
                        with suppress(FileNotFoundError):
                            state = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                            size += state.st_blocks * 512
                            inodes += 1
                            if stat.S_ISDIR(state.st_mode):
                                pending.append((f"{folder}/{name}", depth + 1))
                finally:
                    os.close(descriptor)
    except OSError as error:
        if error.errno not in (errno.ENAMETOOLONG, errno.ELOOP):
            raise
        return sys.maxsize, sys.maxsize
    finally:
        os.close(top)
    return size, inodes


def _mount_tmpfs(path: Path, *, uid: int, size: int, inodes: int) -> bool:
    """Mount a tmpfs there; False where this host does not let root do that."""
    options = f"size={size},nr_inodes={inodes},mode=0700,uid={uid},gid={uid}"
    try:
        mounts.mount("rpa-work", path, "tmpfs", mounts.NOSUID | mounts.NODEV, options)
    except PermissionError:
        return False
    return True


def _unmount(path: Path) -> None:
    """Take away what is mounted on `path`, however many times."""
    try:
        while True:
            mounts.leave(path)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT, errno.EPERM):  # EINVAL: it is no mount
            raise


def mounts_below(root: Path) -> list[Path]:
    """The mounts below `root`, the innermost first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), line.split()[4]))
        if point != root and point.is_relative_to(root.resolve()):
            found.append(point)
    return sorted(found, key=lambda point: len(point.parts), reverse=True)
