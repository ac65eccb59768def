"""What a package is: its tasks, its environment, its parameters, and how a task is started."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any, Self

from django.utils.translation import gettext as _

from robots.environments import EnvironmentSpec
from robots.refusals import PackageRefused

DEFAULT_ARTIFACTS = "output"
#: Where work items lie: those that a run begins with in its folder, those that it makes in its artifacts.
ITEMS_IN = ".rpa/work-items-in/work-items.json"
ITEMS_OUT = "work-items-out/work-items.json"
MAX_TASKS = 200
MAX_TASK_NAME = 255
MAX_WORD = 8192
#: As long as a run may take at most: a robot that asks for more could never be run.
MAX_TIMEOUT = 24 * 3600
MEMORY_RANGE = (64, 64 * 1024)
MAX_DESCRIPTION = 2000
MAX_CONCURRENCY = 10_000
MAX_QUEUE_TIMEOUT = 30 * 24 * 3600
MAX_ATTEMPTS = 10
MAX_BACKOFF = 3600
MAX_LABELS = 12
#: What pools and labels are called.
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
#: Why a run may be tried again.
RETRIED_ON = ("lost", "error", "timeout")

_PYTHON = re.compile(r"python(3(\.\d+)?)?(\.exe)?", re.IGNORECASE)


class Kind(StrEnum):
    """By which convention the package says what it is."""

    ROBOT = "robot"  # robot.yaml
    ACTIONS = "actions"  # package.yaml
    SCRIPT = "script"  # a Python file
    SUITE = "suite"  # Robot Framework, without a robot.yaml


class TaskNotFound(LookupError):
    """The package has no task of that name, or has several and none was named. The message lists them."""


@dataclass(frozen=True)
class RetryPolicy:
    """When a run is tried again by itself: `on` these failure reasons, until it was tried `max_attempts` times.

    `backoff` is how many seconds lie before the second attempt; before each further one it is twice as long.
    """

    max_attempts: int
    backoff: int = 0
    on: tuple[str, ...] = ("lost",)


@dataclass(frozen=True)
class Extension:
    """The platform's own few words on a robot, `rpa:` in robot.yaml or [tool.rpa] in a script."""

    parameters: dict[str, Any] | None = None
    profile: str = "strict"
    timeout: int | None = None  # seconds
    memory: int | None = None  # MiB
    description: str = ""
    #: Which runners may run it: those of a pool (empty: of the default one) that have all of these labels.
    pool: str = ""
    labels: tuple[str, ...] = ()
    #: How many of its runs there may be at once, and for how many seconds one may wait.
    concurrency: int | None = None
    queue_timeout: int | None = None
    retry: RetryPolicy | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "parameters": self.parameters,
            "profile": self.profile,
            "timeout": self.timeout,
            "memory": self.memory,
            "description": self.description,
            "pool": self.pool,
            "labels": list(self.labels),
            "concurrency": self.concurrency,
            "queue_timeout": self.queue_timeout,
            "retry": asdict(self.retry) if self.retry else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Also of what was published before there were pools, limits and retries."""
        retry = data.get("retry")
        return cls(
            data["parameters"],
            data["profile"],
            data["timeout"],
            data["memory"],
            data["description"],
            data.get("pool", ""),
            tuple(data.get("labels", ())),
            data.get("concurrency"),
            data.get("queue_timeout"),
            RetryPolicy(retry["max_attempts"], retry["backoff"], tuple(retry["on"]))
            if retry
            else None,
        )


@dataclass(frozen=True)
class Manifest:
    """Everything that the platform needs to know of a package in order to run it.

    Immutable, and survives `from_json(to_json())` unchanged: it is kept with the robot's version.
    """

    kind: Kind
    entry: str
    # Task name -> command as its author wrote it.
    tasks: Mapping[str, tuple[str, ...]]
    artifacts: str = DEFAULT_ARTIFACTS
    path: tuple[str, ...] = ()
    python_path: tuple[str, ...] = ()
    before: tuple[tuple[str, ...], ...] = ()
    environment: EnvironmentSpec | None = None
    extension: Extension = field(default_factory=Extension)
    warnings: tuple[str, ...] = ()

    @property
    def parameters(self) -> dict[str, Any] | None:
        """JSON Schema of the parameters; None takes any object."""
        return self.extension.parameters

    @property
    def profile(self) -> str:
        return self.extension.profile

    @property
    def timeout(self) -> int | None:
        return self.extension.timeout

    @property
    def memory(self) -> int | None:
        return self.extension.memory

    @property
    def description(self) -> str:
        return self.extension.description

    @property
    def pool(self) -> str:
        return self.extension.pool

    @property
    def labels(self) -> tuple[str, ...]:
        return self.extension.labels

    @property
    def concurrency(self) -> int | None:
        return self.extension.concurrency

    @property
    def queue_timeout(self) -> int | None:
        return self.extension.queue_timeout

    @property
    def retry(self) -> RetryPolicy | None:
        return self.extension.retry

    def task(self, name: str | None = None) -> str:
        """The task's name as its author spells it. No name will do if there is only one task."""
        wanted = (name or "").strip().casefold()
        if not wanted and len(self.tasks) == 1:
            return next(iter(self.tasks))
        for each in self.tasks:
            if wanted == each.strip().casefold():
                return each
        names = ", ".join(self.tasks)
        if wanted:
            raise TaskNotFound(
                _("There is no task '%(name)s'. The robot has: %(names)s.")
                % {"name": name, "names": names}
            )
        raise TaskNotFound(
            _("The robot has several tasks; name one of: %(names)s.") % {"names": names}
        )

    def commands(
        self, task: str | None = None, *, python: str = "/env/bin/python", folder: str = "/work"
    ) -> list[tuple[str, ...]]:
        """What to execute one after the other, the first that fails ending the run. The last is the task itself."""
        return [
            _runnable(command, python, folder)
            for command in (*self.before, self.tasks[self.task(task)])
        ]

    def programs(self, names: Iterable[str]) -> set[str]:
        """Which of the files `names` are started: those that a command begins with, and all in folders of PATH."""
        named = {command[0].removeprefix("./") for command in (*self.before, *self.tasks.values())}
        return {
            name for name in names if name in named or str(PurePosixPath(name).parent) in self.path
        }

    def search_paths(self, *, folder: str = "/work") -> tuple[list[str], list[str]]:
        """PATH's and PYTHONPATH's own additions, absolute."""

        def absolute(parts: Iterable[str]) -> list[str]:
            return [folder if part in {"", "."} else f"{folder}/{part}" for part in parts]

        return absolute(self.path), absolute(self.python_path)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind.value,
            "entry": self.entry,
            # A list: JSON columns may reorder the keys of an object, and the order of tasks is the author's.
            "tasks": [
                {"name": name, "command": list(command)} for name, command in self.tasks.items()
            ],
            "artifacts": self.artifacts,
            "path": list(self.path),
            "python_path": list(self.python_path),
            "before": [list(command) for command in self.before],
            "environment": self.environment.to_json() if self.environment else None,
            **self.extension.to_json(),
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            kind=Kind(data["kind"]),
            entry=data["entry"],
            tasks={task["name"]: tuple(task["command"]) for task in data["tasks"]},
            artifacts=data["artifacts"],
            path=tuple(data["path"]),
            python_path=tuple(data["python_path"]),
            before=tuple(tuple(command) for command in data["before"]),
            environment=EnvironmentSpec.from_json(data["environment"])
            if data["environment"]
            else None,
            extension=Extension.from_json(data),
            warnings=tuple(data["warnings"]),
        )

    def with_environment(self, environment: EnvironmentSpec | None) -> Self:
        return replace(self, environment=environment)


