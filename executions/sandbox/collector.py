"""Reads what a robot left behind, as hostile as it may be, and tells it from what was there before.

Only a regular file with one name, reached without any link, is ever opened. To be used once the run is
dead: until then the answers could change between a look and the opening.
"""

import ctypes
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import BinaryIO

_OPENAT2 = 437  # the same number on every architecture
_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x01, 0x02, 0x04, 0x08
_RESOLVE = _NO_XDEV | _NO_MAGICLINKS | _NO_SYMLINKS | _BENEATH
_DEEPEST = 32
_LONGEST = 1024

#: By what a file that nobody has written to since is known again; the same content written once more is another.
Mark = tuple[int, int, int]

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


class Reason(StrEnum):
    """Why a file was left where it is."""

    SYMLINK = "symlink"
    HARD_LINK = "hard_link"
    SPECIAL = "special"
    NAME = "name"
    SIZE = "size"
    COUNT = "count"
    DEPTH = "depth"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Found:
    """A file that may be kept; `name` is relative to the folder looked through."""

    name: str
    size: int
    root: Path

    def open(self) -> BinaryIO:
        """Open it for reading, or raise UnsafeFile."""
        return _open(self.root, self.name, self.size)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file that is not kept. Its name is made printable."""

    name: str
    reason: Reason


class UnsafeFile(Exception):
    """A file exists but must not be read."""

    def __init__(self, name: str, reason: Reason) -> None:
        """`name` is shown as text only."""
        super().__init__(f"{_printable(name)}: {reason}")
        self.reason = reason


def marks(root: Path) -> dict[str, Mark]:
    """The mark of every file below `root`, taken before a robot can change any."""
    found = {}
    for folder, _folders, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            found[path.relative_to(root).as_posix()] = mark(path)
    return found


def mark(path: Path) -> Mark:
    return _mark(path.lstat())


def walk(
    root: Path, *, max_files: int, max_bytes: int, untouched: Mapping[str, Mark] | None = None
) -> Iterator[Found | Rejected]:
    """Every file below `root`, in the order of names, each either found or rejected.

    Files of `untouched` that still have their mark are passed over. At most `max_files` other entries of any
    kind are looked at and `max_bytes` offered in all; the first entry too many ends the walk with a rejection.
    """
    untouched = untouched or {}
    top = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        pending = [""]
        seen, left = 0, max_bytes
        while pending:
            folder = pending.pop()
            try:
                entries = _entries(top, folder, max_files - seen + len(untouched) + 1)
            except OSError:
                yield Rejected(_printable(folder), Reason.UNREADABLE)
                continue
            below = []
            for entry, state in entries:
                name = f"{folder}/{entry}" if folder else entry
                if untouched.get(name) == _mark(state):
                    continue
                seen += 1
                if seen > max_files:
                    yield Rejected(_printable(name), Reason.COUNT)
                    return
                reason = _reason(name, state, left)
                if reason is not None:
                    yield Rejected(_printable(name), reason)
                elif stat.S_ISDIR(state.st_mode):
                    below.append(name)
                else:
                    left -= state.st_size
                    yield Found(name, state.st_size, root)
            pending += reversed(below)
    finally:
        os.close(top)


def read_file(
    root: Path, name: str, max_bytes: int, *, untouched: Mark | None = None
) -> bytes | None:
    """The content of one file below `root`; None if there is none, UnsafeFile if it may not be read.

    One that still has the mark `untouched` counts as none.
    """
    try:
        with _open(root, name, max_bytes) as file:
            same = untouched is not None and _mark(os.fstat(file.fileno())) == untouched
            return None if same else file.read(max_bytes)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _mark(state: os.stat_result) -> Mark:
    return state.st_ino, state.st_size, state.st_mtime_ns


def _entries(top: int, folder: str, most: int) -> list[tuple[str, os.stat_result]]:
    descriptor = _openat2(top, folder or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        with os.scandir(descriptor) as scan:
            names = sorted(entry.name for entry in islice(scan, most))
        return [(n, os.stat(n, dir_fd=descriptor, follow_symlinks=False)) for n in names]
    finally:
        os.close(descriptor)


def _reason(name: str, state: os.stat_result, left: int) -> Reason | None:
    """Why an entry is not taken; None for a folder or file that is."""
    if stat.S_ISLNK(state.st_mode):
        return Reason.SYMLINK
    if not _is_plain(name):
        return Reason.NAME
    if stat.S_ISDIR(state.st_mode):
        return Reason.DEPTH if name.count("/") >= _DEEPEST else None
    return _file_reason(state, left)


def _file_reason(state: os.stat_result, largest: int) -> Reason | None:
    if not stat.S_ISREG(state.st_mode):
        return Reason.SPECIAL
    if state.st_nlink != 1:
        return Reason.HARD_LINK
    if state.st_size > largest:
        return Reason.SIZE
    return None


def _is_plain(name: str) -> bool:
    """Whether a name is safe to store, show and put on a command line."""
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that are no text
        return False
    return (
        len(name) <= _LONGEST
        and name.isprintable()
        and "\\" not in name
        and not any(part.startswith("-") for part in name.split("/"))
    )


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)[:_LONGEST]


def _open(root: Path, name: str, largest: int) -> BinaryIO:
    """Open a file of at most `largest` bytes, never waiting for a writer of a FIFO."""
    top = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        try:
            # A look by O_PATH opens nothing: no device or FIFO notices it.
            handle = _openat2(top, name, os.O_PATH | os.O_NOFOLLOW)
        except (FileNotFoundError, NotADirectoryError):
            raise
        except OSError as error:
            raise UnsafeFile(name, Reason.SYMLINK) from error
        try:
            state = os.fstat(handle)
            reason = Reason.SYMLINK if stat.S_ISLNK(state.st_mode) else _file_reason(state, largest)
            if reason is not None:
                raise UnsafeFile(name, reason)
            try:
                return open(f"/proc/self/fd/{handle}", "rb")  # noqa: PTH123
            except OSError as error:
                raise UnsafeFile(name, Reason.UNREADABLE) from error
        finally:
            os.close(handle)
    finally:
        os.close(top)


def _openat2(directory: int, name: str, flags: int) -> int:
    how = _OpenHow(flags | os.O_CLOEXEC, 0, _RESOLVE)
    descriptor: int = _libc.syscall(
        ctypes.c_long(_OPENAT2),
        ctypes.c_int(directory),
        os.fsencode(name),
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
    )
    if descriptor < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), name)
    return descriptor
