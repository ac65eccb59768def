"""What dead runners leave: each run is settled, soon, and whatever is wrong with another one."""

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.refusals import Refused
from executions import engine as engines
from executions import lifecycle, reaper, tickets
from executions.choices import FailureReason, Status
from executions.events import Source
from executions.models import Execution, Pool, Runner
from robots.models import Robot
from spaces.models import Space
from tests.conftest import wait_for_end
from tests.executions.waiting import wait_for_line
from tests.factories import make_execution, make_robot

pytestmark = pytest.mark.django_db
racing = pytest.mark.django_db(transaction=True)

ENDLESS = "import time\nprint('ready', flush=True)\nwhile True: time.sleep(0.1)\n"
RETRYING = """# /// script
# [tool.rpa]
# pool = "gpu"
# retry = { max_attempts = 3, on = ["lost"] }
# ///
print("hello")
"""


def runner(**more: Any) -> Runner:
    return Runner.objects.create(host="here", pid=1, slots=8, **more)


def running(robot: Robot, own: Runner) -> Execution:
    run = make_execution(robot)
    found = lifecycle.claim_next(own, run.pk)
    assert found is not None
    lifecycle.start(found[0], Source(found[1], 0, 1))
    return run


def fall_silent(own: Runner) -> None:
    Runner.objects.filter(pk=own.pk).update(heartbeat_at=timezone.now() - timedelta(hours=1))


def how(run: Execution) -> tuple[str, str]:
    run.refresh_from_db()
    return run.status, run.failure_reason


def failing(times: int, deed: Callable[..., Any]) -> tuple[Callable[..., Any], threading.Event]:
    """As `deed`, but refused so often before; and when it is so no longer."""
    left = [times]
    over = threading.Event()

    def first_fail(*arguments: Any, **more: Any) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            raise Refused("not now")
        over.set()
        return deed(*arguments, **more)

    return first_fail, over


# Faults ------------------------------------------------------------------------------------------


def test_a_run_ends_and_is_tried_again_though_its_pool_has_another_name(space: Space) -> None:
    pool = Pool.objects.create(name="gpu")
    own = runner(pool=pool)
    run = running(make_robot(space, "retrying", RETRYING), own)
    Pool.objects.filter(pk=pool.pk).update(name="gpu-2026")
    fall_silent(own)
    reaper.reap()
    assert how(run) == (Status.FAILED, FailureReason.LOST)
    again = Execution.objects.get(retry__failed=run)
    found = lifecycle.claim_next(runner(pool=pool))
    assert found is not None
    assert found[0] == again


def test_a_run_that_cannot_be_settled_leaves_the_others_alone(
    robot: Robot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    own = runner()
    runs = [running(robot, own) for _ in range(3)]
    fall_silent(own)
    finish = lifecycle.finish

    def refuse(number: int, *arguments: Any, **more: Any) -> Any:
        if number == runs[0].pk:
            raise Refused("never")
        return finish(number, *arguments, **more)

    monkeypatch.setattr(lifecycle, "finish", refuse)
    assert reaper.reap() == 2
    assert "cannot be settled" in caplog.text
    assert [how(run)[0] for run in runs] == [Status.RUNNING, Status.FAILED, Status.FAILED]
    monkeypatch.undo()
    assert reaper.reap() == 1
    assert how(runs[0]) == (Status.FAILED, FailureReason.LOST)


def test_a_run_that_was_removed_meanwhile_is_nobodys_concern(robot: Robot) -> None:
    own = runner()
    begun, waiting = running(robot, own), make_execution(robot)
    assert lifecycle.claim_next(own) is not None
    runs = [Execution.objects.get(pk=each.pk) for each in (begun, waiting)]
    Execution.objects.all().delete()
    assert [reaper.settle(run) for run in runs] == [False, False]


@racing
def test_what_a_runner_does_all_the_time_it_does_again_after_a_fault(
    robot: Robot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    overs = []
    with caplog.at_level(logging.ERROR):
        for module, name in ((lifecycle, "claim_next"), (tickets, "next_for"), (reaper, "reap")):
            deed, over = failing(2, getattr(module, name))
            monkeypatch.setattr(module, name, deed)
            overs.append(over)
        run = make_execution(make_robot(robot.space, "endless", ENDLESS))
        engines.start(slots=1)
        try:
            for over in overs:
                assert over.wait(30)
            wait_for_line(run, "ready")
            lifecycle.request_cancel(run, by=None, at=timezone.now())
            assert wait_for_end(run).status == Status.CANCELLED
        finally:
            engines.stop()
    assert "tries again" in caplog.text


@racing
def test_a_run_whose_end_cannot_be_written_is_settled_by_its_runner(
    robot: Robot,
    engine: engines.Engine,
    finished: Callable[[Execution], Execution],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deed, _over = failing(1, lifecycle.finish)
    monkeypatch.setattr(lifecycle, "finish", deed)
    run = finished(make_execution(robot))
    assert (run.status, run.failure_reason) == (Status.FAILED, FailureReason.LOST)
    assert run.message == "Its runner could not write down its end."
    assert finished(make_execution(robot)).status == Status.COMPLETED
