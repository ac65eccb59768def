"""Environments: built once, whole or not at all, by nobody's code but uv's, and with a reason when they are not."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from executions.environments import (
    EnvironmentFailed,
    EnvironmentStopped,
    EnvironmentStore,
    remove_leftovers,
)
from executions.sandbox import Process, Profile, Spec
from robots.environments import EnvironmentSpec
from tests.support.conftest import UV, Machine

SIX = EnvironmentSpec(requirements=("six==1.16.0",))


@pytest.fixture
def store(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> EnvironmentStore:
    """An empty store beside the shared one, with the same cache."""
    name = tmp_path_factory.mktemp("store").name
    return EnvironmentStore(
        machine.folder / name, machine.sandbox, UV, cache=machine.folder / "uv-cache"
    )


def ensure(
    store: EnvironmentStore,
    spec: EnvironmentSpec,
    lines: list[str],
    stop: Callable[[], bool] = lambda: False,
) -> Path:
    return store.ensure(spec, on_line=lines.append, should_stop=stop, slot=0).path


def test_an_environment_is_built_once_and_belongs_to_nobody_else(store: EnvironmentStore) -> None:
    first: list[str] = []
    second: list[str] = []
    built = store.ensure(SIX, on_line=first.append, should_stop=lambda: False, slot=0)
    assert built.lock == "six==1.16.0\n"
    assert any("six==1.16.0" in line for line in first)
    assert ensure(store, SIX, second) == built.path
    assert second == []
    for path in built.path.rglob("*"):
        mode = path.lstat()
        assert (mode.st_uid, mode.st_mode & 0o022 if not stat.S_ISLNK(mode.st_mode) else 0) == (
            os.geteuid(),
            0,
        )
        assert mode.st_nlink == 1 or path.is_dir()
    assert list(built.path.glob("lib/python3*/site-packages/__pycache__/six.*.pyc"))
    assert [path.name for path in built.path.parent.iterdir()] == [built.key]


def test_many_who_want_it_get_the_same_one(store: EnvironmentStore) -> None:
    lines: list[str] = []
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(ensure(store, SIX, lines))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert sum(line.startswith("Building") for line in lines) == 1


@pytest.mark.parametrize(
    ("requirements", "reason"),
    [
        (("no-such-package-of-ours",), "no package named 'no-such-package-of-ours'"),
        (
            ("six==1.16.0", "six==1.15.0"),
            "cannot be met together: Because you require six==1.16.0 and six==1.15.0",
        ),
        (("six==99",), "there is no version of six==99"),
    ],
)
def test_a_failed_build_says_why_and_leaves_nothing(
    store: EnvironmentStore, requirements: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(EnvironmentFailed, match=reason):
        ensure(store, EnvironmentSpec(requirements=requirements), [])
    assert list(store.root.iterdir()) == []


def test_without_an_index_the_network_is_blamed(machine: Machine) -> None:
    settings = {"UV_DEFAULT_INDEX": "https://127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"}
    store = EnvironmentStore(
        machine.folder / "unreachable",
        machine.sandbox,
        UV,
        cache=machine.folder / "empty-cache",
        settings=settings,
    )
    with pytest.raises(EnvironmentFailed, match="index could not be reached"):
        ensure(store, SIX, [])


def test_whoever_no_longer_wants_it_stops_the_build(store: EnvironmentStore) -> None:
    lines: list[str] = []
    with pytest.raises(EnvironmentStopped):
        ensure(store, SIX, lines, lambda: bool(lines))
    assert list(store.root.iterdir()) == []


def test_waiting_for_another_build_can_be_given_up(store: EnvironmentStore) -> None:
    waiting, go_on = threading.Event(), threading.Event()

    def hold(_line: str) -> None:
        waiting.set()
        assert go_on.wait(30)

    builder = threading.Thread(
        target=store.ensure,
        args=(SIX,),
        kwargs={"on_line": hold, "should_stop": lambda: False, "slot": 0},
    )
    builder.start()
    try:
        assert waiting.wait(30)
        with pytest.raises(EnvironmentStopped):
            ensure(store, SIX, [], lambda: True)
    finally:
        go_on.set()
        builder.join()
    assert ensure(store, SIX, []).is_dir()


def test_nothing_newer_than_the_robot_is_installed(store: EnvironmentStore) -> None:
    old = EnvironmentSpec(requirements=("six",), cutoff=date(2021, 1, 1))
    assert (
        store.ensure(old, on_line=lambda _line: None, should_stop=lambda: False, slot=0).lock
        == "six==1.15.0\n"
    )


def test_what_did_not_exist_then_is_taken_from_today_and_said(store: EnvironmentStore) -> None:
    lines: list[str] = []
    ensure(store, EnvironmentSpec(requirements=("six==1.16.0",), cutoff=date(2015, 1, 1)), lines)
    assert any(
        line.startswith("Warning: nothing that fits is as old as the robot (2015-01-01)")
        for line in lines
    )


def test_a_python_that_is_not_there_is_replaced_aloud(store: EnvironmentStore) -> None:
    lines: list[str] = []
    ensure(store, EnvironmentSpec(requirements=("six==1.16.0",), python="3.7"), lines)
    assert lines[0].startswith(
        "Warning: the robot asks for Python 3.7, which is not installed here."
    )


def test_the_robot_sees_it_and_cannot_change_it(
    machine: Machine, store: EnvironmentStore, robot: Callable[[dict[str, str]], Path]
) -> None:
    source = "import six, sys\nprint(six.__file__, sys.prefix)\nopen('/env/x', 'w')\n"
    run = machine.run(robot({"main.py": source, "requirements.txt": "six==1.16.0"}))
    assert "/env/lib/python3" in run.text
    assert "Read-only file system" in run.text


def test_code_of_a_package_never_runs_with_the_network(
    machine: Machine, store: EnvironmentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uv is the only program started while there is a network; the interpreter of the environment comes later."""
    started: list[Spec] = []
    start = machine.sandbox.start

    def noted(spec: Spec) -> Process:
        started.append(spec)
        return start(spec)

    monkeypatch.setattr(machine.sandbox, "start", noted)
    ensure(store, SIX, [])
    online = [spec.command for spec in started if spec.profile is Profile.BUILDER]
    assert [(command[0], command[1]) for command in online] == [
        ("/opt/tools/uv", "venv"),
        ("/opt/tools/uv", "pip"),
    ]
    assert "--no-build" in online[1]
    offline = [spec for spec in started if spec.profile is Profile.STRICT]
    assert len(offline) == 1
    assert "-S" in offline[0].command
    assert not offline[0].command[0].startswith("/env")


