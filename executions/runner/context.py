"""What every run of one runner shares: folders, the sandbox, the environments."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import BinaryIO, cast

from django.conf import settings
from django.core.files.storage import default_storage
from uv import find_uv_bin

from executions.environments import EnvironmentStore
from executions.sandbox import Sandbox
from resources.storage import Patience
from robots import packages
from robots.manifest import Manifest
from robots.models import RobotVersion


@dataclass(frozen=True)
class RunnerContext:
    """The runner's own parts, made once."""

    data_dir: Path
    sandbox: Sandbox
    environments: EnvironmentStore
    #: A version by its number in the database. It never changes: the runs of a busy robot ask once.
    version: Callable[[int], RobotVersion] = field(
        default_factory=lambda: lru_cache(maxsize=256)(_version)
    )

    @classmethod
    def make(cls) -> "RunnerContext":
        data_dir = Path(settings.RPA_DATA_DIR)
        sandbox = Sandbox(data_dir, uid_base=settings.RPA_SANDBOX_UID_BASE)
        return cls(data_dir, sandbox, EnvironmentStore(data_dir / "environments", sandbox, uv()))

    @property
    def workspaces(self) -> Path:
        return self.data_dir / "work"

    def unpacked(self, version: RobotVersion, patience: Patience) -> Path:
        """The version's files, read-only, unpacked at first use. Raises Unavailable where the storage stays away."""
        folder = self.data_dir / "packages" / version.digest
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
            patience(partial(_unpack, version, folder))
        return folder


def _unpack(version: RobotVersion, folder: Path) -> None:
    with default_storage.open(version.storage_key) as stored:
        packages.unpack(
            cast("BinaryIO", stored),
            Manifest.from_json(version.manifest),
            folder,
            digest=version.digest,
        )


def _version(number: int) -> RobotVersion:
    return RobotVersion.objects.get(pk=number)


def uv() -> Path:
    """The program that builds environments: it comes with our own Python packages."""
    return Path(find_uv_bin())
