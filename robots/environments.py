"""What a robot needs installed, from the files in which robots say so."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import PurePosixPath
from typing import Any, Self

from django.utils.translation import gettext as _
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from robots.documents import Reader, text, toml_map, yaml_map
from robots.refusals import PackageRefused
from robots.requirements import Collector, as_list, as_text, bad_environment

_USUAL_CHANNELS = frozenset({"conda-forge", "defaults", "anaconda", "main"})


@dataclass(frozen=True)
class EnvironmentSpec:
    """The packages that a robot's environment is built from. Two equal ones give the same environment."""

    requirements: tuple[str, ...]
    # "3.12" or a range such as ">=3.10"; None takes what is there.
    python: str | None = None
    constraints: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    # Pins do not pin what they pull in: nothing newer than the robot itself is installed.
    cutoff: date | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "requirements": list(self.requirements),
            "python": self.python,
            "constraints": list(self.constraints),
            "options": list(self.options),
            "warnings": list(self.warnings),
            "cutoff": self.cutoff.isoformat() if self.cutoff else None,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        return cls(
            requirements=tuple(data["requirements"]),
            python=data["python"],
            constraints=tuple(data["constraints"]),
            options=tuple(data["options"]),
            warnings=tuple(data["warnings"]),
            cutoff=date.fromisoformat(data["cutoff"]) if data["cutoff"] else None,
        )


# A suite without an environment of its own still needs the program that runs it.
ROBOT_FRAMEWORK = EnvironmentSpec(requirements=("robotframework==7.5",))


def key(spec: EnvironmentSpec, interpreter_build: str, uv_version: str) -> str:
    """The environment's identity: equal keys may share one built folder, forever."""
    parts = [
        "1",
        sorted(spec.requirements),
        sorted(spec.constraints),
        sorted(spec.options),
        spec.cutoff.isoformat() if spec.cutoff else None,
        interpreter_build,
        uv_version,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def from_file(name: str, read: Reader) -> EnvironmentSpec | None:
    """What the environment file `name` of a package asks for; None if the file does not exist."""
    raw = read(name)
    if raw is None:
        return None
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in {".yaml", ".yml"}:
        document = yaml_map(raw, name)
        return (
            from_package_yaml(document, name)
            if "spec-version" in document
            else from_conda(document, name, read)
        )
    if suffix == ".toml":
        return from_pyproject(toml_map(text(raw, name), name), name)
    return _collected(Collector(name, read).add_text(text(raw, name), name))


def from_lines(
    lines: Iterable[object], where: str, *, python: str | None = None
) -> EnvironmentSpec:
    """A list of requirements, as PEP 723 and pyproject.toml have it."""
    collector = Collector(where, lambda _name: None)
    for line in lines:
        collector.add_line(as_text(line, where), where)
    return replace(_collected(collector), python=python_range(python, where) if python else None)


def from_pyproject(document: dict[str, Any], where: str) -> EnvironmentSpec:
    project = document.get("project")
    if not isinstance(project, dict):
        return EnvironmentSpec(requirements=())
    dependencies = project.get("dependencies", [])
    if not isinstance(dependencies, list):
        raise bad_environment(_("project.dependencies must be a list."), where)
    python = project.get("requires-python")
    return from_lines(dependencies, where, python=as_text(python, where) if python else None)


def from_package_yaml(document: dict[str, Any], where: str) -> EnvironmentSpec:
    """An action package: conda-forge holds python and uv, pypi holds `name=version`."""
    groups = document.get("dependencies") or {}
    if not isinstance(groups, dict):
        raise bad_environment(_("dependencies must be a map."), where)
    collector = Collector(where, lambda _name: None)
    for item in as_list(groups.get("conda-forge"), where):
        collector.add_conda(as_text(item, where), where)
    for item in as_list(groups.get("pypi"), where):
        collector.add_line(re.sub(r"(?<![=<>!~])=(?!=)", "==", as_text(item, where)), where)
    for other in sorted(set(groups) - {"conda-forge", "pypi"}):
        collector.warnings.append(
            f"{where}: the dependencies under '{other}' cannot be installed here."
        )
    if as_list(document.get("post-install"), where):
        collector.warnings.append(f"{where}: post-install is not run.")
    return _collected(collector)


def from_conda(document: dict[str, Any], where: str, read: Reader) -> EnvironmentSpec:
    """conda.yaml: its pip section as it is, and those conda packages that are plain Python ones."""
    collector = Collector(where, read)
    for item in as_list(document.get("dependencies"), where):
        if isinstance(item, dict):
            for group, lines in item.items():
                if group == "pip":
                    for line in as_list(lines, where):
                        collector.add_line(as_text(line, where), where)
                else:
                    collector.warnings.append(
                        f"{where}: the dependencies under '{group}' cannot be installed here."
                    )
        else:
            collector.add_conda(as_text(item, where), where)
    for channel in as_list(document.get("channels"), where):
        if as_text(channel, where) not in _USUAL_CHANNELS:
            collector.warnings.append(
                f"{where}: the channel '{channel}' is not used; packages come from the Python index."
            )
    if as_list(document.get("rccPostInstall"), where):
        collector.warnings.append(f"{where}: rccPostInstall is not run.")
    return _collected(collector)


def python_range(asked: str, where: str) -> str:
    """`asked` (a version or a PEP 440 range), normalised; refused if it is neither."""
    if re.fullmatch(r"\d+\.\d+", asked):
        return asked
    try:
        return str(SpecifierSet(asked))
    except InvalidSpecifier as error:
        raise bad_environment(
            _("'%(asked)s' is no Python version.") % {"asked": asked[:80]}, where
        ) from error


def unmet_python(asked: str | None, where: str) -> tuple[str, ...]:
    """A warning if a robot that needs nothing installed asks for another Python than runs it."""
    if asked is None:
        return ()
    wanted = SpecifierSet(f"=={asked}.*" if re.fullmatch(r"\d+\.\d+", asked) else asked)
    if wanted.contains(platform.python_version(), prereleases=True):
        return ()
    return (
        f"{where}: Python {asked} is not used, since there is nothing to install with it; "
        "the machine's default Python runs the robot.",
    )


def _collected(collector: Collector) -> EnvironmentSpec:
    hashed = [line for line in collector.requirements if "--hash" in line]
    options = [*collector.options, *(["--require-hashes"] if hashed else [])]
    if hashed and len(hashed) != len(collector.requirements):
        raise PackageRefused(
            "bad_requirement",
            _("Some requirements have a hash and some do not. Give one to each, or to none."),
            collector.where,
        )
    return EnvironmentSpec(
        requirements=tuple(collector.requirements),
        python=collector.python,
        constraints=tuple(collector.constraints),
        options=tuple(options),
        warnings=tuple(collector.warnings),
    )
