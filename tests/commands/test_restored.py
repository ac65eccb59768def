"""`manage.py restored`: what it says and whom it concerns."""

import pytest

from executions import lifecycle
from executions.choices import Status
from executions.events import head_of
from executions.lifecycle import Ending
from robots.models import Robot
from tests.commands.calling import called
from tests.factories import make_execution

pytestmark = pytest.mark.django_db


def test_unfinished_streams_begin_anew_and_ended_ones_do_not(robot: Robot) -> None:
    ended, *unfinished = (make_execution(robot) for _ in range(3))
    lifecycle.finish(ended.pk, Ending(Status.CANCELLED))
    assert called("restored") == "2 unfinished streams have a new epoch.\n"
    assert head_of(ended.pk).epoch == 1
    assert [head_of(each.pk).epoch for each in unfinished] == [2, 2]
    # A second backup, a second time.
    assert called("restored") == "2 unfinished streams have a new epoch.\n"
    assert head_of(unfinished[0].pk).epoch == 3
