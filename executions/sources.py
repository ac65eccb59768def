"""Packages that are published as source only, made into wheels without ever running their code with a network.

Even asking such a package for its dependencies runs its setup.py. So: the address comes from the index alone (uv is
told that the package depends on nothing, and asks no further), the archive is fetched by a few lines of our own,
what its build needs is installed as wheels, and the build itself runs where there is no network.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from executions.sandbox import Outcome, collector
from robots import environments
from robots.refusals import PackageRefused

MAX_SOURCES = 15
MAX_SOURCE_BYTES = 200 * 1024**2
# Setup scripts from before pyproject.toml rely on what setuptools has dropped since.
LEGACY = ["setuptools<81", "wheel"]

_NO_WHEEL = re.compile(r"Because (?:all versions of )?(\S+?) ha(?:s|ve) no (?:usable )?wheels")
_MAX_LOCK = 1024**2

_FETCH = """\
import hashlib, sys, urllib.request
url, digest, target, limit = sys.argv[1:]
with urllib.request.urlopen(url, timeout=60) as answer:
    content = answer.read(int(limit) + 1)
if len(content) > int(limit) or hashlib.sha256(content).hexdigest() != digest:
    sys.exit("The source is too large, or not the one that the index announced.")
with open(target, "wb") as file:
    file.write(content)
"""
_NEEDS = """\
import json, sys, tarfile, tomllib, zipfile
path, needs = sys.argv[1], None
if path.endswith(".zip"):
    with zipfile.ZipFile(path) as archive:
        found = [archive.read(name) for name in archive.namelist() if name.count("/") == 1 and name.endswith("/pyproject.toml")]
else:
    with tarfile.open(path) as archive:
        found = [archive.extractfile(member).read() for member in archive if member.isfile() and member.name.count("/") == 1
                 and member.name.endswith("/pyproject.toml")]
if found:
    needs = tomllib.loads(found[0].decode()).get("build-system", {}).get("requires")
print("needs=" + json.dumps(needs))
"""


class SourceFailed(Exception):
    """The package cannot be made from its source. The message says which one and why."""


class Steps(Protocol):
    """What a build can do, each in the sandbox."""

    scratch: Path
    said: list[str]
    python: str
    on_line: Callable[[str], None]

    def uv(
        self,
        arguments: Sequence[str],
        files: Mapping[str, bytes],
        *,
        environment: Path | None = None,
        config: bool = False,
    ) -> Outcome:
        """Run uv with the network; /work is the scratch folder."""

    def fetch(self, script: str, arguments: Sequence[str]) -> Outcome:
        """Run a few lines of Python of the platform's own with the network."""

    def offline(self, command: Sequence[str], *, environment: Path | None = None) -> Outcome:
        """Run anything without the network; /work is the scratch folder."""


def missing_wheel(said: str, made: Mapping[str, Path]) -> str | None:
    """The requirement for which uv found no wheel, unless it has been made already."""
    for match in _NO_WHEEL.finditer(said):
        try:
            requirement = Requirement(match[1])
        except InvalidRequirement:
            continue
        if requirement.name not in made:
            return str(requirement)
    return None


