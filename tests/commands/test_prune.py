"""`manage.py prune`: what it says; tests/executions/test_retention.py knows what it does."""

from contextlib import suppress
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.utils import timezone

from accounts.actors import Actor
from executions import lifecycle
from executions.choices import Status
from executions.events import read_page
from executions.lifecycle import Ending
from executions.models import Execution, ExecutionStream
from robots import services
from robots.models import Robot, UnnamedPackage
from robots.services import publish_version
from robots.shelf import sweep_package
from tests.commands.calling import called

pytestmark = pytest.mark.django_db


@pytest.fixture
def outlived(execution: Execution, settings: Any) -> Execution:
    """A run that ended longer ago than its space keeps runs."""
    settings.RPA_RETENTION_DAYS = 7
    lifecycle.finish(execution.pk, Ending(Status.CANCELLED))
    long_ago = timezone.now() - timedelta(days=8)
    ExecutionStream.objects.filter(pk=execution.pk).update(kept_since=long_ago)
    return execution


def test_with_nothing_to_do_it_says_so(execution: Execution) -> None:
    said = "Removed the events and artifacts of 0 runs, and 0 leftover objects.\n"
    assert called("prune") == said


def test_a_dry_run_names_what_would_go_and_keeps_it(outlived: Execution) -> None:
    said = called("prune", "--dry-run", "-v2")
    assert said == (
        f"{outlived.uid}: 2 events\n"
        "Would remove the events and artifacts of 1 runs, and 0 leftover objects.\n"
    )
    assert len(read_page(outlived.pk, after=0)) == 2


def test_what_went_is_counted_once(outlived: Execution) -> None:
    assert called("prune").startswith("Removed the events and artifacts of 1 runs")
    assert called("prune").startswith("Removed the events and artifacts of 0 runs")
    assert read_page(outlived.pk, after=0) == []
    outlived.refresh_from_db()
    assert outlived.status == Status.CANCELLED


def packages() -> set[str]:
    """Those in storage."""
    with suppress(FileNotFoundError):
        folders = default_storage.listdir("packages")[0]
        return {
            f"packages/{folder}/{name}"
            for folder in folders
            for name in default_storage.listdir(f"packages/{folder}")[1]
        }
    return set()


@pytest.fixture
def left(robot: Robot, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package whose publisher died when it had stored it, yesterday."""
    before = packages()

    def deadly(*_arguments: Any, **_named: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("robots.services._publish", deadly)
        with pytest.raises(KeyboardInterrupt):
            publish(robot)
    assert called("prune").endswith("and 0 leftover objects.\n")  # it may go on yet
    UnnamedPackage.objects.update(noted_at=timezone.now() - timedelta(hours=25))
    (key,) = packages() - before
    return key


def publish(robot: Robot) -> None:
    """Always the same bytes of this robot."""
    publish_version(
        robot=robot,
        file=BytesIO(f"print('{robot.uid}')\n".encode()),
        file_name="robot.py",
        by=Actor(robot.created_by),
    )


def test_a_package_whose_publisher_died_goes_after_a_day(robot: Robot, left: str) -> None:
    assert called("prune", "--dry-run").endswith("and 1 leftover objects.\n")
    assert left in packages()
    assert called("prune").endswith("and 1 leftover objects.\n")
    assert left not in packages()
    assert not UnnamedPackage.objects.exists()
    assert called("prune").endswith("and 0 leftover objects.\n")


def test_a_package_that_another_has_published_since_stays(robot: Robot, left: str) -> None:
    found = list(UnnamedPackage.objects.all())
    publish(robot)
    assert not UnnamedPackage.objects.exists()
    assert [sweep_package(each) for each in found] == [False]
    assert left in packages()


def test_a_package_that_goes_while_another_publishes_is_stored_again(
    robot: Robot, left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive, said = services._receive, list[str]()

    def received(*arguments: Any) -> Any:
        upload = receive(*arguments)
        if not said:
            said.append(called("prune"))
        return upload

    monkeypatch.setattr(services, "_receive", received)
    publish(robot)
    assert said[0].endswith("and 1 leftover objects.\n")
    assert left in packages()
    assert not UnnamedPackage.objects.exists()
