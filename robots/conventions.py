"""The ways in which robots that people already have say what they are, each read into one `Manifest`."""

from __future__ import annotations

import platform
import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any

from django.utils.translation import gettext as _

from robots import environments
from robots.documents import Reader, repeated, text, toml_map, yaml_map
from robots.environments import EnvironmentSpec
from robots.extension import extension, with_parameters_file
from robots.manifest import (
    DEFAULT_ARTIFACTS,
    ITEMS_IN,
    ITEMS_OUT,
    MAX_TASK_NAME,
    MAX_TASKS,
    Kind,
    Manifest,
    checked_command,
    relative_folder,
    split,
    suite_command,
)
from robots.refusals import PackageRefused

ROBOT_YAML, PACKAGE_YAML = "robot.yaml", "package.yaml"
_SYSTEMS = re.compile(r"windows|darwin|macos|linux", re.IGNORECASE)
_MACHINES = re.compile(r"amd64|x86_64|arm64|aarch64", re.IGNORECASE)
_MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
_ACTION = re.compile(r"@(?:\w+\.)?(?:action|query|predict)\b")
_FUNCTION = re.compile(r"def (\w+)")


def read(names: Collection[str], document: Reader, *, cutoff: date) -> Manifest:
    """The manifest of the package with the files `names`, whose content `document` gives."""
    if ROBOT_YAML in names:
        manifest = _robot(names, document)
    elif PACKAGE_YAML in names:
        manifest = _actions(names, document)
    else:
        manifest = _without_manifest(names, document)
    _check_places(manifest, names)
    manifest = with_parameters_file(manifest, document)
    if manifest.environment is None and _runs_robot_framework(manifest):
        return manifest.with_environment(environments.ROBOT_FRAMEWORK)
    if manifest.environment is not None:
        return manifest.with_environment(replace(manifest.environment, cutoff=cutoff))
    return manifest


def ignored_lines(folder: Path) -> list[str]:
    """The lines of the ignore files that the robot.yaml in `folder` names."""
    path = folder / ROBOT_YAML
    if not path.is_file():
        return []
    lines: list[str] = []
    for name in _strings(yaml_map(path.read_bytes(), ROBOT_YAML), "ignoreFiles", ROBOT_YAML):
        ignore_file = folder / relative_folder(name, ROBOT_YAML)
        if not ignore_file.is_file():
            raise PackageRefused(
                "missing_file",
                _("ignoreFiles names '%(name)s', which does not exist.") % {"name": name},
                ROBOT_YAML,
            )
        lines += text(ignore_file.read_bytes(), name).splitlines()
    return lines


def _robot(names: Collection[str], document: Reader) -> Manifest:
    source = document(ROBOT_YAML) or b""
    raw = yaml_map(source, ROBOT_YAML)
    artifacts = relative_folder(raw.get("artifactsDir") or DEFAULT_ARTIFACTS, ROBOT_YAML)
    if artifacts == ".":
        raise PackageRefused("bad_path", _("artifactsDir must be a folder of its own."), ROBOT_YAML)
    definitions = raw.get("tasks")
    if not isinstance(definitions, dict) or not definitions:
        raise PackageRefused(
            "no_tasks", _("It needs a map 'tasks' with at least one task."), ROBOT_YAML
        )
    for name in repeated(source, ROBOT_YAML, "tasks"):
        raise PackageRefused(
            "bad_task", _("'%(name)s' is there twice.") % {"name": name[:200]}, ROBOT_YAML
        )
    tasks = {
        name: _robot_task(name, definition, artifacts) for name, definition in definitions.items()
    }
    environment, warnings = _robot_environment(raw, names, document)
    return Manifest(
        kind=Kind.ROBOT,
        entry=ROBOT_YAML,
        tasks=_checked_names(tasks, ROBOT_YAML),
        artifacts=artifacts,
        path=tuple(relative_folder(part, ROBOT_YAML) for part in _strings(raw, "PATH", ROBOT_YAML)),
        python_path=tuple(
            relative_folder(part, ROBOT_YAML) for part in _strings(raw, "PYTHONPATH", ROBOT_YAML)
        ),
        before=tuple(
            _script(split(each, ROBOT_YAML), names)
            for each in _strings(raw, "preRunScripts", ROBOT_YAML)
            if _is_for_here(each)
        ),
        environment=environment,
        extension=extension(raw.get("rpa"), ROBOT_YAML),
        warnings=warnings,
    )


