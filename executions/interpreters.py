"""The machine's own Pythons, and which of them an environment is built with."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from packaging.specifiers import SpecifierSet


class EnvironmentFailed(Exception):
    """The environment cannot be built. The message says why, for the robot's author."""


@dataclass(frozen=True)
class Interpreter:
    """A Python of the machine. `build` changes whenever what is built with it would."""

    path: str
    version: str
    build: str


def fitting_interpreter(asked: str | None, on_line: Callable[[str], None]) -> Interpreter:
    """The machine's Python that fits best; said aloud if none does."""
    there = _interpreters()
    if not there:
        raise EnvironmentFailed("There is no Python below /usr on this machine.")
    if asked is None:
        return there[0]
    wanted = SpecifierSet(f"=={asked}.*" if re.fullmatch(r"\d+\.\d+", asked) else asked)
    for each in there:
        if wanted.contains(each.version, prereleases=True):
            return each
    on_line(
        f"Warning: the robot asks for Python {asked}, which is not installed here. Python {there[0].version} is used instead."
    )
    return there[0]


@lru_cache(maxsize=1)
def _interpreters() -> tuple[Interpreter, ...]:
    """Those that the sandbox shows too, the machine's default one first, then the newest."""
    found = {
        path.resolve()
        for folder in ("/usr/local/bin", "/usr/bin")
        for path in Path(folder).glob("python3*")
        if re.fullmatch(r"python3(\.\d+)?", path.name) and os.access(path, os.X_OK)
    }
    question = "import platform, sys; print(platform.python_version()); print(sys.version, platform.machine(), *platform.libc_ver())"
    interpreters = []
    for path in found:
        if path.is_relative_to("/usr"):
            answer = subprocess.run(  # noqa: S603 - one of the system's own interpreters
                [str(path), "-I", "-S", "-c", question],
                capture_output=True,
                text=True,
                check=True,
                timeout=30,
                env={},
            )
            version, _newline, build = answer.stdout.strip().partition("\n")
            interpreters.append(Interpreter(str(path), version, " ".join(build.split())))
    default = Path("/usr/bin/python3").resolve()
    numbers = {
        each: tuple(int(number) for number in re.findall(r"\d+", each.version)[:3])
        for each in interpreters
    }
    return tuple(
        sorted(
            interpreters, key=lambda each: (Path(each.path) == default, numbers[each]), reverse=True
        )
    )


@lru_cache(maxsize=8)
def uv_version(uv: Path) -> str:
    return subprocess.run(  # noqa: S603 - the operator's own tool
        [str(uv), "--version"], capture_output=True, text=True, check=True, timeout=30
    ).stdout.strip()
