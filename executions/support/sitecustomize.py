"""Runs as every Python of the robot starts: hooks robocorp.log when, and only when, the robot itself imports it.

The robot's command stays as it is, and no port or second process is needed. Whatever fails here, the robot runs.
"""

from __future__ import annotations

import importlib.machinery
import os
import sys

# The types are only for those who read: importing them costs every program's start.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType


class _AfterImport:
    """Finds the module as usual, and adds one call after it has been executed."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != "robocorp.log":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            try:
                import rpa_robocorp

                rpa_robocorp.attach(module)
            except Exception:  # noqa: BLE001 - steps are a comfort; the robot is what matters
                return

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _run_the_next_one() -> None:
    """The environment's own sitecustomize, which this one stands in front of."""
    # Not pathlib: this runs before every program, and importing it takes longer than all the rest here.
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    others = [path for path in sys.path if os.path.abspath(path or ".") != here]  # noqa: PTH100
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        module = type(sys)("sitecustomize")
        module.__spec__, module.__file__ = spec, spec.origin
        spec.loader.exec_module(module)


if "RPA_EXECUTION_ID" in os.environ:
    sys.meta_path.insert(0, _AfterImport())
try:
    _run_the_next_one()
except Exception as error:  # noqa: BLE001 - what site.py does with it
    sys.stderr.write(f"Error in sitecustomize: {error!r}\n")
