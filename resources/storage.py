"""Where files lie: in a folder, or in a bucket of an S3 server. Both keep the same promises.

A key names one object for ever; `save` never overwrites. What is missing raises FileNotFoundError. A server
that does not answer, or answers with a fault of its own, raises Unavailable after a few attempts.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar, cast

from django.core.files.storage import FileSystemStorage, default_storage

from accounts.refusals import Unavailable

#: How long a presigned address works, in seconds: clients begin at once.
PRESIGNED_SECONDS = 300
_PATIENCE_SECONDS = 90.0
#: How soon it is heard that nobody waits any more.
_LOOK_SECONDS = 0.25

_R = TypeVar("_R")


@dataclass(frozen=True)
class UploadForm:
    """Where a client posts a file to the storage itself: these fields first, then `file`, as multipart."""

    url: str
    fields: Mapping[str, str]


class ObjectStore(Protocol):
    """What the platform asks of its storage beside Django's own API."""

    def read_range(self, key: str, offset: int, length: int) -> bytes:
        """Some bytes of an object, without the rest of it."""

    def download_address(self, key: str, *, file_name: str, content_type: str) -> str | None:
        """Where a client may fetch an object by itself, as an attachment; None where it may not."""

    def upload_form(self, key: str, *, most: int) -> UploadForm | None:
        """How a client may store at most so many bytes by itself; None where it may not."""


class Patience:
    """Waits for a storage that is away: a minute and a half in all, however many deeds there are.

    Then, and once `over` says so, nothing is waited for any more; and after one deed that has failed so, none is tried.
    """

    def __init__(self, over: Callable[[], bool] = lambda: False) -> None:
        self._over = over
        self._left = _PATIENCE_SECONDS
        self._lost: Unavailable | None = None

    def __call__(self, deed: Callable[[], _R]) -> _R:
        """`deed()`, again and again while the storage is away. Raises Unavailable where that lasts."""
        if self._lost is not None:
            raise self._lost
        waiting = self._left > 0
        pause = 0.5
        while True:
            began = time.monotonic()
            try:
                return deed()
            except Unavailable as error:
                if not waiting:
                    self._lost = error
                    raise
                self._wait(pause)
                if self._over():
                    self._lost = error
                    raise
                self._left -= time.monotonic() - began
                if self._left <= 0:
                    raise
            pause = min(2 * pause, 10.0)

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + min(seconds, self._left)
        while not self._over() and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _LOOK_SECONDS))


def objects() -> ObjectStore:
    """The configured storage."""
    return cast("ObjectStore", default_storage)


class Folder(FileSystemStorage):
    """A folder of this machine. Nobody but the platform reaches it."""

    def read_range(self, key: str, offset: int, length: int) -> bytes:
        with self.open(key) as file:
            file.seek(offset)
            return cast("bytes", file.read(length))

    def download_address(self, key: str, *, file_name: str, content_type: str) -> None:
        return None

    def upload_form(self, key: str, *, most: int) -> None:
        return None
