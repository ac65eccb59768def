"""A space keeps events and artifacts for as long as it wants; `prune` removes what it no longer keeps."""

import itertools
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from io import StringIO
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db import OperationalError, connection
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from executions import retention
from executions.choices import EventKind, Status
from executions.events import Draft, append, head_of, read_page
from executions.lifecycle import Ending, finish
from executions.models import (
    Artifact,
    Execution,
    ExecutionEvent,
    ExecutionSegment,
    ExecutionStream,
    SpaceRetention,
    UnclaimedObject,
)
from executions.sealing import seal
from robots.models import Robot
from spaces.models import Space, SpaceRole
from tests.factories import make_execution, make_robot, make_space

pytestmark = pytest.mark.django_db(transaction=True)


def ended(robot: Robot, *, days_ago: float, sealed: bool = False) -> Execution:
    """A run that ended then, with an artifact, perhaps in storage already."""
    execution = make_execution(robot)
    append(execution.pk, [Draft(EventKind.LOG, {"stream": "stdout"}, ("line",))])
    key = default_storage.save(f"artifacts/{execution.uid}/a.txt", ContentFile(b"content"))
    Artifact.objects.create(
        execution=execution,
        name="a.txt",
        size=7,
        content_type="text/plain",
        sha256="0",
        storage_key=key,
    )
    finish(execution.pk, Ending(Status.CANCELLED))
    if sealed:
        seal(execution.pk)
    then = timezone.now() - timedelta(days=days_ago)
    ExecutionStream.objects.filter(pk=execution.pk).update(kept_since=then)
    return execution


def prune(*options: str) -> str:
    out = StringIO()
    call_command("prune", *options, stdout=out)
    return out.getvalue().strip()


def events(execution: Execution) -> int:
    return len(read_page(execution.pk, after=0))


def test_by_default_everything_is_kept(robot: Robot) -> None:
    execution = ended(robot, days_ago=5000)
    assert prune().startswith("Removed the events and artifacts of 0 runs")
    assert events(execution) == 3


@pytest.mark.parametrize("sealed", [False, True])
def test_what_is_older_goes_and_the_run_stays(robot: Robot, settings: Any, sealed: bool) -> None:
    settings.RPA_RETENTION_DAYS = 30
    old, young = (ended(robot, days_ago=days, sealed=sealed) for days in (30.1, 29.9))
    kept = default_storage.listdir(f"artifacts/{old.uid}")[1]
    assert kept
    assert prune().startswith("Removed the events and artifacts of 1 runs")
    assert (events(old), events(young)) == (0, 3)
    assert not ExecutionEvent.objects.filter(execution=old).exists()
    assert not ExecutionSegment.objects.filter(execution=old).exists()
    assert not Artifact.objects.filter(execution=old).exists()
    assert default_storage.listdir(f"artifacts/{old.uid}")[1] == []
    head = head_of(old.pk)
    assert (head.dropped_seq, head.last_seq, head.closed) == (3, 3, True)
    old.refresh_from_db()
    assert old.status == Status.CANCELLED
    assert prune().startswith("Removed the events and artifacts of 0 runs")