def split(command: str, where: str) -> tuple[str, ...]:
    """The words of a command line, as a shell would see them; no shell ever runs it."""
    try:
        return checked_command(shlex.split(command), where)
    except ValueError as error:
        if isinstance(error, PackageRefused):
            raise
        raise PackageRefused(
            "bad_command",
            _("'%(command)s' cannot be split into words: %(problem)s")
            % {"command": command[:200], "problem": error},
            where,
        ) from error


def checked_command(words: object, where: str) -> tuple[str, ...]:
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise PackageRefused(
            "bad_command", _("A command must be a list of texts that is not empty."), where
        )
    if (
        not words[0]
        or len(words) > 256
        or any("\0" in word or len(word.encode()) > MAX_WORD for word in words)
    ):
        raise PackageRefused(
            "bad_command",
            _("A command must not begin with an empty word, be overlong or hold a NUL."),
            where,
        )
    return tuple(words)


def relative_folder(value: object, where: str) -> str:
    """`value` as a plain relative folder ("." for the robot's own)."""
    if not isinstance(value, str) or "\0" in value or ":" in value or len(value) > 1024:
        raise PackageRefused("bad_path", _("A relative path is expected."), where)
    path = PurePosixPath(value.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        raise PackageRefused(
            "bad_path",
            _("'%(path)s' leads out of the robot's folder.") % {"path": value[:200]},
            where,
        )
    return str(path)


def suite_command(artifacts: str, target: str, task: str | None = None) -> tuple[str, ...]:
    """Run Robot Framework as rcc does."""
    chosen = ("--task", task) if task else ()
    return (
        "python",
        "-m",
        "robot",
        "--report",
        "NONE",
        "--outputdir",
        artifacts,
        "--logtitle",
        "Task log",
        *chosen,
        target,
    )


def _runnable(command: tuple[str, ...], python: str, folder: str) -> tuple[str, ...]:
    program, *rest = command
    if _PYTHON.fullmatch(program):
        return (python, *rest)
    if program.startswith("./"):
        return (f"{folder}/{program[2:]}", *rest)
    return command
