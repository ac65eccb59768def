"""The environments that robots run in: built once, in the sandbox, and shared read-only from then on."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from executions.building import (
    LOCK_FILE,
    Build,
    EnvironmentStopped,
    OnLine,
    ShouldStop,
    Workshop,
)
from executions.interpreters import EnvironmentFailed, fitting_interpreter, uv_version
from executions.sandbox import Sandbox
from robots.environments import EnvironmentSpec, key
from robots.staging import Abandoned, staged

__all__ = [
    "Built",
    "EnvironmentFailed",
    "EnvironmentStopped",
    "EnvironmentStore",
    "remove_leftovers",
]


@dataclass(frozen=True)
class Built:
    """An environment ready to be mounted at /env. `lock` lists everything in it, one `name==version` a line."""

    path: Path
    key: str
    lock: str


class EnvironmentStore:
    """All environments of one server, below `root`; safe to share between threads and processes."""

    def __init__(
        self,
        root: Path,
        sandbox: Sandbox,
        uv: Path,
        *,
        cache: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """`settings` tells uv where packages come from; the process's environment, if not given."""
        self.root = root
        self._shop = Workshop(
            root=root,
            sandbox=sandbox,
            uv=uv.resolve(),
            cache=cache or root.with_name("uv-cache"),
            settings=dict(os.environ if settings is None else settings),
        )

    def ensure(
        self, spec: EnvironmentSpec, *, on_line: OnLine, should_stop: ShouldStop, slot: int
    ) -> Built:
        """The environment of `spec`, built first if nobody did yet. Every line of the build goes to `on_line` at once.

        Call it on a thread that lives until it returns. Raises EnvironmentFailed with a reason, EnvironmentStopped
        soon after `should_stop` says so, and leaves nothing behind in both cases.
        """
        interpreter = fitting_interpreter(spec.python, on_line)
        identity = key(spec, interpreter.build, uv_version(self._shop.uv))
        path = self.root / identity
        if not path.is_dir():
            self.root.mkdir(mode=0o711, parents=True, exist_ok=True)
            try:
                with (
                    staged(path, should_stop) as folder,
                    tempfile.TemporaryDirectory(prefix=".scratch-", dir=self.root) as scratch,
                ):
                    if folder is not None:
                        Build(
                            self._shop,
                            spec,
                            interpreter,
                            folder=folder,
                            scratch=Path(scratch),
                            on_line=on_line,
                            should_stop=should_stop,
                            slot=slot,
                        ).run()
            except Abandoned:
                raise EnvironmentStopped from None
        return Built(path=path, key=identity, lock=(path / LOCK_FILE).read_text())


def remove_leftovers(root: Path) -> None:
    """Clear what a killed server left of builds. Only while no server is running."""
    for path in (*root.glob(".scratch-*"), *root.glob(".*.staging")):
        shutil.rmtree(path, ignore_errors=True)