def make_wheel(requirement: str, steps: Steps, options: Sequence[str], into: Path) -> Path:
    """Build the wheel of `requirement` from its source and put it into the folder `into`. Raises SourceFailed.

    The scratch folder must be fresh, and of no use afterwards: what is built can write to it, so that anything that
    ran there later with a network might be the package's own.
    """
    name = Requirement(requirement).name
    steps.on_line(
        f"'{requirement}' is published as source only; it is built here, without network."
    )
    source = _fetched(name, requirement, steps, options)
    needs = "\n".join(["pip", *_needs(source, name, steps)]).encode()
    tools = steps.scratch / "tools"
    _check(
        steps.uv(["venv", "--quiet", "--no-project", "--python", steps.python, "/work/tools"], {}),
        name,
        steps,
    )
    _check(
        steps.uv(
            [
                "pip",
                "install",
                "--quiet",
                "--python",
                "/env",
                "--no-build",
                "--link-mode",
                "copy",
                *options,
                "--requirements",
                "/run/needs.txt",
            ],
            {"needs.txt": needs},
            environment=tools,
        ),
        name,
        steps,
    )
    command = [
        "/env/bin/python",
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "--no-cache-dir",
        "--disable-pip-version-check",
        "--wheel-dir",
        "/work/wheels",
        f"/work/{source.name}",
    ]
    _check(steps.offline(command, environment=tools), name, steps)
    try:
        for found in collector.walk(
            steps.scratch / "wheels", max_files=10, max_bytes=MAX_SOURCE_BYTES
        ):
            if isinstance(found, collector.Found) and _is_wheel_of(name, found.name):
                wheel = into / found.name
                with found.open() as made, wheel.open("wb") as kept:
                    shutil.copyfileobj(made, kept)
                return wheel
    except (OSError, collector.UnsafeFile) as error:
        raise SourceFailed(
            f"'{name}' is published as source only, and building it gave no wheel."
        ) from error
    raise SourceFailed(f"'{name}' is published as source only, and building it gave no wheel.")


def _is_wheel_of(name: str, file: str) -> bool:
    try:
        return parse_wheel_filename(file)[0] == canonicalize_name(name)
    except InvalidWheelFilename:
        return False


def _fetched(name: str, requirement: str, steps: Steps, options: Sequence[str]) -> Path:
    """The source archive, as the index has it."""
    lock = steps.scratch / "pylock.toml"
    files = {
        "source.txt": requirement.encode(),
        "uv.toml": f"[[dependency-metadata]]\nname = {json.dumps(name)}\nrequires-dist = []\n".encode(),
    }
    _check(
        steps.uv(
            [
                "pip",
                "compile",
                "--quiet",
                "--no-deps",
                "--no-header",
                "--format",
                "pylock.toml",
                "--python",
                steps.python,
                *options,
                "--output-file",
                f"/work/{lock.name}",
                "/run/source.txt",
            ],
            files,
            config=True,
        ),
        name,
        steps,
    )
    try:
        with os.fdopen(os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            source = tomllib.loads(file.read(_MAX_LOCK).decode())["packages"][0]["sdist"]
        url, digest = str(source["url"]), str(source["hashes"]["sha256"])
    except (OSError, KeyError, IndexError, TypeError, ValueError) as error:
        raise SourceFailed(
            f"'{name}' has neither a wheel nor a source that can be used."
        ) from error
    archive = (
        re.sub(r"[^\w.+-]", "_", url.rpartition("/")[2].partition("#")[0]).lstrip(".-")
        or "source.tar.gz"
    )
    _check(
        steps.fetch(_FETCH, [url, digest, f"/work/{archive}", str(MAX_SOURCE_BYTES)]), name, steps
    )
    return steps.scratch / archive


def _needs(source: Path, name: str, steps: Steps) -> list[str]:
    """What the build needs; checked like a robot's own requirements, for they are as much somebody else's data."""
    _check(
        steps.offline([steps.python, "-I", "-S", "-c", _NEEDS, f"/work/{source.name}"]), name, steps
    )
    answer = next(
        (line.removeprefix("needs=") for line in steps.said if line.startswith("needs=")), "null"
    )
    try:
        declared = json.loads(answer)
        return list(environments.from_lines(declared, name).requirements) if declared else LEGACY
    except (ValueError, TypeError, PackageRefused) as error:
        raise SourceFailed(
            f"'{name}' is published as source only, and its build needs what is not allowed here."
        ) from error


def _check(outcome: Outcome, name: str, steps: Steps) -> None:
    if outcome.exit_code != 0:
        last = next(
            (line for line in reversed(steps.said) if line.strip()),
            f"exit code {outcome.exit_code}",
        )
        raise SourceFailed(
            f"'{name}' is published as source only, and could not be built here: {last[:400]}"
        )
