"""Folders that appear whole or not at all, however many processes want the same one at once."""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_LOOKS_AGAIN_AFTER = 0.05


class Abandoned(Exception):
    """Whoever wanted the folder no longer does; somebody else is still making it."""


@contextmanager
def staged(
    destination: Path, should_stop: Callable[[], bool] = lambda: False
) -> Iterator[Path | None]:
    """An empty folder to fill, which becomes `destination` when the block ends; None if it is already there.

    Only one block at a time, over all threads and processes, gets a folder for the same destination. If the block
    raises, nothing is left. What a killed process left is cleared by the next one. The lock is the folder itself, so
    that there is no lock file to clean up either.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    folder = destination.with_name(f".{destination.name}.staging")
    lock = _locked(folder, destination, should_stop)
    if lock is None:
        yield None
        return
    try:
        try:
            yield folder
            _make_readable(folder)
            _on_disk(lock)
            folder.rename(destination)
            _on_disk(lock)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    finally:
        os.close(lock)


def _locked(folder: Path, destination: Path, should_stop: Callable[[], bool]) -> int | None:
    """The lock on a fresh, empty staging folder; None once `destination` exists."""
    while not destination.exists():
        folder.mkdir(mode=0o755, exist_ok=True)
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The folder may have been renamed or removed between opening and locking it.
            if os.path.samestat(os.fstat(lock), folder.stat()):
                if not destination.exists():
                    _empty(folder)
                    return lock
                folder.rmdir()
        except FileNotFoundError:
            pass
        except BlockingIOError:
            if should_stop():
                os.close(lock)
                raise Abandoned from None
            time.sleep(_LOOKS_AGAIN_AFTER)
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)
    return None


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _make_readable(folder: Path) -> None:
    """Folders made under a narrow umask would be closed to the robot's own user."""
    for root, _folders, _files in os.walk(folder):
        Path(root).chmod(0o755)


def _on_disk(folder: int) -> None:
    """Everything written to the folder's filesystem so far survives a power cut: one call, not one per file."""
    if ctypes.CDLL(None, use_errno=True).syncfs(folder):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
