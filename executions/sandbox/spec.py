"""What is asked of the sandbox: one immutable description of one run."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Profile(StrEnum):
    """How much of the kernel a run may touch.

    STRICT   no network, no namespaces of its own.
    BROWSER  as strict, but a browser may build its own sandbox inside.
    BUILDER  as strict with the host's network; it fetches packages and runs none of their code.
    """

    STRICT = "strict"
    BROWSER = "browser"
    BUILDER = "builder"


@dataclass(frozen=True, slots=True)
class Limits:
    """Ceilings of one run. Sizes are bytes; memory includes what lies in /work, /tmp and /dev/shm."""

    memory: int
    pids: int
    cpus: float
    cpu_seconds: int | None
    file_size: int
    open_files: int
    workspace: int
    inodes: int
    tmp: int


LIMITS: Mapping[Profile, Limits] = MappingProxyType(
    {
        Profile.STRICT: Limits(
            memory=512 * MIB,
            pids=64,
            cpus=1.0,
            cpu_seconds=None,
            file_size=256 * MIB,
            open_files=1024,
            workspace=256 * MIB,
            inodes=20_000,
            tmp=128 * MIB,
        ),
        Profile.BROWSER: Limits(
            memory=1536 * MIB,
            pids=512,
            cpus=2.0,
            cpu_seconds=None,
            file_size=1 * GIB,
            open_files=4096,
            workspace=512 * MIB,
            inodes=50_000,
            tmp=512 * MIB,
        ),
        Profile.BUILDER: Limits(
            memory=2 * GIB,
            pids=128,
            cpus=2.0,
            cpu_seconds=None,
            file_size=2 * GIB,
            open_files=4096,
            workspace=256 * MIB,
            inodes=50_000,
            tmp=512 * MIB,
        ),
    }
)


@dataclass(frozen=True, kw_only=True)
class Spec:
    """One run: its command and all that it may see of the host.

    `workspace` becomes /work (writable), `package` /robot, `support` /opt/rpa, `environment` /env,
    `files` /run/<name> (0400), `tools` /opt/tools/<name>, `cache` /cache (builder only). Nothing else
    of the host is visible besides /usr and a few files of /etc. No directory of a spec may lie inside
    one that a robot can write.
    """

    command: tuple[str, ...]
    workspace: Path
    slot: int
    env: Mapping[str, str] = field(default_factory=dict)
    profile: Profile = Profile.STRICT
    limits: Limits | None = None
    environment: Path | None = None
    environment_writable: bool = False
    package: Path | None = None
    support: Path | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    tools: Mapping[str, Path] = field(default_factory=dict)
    cache: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what could not be passed on faithfully: a NUL would end an argument early."""
        if not self.command or not self.command[0]:
            raise ValueError("A run needs a command.")
        if self.slot < 0:
            raise ValueError("A slot is a number from 0 on.")
        if any("\0" in text for text in (*self.command, *self.env.values())):
            raise ValueError("A command or a variable contains a NUL character.")
        for name in self.env:
            if not _VARIABLE.fullmatch(name):
                raise ValueError(f"{name!r} cannot be the name of a variable.")
        for name in (*self.files, *self.tools):
            if not _PLAIN_NAME.fullmatch(name):
                raise ValueError(f"{name!r} cannot be the name of a file in the sandbox.")
        if self.profile is not Profile.BUILDER and (
            self.environment_writable or self.cache is not None or self.tools
        ):
            raise ValueError("Only the builder has tools, a cache or a writable environment.")

    @property
    def ceilings(self) -> Limits:
        """The limits of this run: its own, else those of its profile."""
        return self.limits or LIMITS[self.profile]