def _robot_task(name: str, definition: object, artifacts: str) -> tuple[str, ...]:
    forms = {"robotTaskName", "shell", "command"}
    given = (
        [key for key in definition if key in forms and definition[key]]
        if isinstance(definition, dict)
        else []
    )
    if not isinstance(definition, dict) or len(given) != 1:
        raise PackageRefused(
            "bad_task",
            _("The task '%(name)s' needs exactly one of robotTaskName, shell and command.")
            % {"name": name},
            ROBOT_YAML,
        )
    value = definition[given[0]]
    if given[0] == "command":
        return checked_command(value, ROBOT_YAML)
    if not isinstance(value, str):
        raise PackageRefused(
            "bad_task",
            _("The task '%(name)s': %(key)s must be a text.") % {"name": name, "key": given[0]},
            ROBOT_YAML,
        )
    return split(value, ROBOT_YAML) if given[0] == "shell" else suite_command(artifacts, ".", value)


def _robot_environment(
    raw: dict[str, Any], names: Collection[str], document: Reader
) -> tuple[EnvironmentSpec | None, tuple[str, ...]]:
    wanted = [
        relative_folder(name, ROBOT_YAML)
        for name in _strings(raw, "environmentConfigs", ROBOT_YAML)
    ]
    for name in wanted:
        if name in names and _is_for_here(name) and _is_freeze_for_here(name):
            return _environment(name, document)
    if raw.get("condaConfigFile"):
        name = relative_folder(raw["condaConfigFile"], ROBOT_YAML)
        if name not in names:
            raise PackageRefused(
                "missing_file",
                _("condaConfigFile names '%(name)s', which does not exist.") % {"name": name},
                ROBOT_YAML,
            )
        return _environment(name, document)
    environment, warnings = _environment_beside(names, document)
    if wanted and environment is None:
        warnings += (
            f"None of the environmentConfigs exists for this machine: {', '.join(wanted)}"[:500],
        )
    return environment, warnings


def _environment_beside(
    names: Collection[str], document: Reader
) -> tuple[EnvironmentSpec | None, tuple[str, ...]]:
    """The environment of a package that does not name its file: of the first file that asks for packages.

    Those before it may still ask for a Python, and have their warnings.
    """
    warnings: tuple[str, ...] = ()
    python, asked_in = None, ""
    for name in ("conda.yaml", "requirements.txt", "pyproject.toml"):
        spec = environments.from_file(name, document) if name in names else None
        if spec is None:
            continue
        warnings += spec.warnings
        if spec.python and not python:
            python, asked_in = spec.python, name
        if spec.requirements:
            return replace(spec, python=spec.python or python), warnings
    return None, (*warnings, *environments.unmet_python(python, asked_in))


def _environment(name: str, document: Reader) -> tuple[EnvironmentSpec | None, tuple[str, ...]]:
    spec = environments.from_file(name, document)
    return (None, ()) if spec is None else _if_needed(spec, name)


def _if_needed(spec: EnvironmentSpec, where: str) -> tuple[EnvironmentSpec | None, tuple[str, ...]]:
    """An environment only where there is something to install."""
    if spec.requirements:
        return spec, spec.warnings
    return None, (*spec.warnings, *environments.unmet_python(spec.python, where))


