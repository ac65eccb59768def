"""What a robot has left goes into storage: what becomes of it where processes die and answers are lost."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.storage import default_storage
from django.db import OperationalError

from accounts.actors import Actor
from accounts.refusals import Unavailable
from executions import claims, clock, services
from executions import engine as engines
from executions.choices import Status
from executions.models import Artifact, Execution, UnclaimedObject
from executions.runner import artifacts
from executions.runner.artifacts import Brought, keep_artifacts
from executions.runner.writer import StreamWriter
from resources.storage import Patience
from robots.models import Robot
from spaces.models import Space
from tests.conftest import wait_for_end
from tests.executions.test_writer import said, writer_of
from tests.factories import make_execution, make_robot

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Of a robot that has ended and left two files."""
    (tmp_path / "output").mkdir()
    for name in ("a.txt", "b.txt"):
        (tmp_path / "output" / name).write_text(name)
    return tmp_path


def stored(execution: Execution) -> set[str]:
    folder = f"artifacts/{execution.uid}"
    return {f"{folder}/{name}" for name in default_storage.listdir(folder)[1]}


def keep(execution: Execution, workspace: Path, writer: StreamWriter) -> None:
    nothing = Brought(None, {})
    keep_artifacts(execution, workspace, "output", nothing, writer, Patience())
    writer.flush()


def kept(execution: Execution) -> list[str]:
    return list(execution.artifacts.order_by("name").values_list("name", flat=True))


def test_what_a_process_has_stored_that_died_before_it_said_so_is_swept(
    execution: Execution, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = writer_of(execution)

    def deadly(*_arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(artifacts, "_record", deadly)
    with pytest.raises(KeyboardInterrupt):
        keep(execution, workspace, writer)
    assert len(stored(execution)) == 1
    assert not claims.unclaimed().exists()
    UnclaimedObject.objects.update(created_at=clock.now() - timedelta(hours=2))
    assert [claims.sweep(each) for each in claims.unclaimed()] == [True]
    assert stored(execution) == set()


@pytest.mark.parametrize("lost", [(claims, "note"), (artifacts, "_record")])
def test_an_answer_of_the_database_that_was_lost_does_no_harm(
    execution: Execution, workspace: Path, monkeypatch: pytest.MonkeyPatch, lost: tuple[Any, str]
) -> None:
    where, name = lost
    deed: Callable[..., Any] = getattr(where, name)
    failed: list[bool] = []

    def losing(*arguments: Any) -> Any:
        deed(*arguments)
        if not failed:
            failed.append(True)
            raise OperationalError("the connection was lost")

    monkeypatch.setattr(where, name, losing)
    keep(execution, workspace, writer_of(execution))
    assert kept(execution) == ["a.txt", "b.txt"]
    assert said(execution) == [("artifact", None)] * 2
    assert set(Artifact.objects.values_list("storage_key", flat=True)) == stored(execution)
    assert not UnclaimedObject.objects.exists()


def test_what_may_have_been_swept_by_then_is_not_kept_and_that_is_said(
    execution: Execution, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, late = artifacts._record, [True]

    def recorded(*arguments: Any) -> None:
        if late:
            late.clear()
            UnclaimedObject.objects.update(created_at=clock.now() - timedelta(hours=2))
        record(*arguments)

    monkeypatch.setattr(artifacts, "_record", recorded)
    keep(execution, workspace, writer_of(execution))
    assert kept(execution) == ["b.txt"]
    assert sorted(said(execution)) == [("artifact", None), ("notice", "artifact_rejected")]
    assert [claims.sweep(each) for each in claims.unclaimed()] == [True]
    assert set(Artifact.objects.values_list("storage_key", flat=True)) == stored(execution)


@pytest.fixture
def go_away(monkeypatch: pytest.MonkeyPatch) -> Callable[..., threading.Event]:
    """`go_away("save")`: from now on the storage does not answer that. Returns what is set once it was tried."""

    def gone(*methods: str) -> threading.Event:
        tried = threading.Event()

        def unanswered(*_arguments: Any) -> None:
            tried.set()
            raise Unavailable("The storage does not answer.")

        for name in methods:
            monkeypatch.setattr(default_storage, name, unanswered, raising=False)
        return tried

    return gone


def idle(space: Space) -> Robot:
    """With a package that no runner has unpacked yet."""
    return make_robot(space, source=f"print('{uuid4()}')")


def waiting_for_its_package(space: Space, go_away: Callable[..., threading.Event]) -> Execution:
    """A run whose runner has met a storage that is away."""
    robot = idle(space)
    tried = go_away("open")
    run = make_execution(robot)
    assert tried.wait(20)
    return run


LEAVES_MUCH = """
import pathlib
for number in range(50):
    pathlib.Path("output", f"{number}.txt").write_text("fine")
print("::result 7")
"""


def test_a_cancel_is_heard_before_the_package_is_there(
    space: Space, engine: engines.Engine, go_away: Callable[..., threading.Event]
) -> None:
    run = waiting_for_its_package(space, go_away)
    services.cancel_execution(run, by=Actor(run.requested_by))
    assert wait_for_end(run, 10).status == Status.CANCELLED


def test_a_stop_is_heard_before_the_package_is_there(
    space: Space, engine: engines.Engine, go_away: Callable[..., threading.Event]
) -> None:
    run = waiting_for_its_package(space, go_away)
    began = time.monotonic()
    engines.stop()
    assert time.monotonic() - began < 10
    run.refresh_from_db()
    assert (run.status, run.runner) == (Status.PENDING, None)


def test_a_robot_that_has_ended_is_not_lost_when_its_runner_stops(
    space: Space, engine: engines.Engine, go_away: Callable[..., threading.Event], settings: Any
) -> None:
    """What it has left is tried for another moment."""
    settings.RPA_CANCEL_GRACE = 1
    robot = make_robot(space, source=LEAVES_MUCH)
    tried = go_away("save")
    run = make_execution(robot)
    assert tried.wait(30)
    began = time.monotonic()
    engines.stop()
    assert 0.9 < time.monotonic() - began < 10
    run.refresh_from_db()
    assert (run.status, run.result) == (Status.COMPLETED, 7)
    assert said(run).count(("notice", "artifact_rejected")) == 50


def test_a_cancel_is_heard_while_artifacts_are_tried(
    space: Space, engine: engines.Engine, go_away: Callable[..., threading.Event]
) -> None:
    """Too late for the robot, which has ended well."""
    robot = make_robot(space, source=LEAVES_MUCH)
    tried = go_away("save")
    run = make_execution(robot)
    assert tried.wait(30)
    services.cancel_execution(run, by=Actor(run.requested_by))
    assert wait_for_end(run, 10).status == Status.COMPLETED