def test_a_run_is_kept_for_its_time_from_its_end_on(
    robot: Robot, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.RPA_RETENTION_DAYS = 30
    execution, waiting = make_execution(robot), make_execution(robot)
    finish(execution.pk, Ending(Status.CANCELLED))
    ended_at = timezone.now()
    for days, gone in ((29.9, 0), (30.1, 1)):
        then = ended_at + timedelta(days=days)
        monkeypatch.setattr(timezone, "now", lambda then=then: then)
        assert f"of {gone} runs" in prune()
    assert (events(execution), events(waiting)) == (0, 1)


def test_a_space_has_its_own_time(robot: Robot, space: Space, settings: Any) -> None:
    settings.RPA_RETENTION_DAYS = 10
    execution = ended(robot, days_ago=20)
    rule = SpaceRetention.objects.create(space=space, days=30)
    assert "of 0 runs" in prune()
    rule.days = 0
    rule.save()
    assert "of 0 runs" in prune()
    rule.days = 15
    rule.save()
    assert "of 1 runs" in prune()
    assert events(execution) == 0


def test_a_long_history_is_read_by_pages(
    robot: Robot, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those of the same moment, each once, and past those that another space keeps."""
    settings.RPA_RETENTION_DAYS = 10
    monkeypatch.setattr(retention, "_PAGE", 2)
    runs = [make_execution(robot) for _ in range(7)]
    ages = [20, 30, 20, 20, 20, 5, 12]
    moments = [timezone.now() - timedelta(days=days) for days in sorted(set(ages))]
    at = dict(zip(sorted(set(ages)), moments, strict=True))
    for run, age in zip(runs, ages, strict=True):
        ExecutionStream.objects.filter(pk=run.pk).update(kept_since=at[age])
    kept = make_execution(make_robot(make_space("Archive", {robot.space.creator: SpaceRole.OWNER})))
    ExecutionStream.objects.filter(pk=kept.pk).update(kept_since=at[20])
    SpaceRetention.objects.create(space=kept.space, days=25)
    wanted = [runs[number].pk for number in (1, 0, 2, 3, 4, 6)]
    assert [stream.pk for stream in retention.outlived()] == wanted


@pytest.mark.parametrize("sealed", [False, True])
def test_a_removal_that_fails_at_any_step_is_finished_by_the_next(
    robot: Robot, settings: Any, monkeypatch: pytest.MonkeyPatch, sealed: bool
) -> None:
    """What is gone is marked first: a reader gets all of the events, or is told that they are gone."""
    settings.RPA_RETENTION_DAYS = 30
    delete = default_storage.delete
    for fatal in itertools.count(1):
        execution = ended(robot, days_ago=31, sealed=sealed)
        passed = 0

        def step(deed: Callable[..., Any], *arguments: Any, fatal: int = fatal) -> Any:
            nonlocal passed
            passed += 1
            if passed == fatal:
                raise OperationalError("away")
            return deed(*arguments)

        failed = False
        with monkeypatch.context() as fault, connection.execute_wrapper(step):
            fault.setattr(default_storage, "delete", partial(step, delete), raising=False)
            try:
                retention.remove(ExecutionStream.objects.get(pk=execution.pk))
            except OperationalError:
                failed = True
        assert head_of(execution.pk).dropped_seq == 3 or events(execution) == 3
        assert f"of {int(failed)} runs" in prune()
        assert not ExecutionEvent.objects.filter(execution=execution).exists()
        assert not ExecutionSegment.objects.filter(execution=execution).exists()
        assert not Artifact.objects.filter(execution=execution).exists()
        for folder in ("artifacts", "segments") if sealed else ("artifacts",):
            assert default_storage.listdir(f"{folder}/{execution.uid}")[1] == []
        if not failed:
            break
    assert fatal > 8


def test_a_dry_run_removes_nothing(robot: Robot, settings: Any) -> None:
    settings.RPA_RETENTION_DAYS = 1
    execution = ended(robot, days_ago=2)
    assert prune("--dry-run").startswith("Would remove the events and artifacts of 1 runs")
    assert events(execution) == 3


def test_a_running_stream_is_never_removed(robot: Robot, settings: Any) -> None:
    settings.RPA_RETENTION_DAYS = 1
    execution = make_execution(robot)
    ExecutionStream.objects.filter(pk=execution.pk).update(
        kept_since=timezone.now() - timedelta(days=9)
    )
    retention.remove(ExecutionStream.objects.get(pk=execution.pk))
    assert head_of(execution.pk).dropped_seq == 0
    assert events(execution) == 1


def test_leftover_objects_go_after_an_hour(db: None) -> None:
    keys = [default_storage.save(f"segments/x/{name}.gz", ContentFile(b"x")) for name in "ab"]
    hours = (1.1, 0.9)
    for key, age in zip(keys, hours, strict=True):
        then = timezone.now() - timedelta(hours=age)
        UnclaimedObject.objects.create(object_key=key, created_at=then)
    UnclaimedObject.objects.create(
        object_key="segments/never/uploaded.gz", created_at=timezone.now() - timedelta(days=1)
    )
    assert prune().endswith("and 2 leftover objects.")
    assert [default_storage.exists(key) for key in keys] == [False, True]


def test_a_page_of_the_api_says_from_where_on_events_are_kept(
    robot: Robot, settings: Any, api: Callable[[User], APIClient]
) -> None:
    settings.RPA_RETENTION_DAYS = 1
    execution = ended(robot, days_ago=2)
    client = api(execution.requested_by)
    address = f"/api/v1/executions/{execution.uid}/events/"
    before = client.get(address)
    assert before.json()["first_available"] == 1
    prune()
    # Who asks whether anything has changed is told that it has.
    after = client.get(address, HTTP_IF_NONE_MATCH=before["ETag"])
    assert after.status_code == 200
    assert after.json()["events"] == []
    page = client.get(address, {"after": "1"}).json()
    assert page == {
        "events": [],
        "last_seq": 3,
        "first_available": 4,
        "epoch": 1,
        "reset": False,
        "closed": True,
    }
    assert client.get(f"/api/v1/executions/{execution.uid}/").json()["status"] == "CANCELLED"
