"""kill -9 of a real server, at a quiet moment and in the thick of it: what was said stays said."""

import random
import time
from pathlib import Path

import pytest
from django.conf import settings

from executions.choices import FailureReason, Status
from executions.events import head_of, read_page
from executions.models import Execution, Runner
from robots.models import Robot
from spaces.models import Space
from tests.executions.server import (
    Server,
    check_end,
    ended,
    lines_of,
    robots_alive,
    until,
)
from tests.factories import make_execution, make_robot

pytestmark = pytest.mark.django_db(transaction=True)

ENDLESS = """
import itertools, time
for number in itertools.count():
    print(number)
    time.sleep(0.005)
"""
SHORT = "for number in range(50): print(number)\n"
#: How long a restarted server may take to settle what its predecessor left.
SETTLED_SECONDS = 30.0


@pytest.fixture
def short(space: Space) -> Robot:
    return make_robot(space, "short", SHORT)


@pytest.fixture
def endless(space: Space) -> Robot:
    return make_robot(space, "endless", ENDLESS)


def nothing_left_of(*executions: Execution) -> bool:
    return not any(robots_alive(each) for each in executions)


def test_a_killed_servers_runs_are_settled_by_the_next(short: Robot, endless: Robot) -> None:
    with Server(RPA_SLOTS="2") as server:
        done = make_execution(short)
        until(lambda: ended(done), "The first run ends.")
        kept = read_page(done.pk, after=0)
        running = [make_execution(endless) for _ in range(2)]
        until(lambda: all(len(lines_of(each)) > 20 for each in running), "Both runs speak.")
        waiting = [make_execution(short) for _ in range(3)]
        assert all(robots_alive(each) for each in running)
        server.kill()
        # Without anybody's help: the robots die with the server.
        until(lambda: nothing_left_of(*running), "The robots are dead.", timeout=10)
        heard = {each.pk: lines_of(each) for each in running}
        began = time.monotonic()
        server.start()
        until(lambda: ended(*running, *waiting), "All runs end.", timeout=SETTLED_SECONDS)
        assert time.monotonic() - began < SETTLED_SECONDS
    assert not Execution.objects.unfinished().exists()
    for each in running:
        check_end(each)
        assert (each.status, each.failure_reason) == (Status.FAILED, FailureReason.LOST)
        # What was said is there, nothing twice, and nothing was added by the dead.
        assert lines_of(each) == heard[each.pk] == [str(n) for n in range(len(lines_of(each)))]
    for each in (done, *waiting):
        check_end(each)
        assert each.status == Status.COMPLETED
        assert lines_of(each) == [str(number) for number in range(50)]
    assert read_page(done.pk, after=0) == kept
    assert nothing_left_of(*running, *waiting)
    assert not list((Path(settings.RPA_DATA_DIR) / "work").iterdir())
    assert not Runner.objects.filter(stopped_at=None).exists()


def test_runs_survive_any_number_of_kills_at_any_moment(short: Robot) -> None:
    """Each start finds other runs claimed, starting, speaking, ending: each ends once, whole or lost."""
    dice = random.Random(5)
    runs: list[Execution] = []
    with Server(RPA_SLOTS="3") as server:
        for _kill in range(4):
            batch = [make_execution(short) for _ in range(8)]
            runs += batch
            done = dice.randrange(6)
            until(
                lambda batch=batch, done=done: sum(map(ended, batch)) >= done,
                "Some of the runs end.",
            )
            server.kill()
            server.start()
        until(lambda: ended(*runs), "All runs end.", timeout=SETTLED_SECONDS)
    whole = [str(number) for number in range(50)]
    for each in runs:
        check_end(each)
        lines = lines_of(each)
        assert lines == whole[: len(lines)]
        if each.status == Status.COMPLETED:
            assert lines == whole
        else:
            assert each.failure_reason == FailureReason.LOST
    lost = sum(each.status != Status.COMPLETED for each in runs)
    assert lost <= 4 * 3, "at most the runs in hand are lost"


def test_a_stopped_server_leaves_nothing_undone(short: Robot, endless: Robot) -> None:
    """An operator's stop: the run in hand ends as stopped at once, the waiting one is the next server's."""
    with Server(RPA_SLOTS="1") as server:
        running = make_execution(endless)
        until(lambda: lines_of(running), "The run speaks.")
        waiting = make_execution(short)
        server.stop()
        check_end(running)
        assert (running.status, running.failure_reason) == (Status.FAILED, FailureReason.LOST)
        assert running.message == "The runner was stopped while it ran."
        waiting.refresh_from_db()
        assert (waiting.status, waiting.runner) == (Status.PENDING, None)
        assert not head_of(waiting.pk).closed
        server.start()
        until(lambda: ended(waiting), "The waiting run ends.")
    assert check_end(waiting).status == Status.COMPLETED
