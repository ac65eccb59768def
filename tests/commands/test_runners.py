"""`manage.py runners`: who is there, how they are, what they have in hand."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from executions import lifecycle
from executions.models import Execution, Runner
from tests.commands.calling import called

pytestmark = pytest.mark.django_db


def a_runner(host: str, **more: object) -> Runner:
    return Runner.objects.create(host=host, pid=7, slots=4, tier="rlimits", **more)


def test_the_living_are_listed_with_their_state(execution: Execution) -> None:
    now = timezone.now()
    alive = a_runner("alive")
    a_runner("draining", draining_at=now)
    a_runner("silent", heartbeat_at=now - timedelta(minutes=5))
    a_runner("stopped", stopped_at=now)
    assert lifecycle.claim_next(alive)
    told = [json.loads(line) for line in called("runners", "--json").splitlines()]
    assert {each["name"]: (each["state"], each["in_hand"]) for each in told} == {
        "alive:7": ("alive", 1),
        "draining:7": ("draining", 0),
        "silent:7": ("silent", 0),
    }
    shown = called("runners")
    assert str(alive.uid) in shown
    assert "1 of 4" in shown
    assert "stopped" not in shown
