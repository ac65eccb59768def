"""`manage.py executions`: the newest runs that its user sees."""

import json
from datetime import datetime

import pytest
from django.core.management import CommandError

from accounts.actors import Actor
from executions import services
from executions.models import Execution
from robots.models import Robot
from spaces.models import Space
from tests.commands.calling import called
from tests.factories import make_execution, make_robot

pytestmark = pytest.mark.django_db


@pytest.fixture
def runs(robot: Robot, space: Space) -> list[Execution]:
    """Newest first: one of another robot, a cancelled one, a waiting one."""
    waiting, cancelled = make_execution(robot), make_execution(robot)
    services.cancel_execution(cancelled, by=Actor(cancelled.requested_by))
    return [make_execution(make_robot(space, "other")), cancelled, waiting]


def listed(*options: str, user: str = "alice") -> list[str]:
    said = called("executions", "--json", "--user", user, *options)
    return [json.loads(line)["id"] for line in said.splitlines()]


def test_they_are_listed_newest_first(runs: list[Execution]) -> None:
    assert listed() == [str(each.uid) for each in runs]
    rows = [line.split() for line in called("executions", "--user", "alice").splitlines()]
    assert [row[0] for row in rows] == [str(each.uid) for each in runs]
    assert rows[0][1:] == ["PENDING", "queued", "other"]
    assert rows[1][1:] == ["CANCELLED", "greeter"]


def test_filters_narrow_the_list(runs: list[Execution]) -> None:
    other, cancelled, waiting = (str(each.uid) for each in runs)
    assert listed("--status", "CANCELLED") == [cancelled]
    assert listed("--robot", "greeter") == [cancelled, waiting]
    assert listed("--robot", "greeter", "--status", "PENDING") == [waiting]
    assert listed("--robot", "nobody's") == []
    assert listed("--limit", "1") == [other]
    assert listed("--limit", "0") == []
    assert len(listed("--limit", "10000")) == 3


@pytest.mark.parametrize("limit", ["-1", "-3", "10001", "9" * 23, "-" + "9" * 23])
def test_a_limit_out_of_bounds_is_refused(runs: list[Execution], limit: str) -> None:
    with pytest.raises(CommandError, match=rf"--limit {limit} is out of range\. Use 0 to 10000\."):
        listed(f"--limit={limit}")


def test_a_line_of_json_has_the_facts(runs: list[Execution]) -> None:
    line = called("executions", "--json", "--user", "bob", "--limit", "1")
    found = json.loads(line)
    assert datetime.fromisoformat(found.pop("requested_at")) == runs[0].requested_at
    assert found == {
        "id": str(runs[0].uid),
        "robot": "other",
        "status": "PENDING",
        "reason": "queued",
        "requested_by": "alice",
        "duration": None,
    }


def test_nobody_sees_the_runs_of_strangers(runs: list[Execution]) -> None:
    assert listed(user="charlie") == listed(user="dora") == []
    with pytest.raises(CommandError, match=r"There is no active user named eve\."):
        listed(user="eve")


def test_an_unknown_status_is_refused(runs: list[Execution]) -> None:
    with pytest.raises(CommandError, match="invalid choice: 'LATE'"):
        called("executions", "--status", "LATE")
