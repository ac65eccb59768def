"""`manage.py prune`: what it says; tests/executions/test_retention.py knows what it does."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from executions import lifecycle
from executions.choices import Status
from executions.events import read_page
from executions.lifecycle import Ending
from executions.models import Execution, ExecutionStream
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
