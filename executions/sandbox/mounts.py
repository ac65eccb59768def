"""The mounts that Python has no calls for, and the question whether others may pass on the way to a file."""

import ctypes
import os
import stat
from pathlib import Path

NOSUID, NODEV, REC, SLAVE = 2, 4, 0x4000, 1 << 19
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8
_CLONE_NEWNS = 0x20000
# The same numbers on every architecture; see open_tree(2) and move_mount(2).
_OPEN_TREE, _MOVE_MOUNT = 428, 429
_OPEN_TREE_CLONE, _AT_SYMLINK_NOFOLLOW, _AT_FDCWD = 1, 0x100, -100
_MOVE_MOUNT_F_EMPTY_PATH = 4

_libc = ctypes.CDLL(None, use_errno=True)


def is_open_to_others(path: Path) -> bool:
    """Whether every folder on the way to `path`, as far as it is there, lets any user pass; links are followed."""
    above = path.resolve().parents
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in above if folder.exists())


def mount(source: str, target: Path, kind: str, flags: int, options: str) -> None:
    """mount(2). OSError says why not."""
    words = (os.fsencode(source), os.fsencode(target), os.fsencode(kind))
    _done(_libc.mount(*words, ctypes.c_ulong(flags), options.encode()), target)


def leave(target: Path) -> None:
    """Take away the topmost mount on `target` as soon as nobody uses it. OSError if there is none."""
    _done(_libc.umount2(os.fsencode(target), _MNT_DETACH | _UMOUNT_NOFOLLOW), target)


def own_namespace() -> None:
    """From now on, mounts of this thread, and of what it starts, are seen by nobody else."""
    _done(_libc.unshare(_CLONE_NEWNS), Path("/"))
    mount("none", Path("/"), "", REC | SLAVE, "")


def copied(path: Path) -> int:
    """A descriptor of another mount of the file or folder `path` (no link is followed), which is nowhere yet."""
    flags = _OPEN_TREE_CLONE | _AT_SYMLINK_NOFOLLOW | os.O_CLOEXEC
    number = ctypes.c_long(_OPEN_TREE)
    descriptor: int = _libc.syscall(number, _AT_FDCWD, os.fsencode(path), ctypes.c_uint(flags))
    _done(descriptor, path)
    return descriptor


def attach(descriptor: int, target: Path) -> None:
    """Put what `copied` gave on `target`."""
    number = ctypes.c_long(_MOVE_MOUNT)
    words = (descriptor, b"", _AT_FDCWD, os.fsencode(target))
    _done(_libc.syscall(number, *words, ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH)), target)


def _done(result: int, path: Path) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), os.fspath(path))
