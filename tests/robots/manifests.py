"""Manifests, read from files that are given as text."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
import yaml

from robots import conventions
from robots.manifest import Manifest
from robots.refusals import PackageRefused

TODAY = date(2026, 11, 23)
TASKS = {"Run it": {"shell": "python main.py"}}


def read(files: dict[str, str | bytes]) -> Manifest:
    content = {
        name: each.encode() if isinstance(each, str) else each for name, each in files.items()
    }
    return conventions.read(list(content), content.get, cutoff=TODAY)


def robot(*, files: dict[str, str | bytes] | None = None, **keys: Any) -> Manifest:
    return read(
        {
            "robot.yaml": yaml.safe_dump({"tasks": TASKS, "artifactsDir": "output", **keys}),
            **(files or {}),
        }
    )


def refusal(**keys: Any) -> PackageRefused:
    with pytest.raises(PackageRefused) as caught:
        robot(**keys)
    return caught.value