def _actions(names: Collection[str], document: Reader) -> Manifest:
    """An action package, every action of it a task. Its actions are found by looking, not by importing."""
    raw = yaml_map(document(PACKAGE_YAML) or b"", PACKAGE_YAML)
    if raw.get("spec-version") not in ("v1", "v2", None):
        raise PackageRefused(
            "unsupported", _("Only spec-version v1 and v2 of package.yaml are known."), PACKAGE_YAML
        )
    spec = environments.from_package_yaml(raw, PACKAGE_YAML)
    environment, warnings = _if_needed(spec, PACKAGE_YAML)
    found: dict[str, tuple[str, ...]] = {}
    for name in sorted(names):
        if "/" not in name and name.endswith(".py"):
            for action in _actions_in(text(document(name) or b"", name)):
                found[action] = (
                    "python",
                    "-m",
                    "sema4ai.actions",
                    "run",
                    "-a",
                    action,
                    "--json-input",
                    "/run/params.json",
                )
    if not found:
        raise PackageRefused(
            "no_tasks", _("No Python file beside it has an @action."), PACKAGE_YAML
        )
    python_path = tuple(
        relative_folder(part, PACKAGE_YAML) for part in _strings(raw, "pythonpath", PACKAGE_YAML)
    )
    return Manifest(
        kind=Kind.ACTIONS,
        entry=PACKAGE_YAML,
        tasks=_checked_names(found, PACKAGE_YAML),
        python_path=(*python_path, "."),
        environment=environment,
        extension=extension(raw.get("rpa"), PACKAGE_YAML, description=raw.get("description")),
        warnings=warnings,
    )


def _actions_in(source: str) -> Iterator[str]:
    """The functions that have an action's decorator, among others or alone."""
    is_action = False
    for line in source.split("\n"):
        if line.startswith("@"):
            is_action = is_action or _ACTION.match(line) is not None
            continue
        function = _FUNCTION.match(line)
        if is_action and function:
            yield function[1]
        is_action = False


def _without_manifest(names: Collection[str], document: Reader) -> Manifest:
    """A script or a suite that is clear without anyone naming it."""
    top = [name for name in names if "/" not in name]
    suites = [name for name in top if name.endswith(".robot")]
    scripts = [name for name in top if name.endswith(".py")]
    if len(suites) == 1:
        return _suite(suites[0], names, document)
    if suites:
        return _suite(".", names, document)
    if len(scripts) == 1 or "main.py" in scripts:
        return _script_file(scripts[0] if len(scripts) == 1 else "main.py", names, document)
    elsewhere = sorted(name for name in names if PurePosixPath(name).name == ROBOT_YAML)[:3]
    if elsewhere:
        raise PackageRefused(
            "no_manifest",
            _("The package has no robot.yaml at its top. Pack the folder of one robot: %(found)s.")
            % {"found": ", ".join(elsewhere)},
        )
    if not scripts and any(name.endswith(".robot") for name in names):
        return _suite(".", names, document)
    raise PackageRefused(
        "no_manifest",
        _("The package has no robot.yaml, and not exactly one .py or .robot file at its top."),
    )


def _suite(target: str, names: Collection[str], document: Reader) -> Manifest:
    entry = target if target != "." else ""
    title = PurePosixPath(target).stem if entry else "Suite"
    environment, warnings = _environment_beside(names, document)
    return Manifest(
        kind=Kind.SUITE,
        entry=entry,
        tasks={title: suite_command(DEFAULT_ARTIFACTS, target)},
        python_path=(".",),
        environment=environment,
        warnings=warnings,
    )


def _script_file(name: str, names: Collection[str], document: Reader) -> Manifest:
    source = text(document(name) or b"", name)
    blocks = list(_script_blocks(source))
    if len(blocks) > 1:
        raise PackageRefused("bad_script", _("It has more than one block '# /// script'."), name)
    metadata: dict[str, Any] = {}
    if blocks:
        lines = (line.removeprefix("#").removeprefix(" ") for line in blocks[0])
        metadata = toml_map("\n".join(lines), name)
    dependencies = metadata.get("dependencies", [])
    if not isinstance(dependencies, list):
        raise PackageRefused("bad_script", _("dependencies must be a list."), name)
    environment, warnings = _environment_beside(names, document)
    python = metadata.get("requires-python")
    own = environments.from_lines(
        dependencies, name, python=python if isinstance(python, str) else None
    )
    if own.requirements:
        environment = own
    elif environment is None:
        warnings += environments.unmet_python(own.python, name)
    tool = metadata.get("tool", {})
    return Manifest(
        kind=Kind.SCRIPT,
        entry=name,
        tasks={PurePosixPath(name).stem: ("python", name)},
        environment=environment,
        extension=extension(tool.get("rpa") if isinstance(tool, dict) else None, name),
        warnings=warnings,
    )


