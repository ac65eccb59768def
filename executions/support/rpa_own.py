"""The platform's own `rpa`, also where a robot has a module of that name, and without running the robot's."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

_PATH = Path(__file__).resolve().with_name("rpa.py")


def _own() -> Any:
    spec = importlib.util.find_spec("rpa")
    if spec is None or spec.origin is None or Path(spec.origin).resolve() != _PATH:
        spec = importlib.util.spec_from_file_location("_rpa_of_the_platform", _PATH)
    if spec is None or spec.loader is None:
        raise ImportError(f"{_PATH} cannot be loaded")
    if spec.name not in sys.modules:
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    return sys.modules[spec.name]


rpa = _own()
