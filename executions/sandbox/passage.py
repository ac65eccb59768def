"""A way for robots to files that lie where no other user may pass, as below /root or a private folder.

Bubblewrap, which has a robot's uid, looks for what it mounts by the path of the descriptor that it was given.
So such a file is mounted a second time, in a folder that only the thread which starts processes sees: the
operator's folders stay as private as they are, and all is gone when the server is.
"""

import os
import stat
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import count
from pathlib import Path

from . import mounts
from .workspace import mounts_below

# The standard's folder for passing mounts; nothing that starts a robot needs what the operator has in it.
_PLACE = Path("/mnt")


class Passage:
    """The second mounts of one server. `open` is for the thread that starts processes."""

    def __init__(self, data_dir: Path) -> None:
        """Nothing is mounted yet. It is decided now, for all runs, whether they need it."""
        self._data_dir = data_dir
        self._numbers = count()
        self._ready = False
        # What robots are shown is the platform's data, its code, or a program of its environment.
        shown = (data_dir / "any", Path(__file__), Path(sys.prefix, "bin", "any"))
        self._needed = os.geteuid() == 0 and not all(map(mounts.is_open_to_others, shown))

    def copy(self, path: Path) -> int | None:
        """A descriptor of a mount of `path` for `open`; None where none is needed, or root may make none."""
        if not self._needed:
            return None
        try:
            return mounts.copied(path)
        except PermissionError:
            return None

    def open(self, copies: Iterable[int]) -> Callable[[], None]:
        """Put each of the copies where robots find it; the same descriptors then lead there.

        Returns what takes the mounts away again, once nobody looks for them any more.
        """
        places: list[Path] = []

        def close() -> None:
            for place in places:
                with suppress(OSError):
                    mounts.leave(place)
                place.rmdir() if place.is_dir() else place.unlink()

        try:
            for descriptor in copies:
                places.append(self._place(stat.S_ISDIR(os.fstat(descriptor).st_mode)))
                mounts.attach(descriptor, places[-1])
                found = os.open(places[-1], os.O_PATH | os.O_CLOEXEC)
                os.dup2(found, descriptor, inheritable=False)
                os.close(found)
        except BaseException:
            close()
            raise
        return close

    def _place(self, folder: bool) -> Path:
        if not self._ready:
            mounts.own_namespace()
            # It began with every mount of the host's. The workspaces must end when their runs do.
            for point in mounts_below(self._data_dir):
                mounts.leave(point)
            flags = mounts.NOSUID | mounts.NODEV
            mounts.mount("rpa-passage", _PLACE, "tmpfs", flags, "mode=0711,size=1m")
            self._ready = True
        place = _PLACE / str(next(self._numbers))
        if folder:
            place.mkdir()
        else:
            place.touch()
        return place