def _script_blocks(source: str) -> Iterator[list[str]]:
    """The lines of each block `# /// script` (PEP 723): up to the last `# ///` of the comment that it stands in."""
    comment: list[str] = []
    for line in [*source.replace("\r\n", "\n").split("\n"), ""]:
        if line == "#" or line.startswith("# "):
            comment.append(line)
            continue
        if "# /// script" in comment:
            first = comment.index("# /// script") + 1
            ends = [number for number, each in enumerate(comment) if each == "# ///"]
            if ends and ends[-1] > first:
                yield comment[first : ends[-1]]
        comment = []


def _script(command: tuple[str, ...], names: Collection[str]) -> tuple[str, ...]:
    """A file of the package is started by what its name says: packers on other systems lose the executable bit."""
    path = command[0].removeprefix("./")
    if path not in names:
        return command
    if path.endswith(".py"):
        return ("python", path, *command[1:])
    if path.endswith(".sh"):
        return ("bash", path, *command[1:])
    return (f"./{path}", *command[1:])


def _is_for_here(name: str) -> bool:
    """Whether a file or command that names an operating system or a processor names this one."""
    systems = {found.lower() for found in _SYSTEMS.findall(name)}
    machines = {
        {"x86_64": "amd64", "aarch64": "arm64"}.get(found.lower(), found.lower())
        for found in _MACHINES.findall(name)
    }
    return systems <= {"linux"} and machines <= {_MACHINE}


def _is_freeze_for_here(name: str) -> bool:
    return "freeze" not in name.lower() or f"linux_{_MACHINE}" in name


def _runs_robot_framework(manifest: Manifest) -> bool:
    return any(
        command[0] == "robot" or command[1:3] == ("-m", "robot")
        for command in manifest.tasks.values()
    )


def _check_places(manifest: Manifest, names: Collection[str]) -> None:
    """Refuse what stands in the way of what every run needs: folders for its artifacts and its work items."""
    needed = {
        str(parent)
        for file in (f"{manifest.artifacts}/{ITEMS_OUT}", ITEMS_IN)
        for parent in PurePosixPath(file).parents
    }
    for name in names:
        if name in needed:
            raise PackageRefused(
                "bad_path", _("It is a file where every run needs a folder of that name."), name
            )
    if ITEMS_IN in needed or any(name.startswith(f"{ITEMS_IN}/") for name in names):
        raise PackageRefused(
            "bad_path", _("It is a folder where every run needs a file of that name."), ITEMS_IN
        )


def _checked_names(tasks: dict[str, tuple[str, ...]], where: str) -> dict[str, tuple[str, ...]]:
    if len(tasks) > MAX_TASKS or any(
        not name.strip() or len(name) > MAX_TASK_NAME or not name.isprintable() for name in tasks
    ):
        raise PackageRefused(
            "bad_task",
            _("There are too many tasks, or one has an empty, overlong or unprintable name."),
            where,
        )
    if len({name.strip().casefold() for name in tasks}) < len(tasks):
        raise PackageRefused(
            "bad_task",
            _("Two tasks have the same name; upper and lower case do not distinguish them."),
            where,
        )
    return tasks


def _strings(raw: dict[str, Any], key: str, where: str) -> list[str]:
    value = raw.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise PackageRefused(
            "bad_value", _("'%(key)s' must be a list of texts.") % {"key": key}, where
        )
    return value