def test_a_package_without_a_wheel_is_built_without_network(
    machine: Machine, store: EnvironmentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Spec] = []
    start = machine.sandbox.start

    def noted(spec: Spec) -> Process:
        started.append(spec)
        return start(spec)

    monkeypatch.setattr(machine.sandbox, "start", noted)
    lines: list[str] = []
    old = EnvironmentSpec(requirements=("docopt==0.6.2", "six==1.16.0"), cutoff=date(2025, 5, 1))
    assert (
        store.ensure(old, on_line=lines.append, should_stop=lambda: False, slot=0).lock
        == "docopt==0.6.2\nsix==1.16.0\n"
    )
    assert (
        "'docopt==0.6.2' is published as source only; it is built here, without network." in lines
    )
    online = [spec for spec in started if spec.profile is Profile.BUILDER]
    assert all(
        spec.command[0] == "/opt/tools/uv" or spec.command[1:4] == ("-I", "-S", "-c")
        for spec in online
    )
    built = next(spec for spec in started if "wheel" in spec.command)
    assert (built.profile, built.cache, built.environment_writable) == (Profile.STRICT, None, False)
    # Where the package's own code could write, nothing is run with the network afterwards.
    assert built.workspace not in {spec.workspace for spec in started[started.index(built) + 1 :]}
    assert not built.workspace.exists()


def test_leftovers_of_a_killed_server_go(store: EnvironmentStore) -> None:
    ensure(store, SIX, [])
    for name in (".scratch-x", ".abc.staging"):
        (store.root / name / "sub").mkdir(parents=True)
    remove_leftovers(store.root)
    assert len(list(store.root.iterdir())) == 1
