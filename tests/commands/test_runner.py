"""`manage.py runner`: several machines, as far as one machine can play them."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from redis import Redis

from accounts.actors import Actor
from executions.choices import FailureReason, Status
from executions.hints import Move
from executions.models import Execution, Runner
from executions.redis_hints import MOVES, encode_move
from executions.services import cancel_execution
from executions.work_bell import WorkBell
from robots.models import Robot
from spaces.models import Space
from tests.executions.server import check_end, ended, lines_of, manage, managed, until
from tests.executions.test_redis_hints import RedisServer
from tests.factories import make_execution, make_robot

pytestmark = pytest.mark.django_db(transaction=True)

#: Long enough to be met while it runs.
PATIENT = "import time\nprint('ready', flush=True)\ntime.sleep(2)\nprint('done')\n"
ENDLESS = "import time\nprint('ready', flush=True)\nwhile True: time.sleep(0.1)\n"


@pytest.fixture
def patient(space: Space) -> Robot:
    return make_robot(space, "patient", PATIENT)


@pytest.fixture
def endless(space: Space) -> Robot:
    return make_robot(space, "endless", ENDLESS)


@contextmanager
def runner(number: int = 0, *arguments: str, **more: Any) -> Iterator["subprocess.Popen[str]"]:
    """A runner; each number is a machine with a data folder of its own, all with the same storage."""
    folder = Path(settings.RPA_DATA_DIR)
    if number:
        folder = Path(settings.RPA_DATA_DIR) / f"machine-{number}"
        folder.mkdir(mode=0o711, exist_ok=True)
        if not (folder / "storage").is_symlink():
            (folder / "storage").symlink_to(Path(settings.RPA_DATA_DIR) / "storage")
    own = {"RPA_DATA_DIR": str(folder), "RPA_SANDBOX_UID_BASE": str(2_700_000 + 1000 * number)}
    with manage("runner", "--slots", "2", *arguments, **{**own, **more}) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            assert "2 slots is ready" in said, said + str(process.stderr and process.stderr.read())
            yield process
        finally:
            process.kill()
            process.communicate()


def ready(execution: Execution) -> bool:
    return lines_of(execution) == ["ready"]


def test_sigterm_lets_the_runs_in_hand_finish_and_takes_no_more(patient: Robot) -> None:
    with runner() as process:
        running = [make_execution(patient) for _run in range(2)]
        until(lambda: all(map(ready, running)), "Both are running.")
        waiting = make_execution(patient)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    for each in running:
        assert check_end(each).status == Status.COMPLETED
        assert lines_of(each) == ["ready", "done"]
    waiting.refresh_from_db()
    assert (waiting.status, waiting.runner) == (Status.PENDING, None)
    assert Runner.objects.get().stopped_at is not None


@pytest.mark.parametrize("how", ["a second signal", "no grace"])
def test_who_does_not_wait_stops_them(endless: Robot, how: str) -> None:
    arguments = ("--grace", "0") if how == "no grace" else ()
    with runner(0, *arguments) as process:
        running = make_execution(endless)
        until(lambda: ready(running), "It is running.")
        process.send_signal(signal.SIGTERM)
        if how == "a second signal":
            until(lambda: Runner.objects.get().draining_at, "It is draining.")
            process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert check_end(running).status == Status.FAILED


def test_a_runner_is_drained_by_a_command(endless: Robot) -> None:
    with runner() as process:
        running = make_execution(endless)
        until(lambda: ready(running), "It is running.")
        uid = str(Runner.objects.get().uid)
        assert managed("drain", uid)[0] == 0
        assert process.poll() is None  # not before its last run has ended
        cancel_execution(running, by=Actor(running.requested_by))
        assert process.wait(30) == 0
    assert check_end(running).status == Status.CANCELLED


def test_the_work_of_a_machine_that_dies_is_settled_by_another(endless: Robot) -> None:
    with runner(1) as first:
        running = make_execution(endless)
        until(lambda: ready(running), "It is running.")
        with runner(2):
            os.kill(first.pid, signal.SIGKILL)
            until(lambda: ended(running), "It is found dead within two heartbeats.", timeout=15)
            assert check_end(running).failure_reason == FailureReason.LOST
            another = make_execution(endless)
            until(lambda: ready(another), "The other machine takes it.")
    assert another.runner is None  # as it was when it was requested
    another.refresh_from_db()
    running.refresh_from_db()
    assert another.runner_id != running.runner_id


def test_two_runners_share_what_waits_and_none_runs_twice(space: Space) -> None:
    robot = make_robot(space, "quick", "import time; time.sleep(0.3); print('once')\n")
    with runner(1), runner(2):
        waiting = [make_execution(robot) for _run in range(12)]
        until(lambda: ended(*waiting), "All have ended.", timeout=60)
    assert {check_end(each).status for each in waiting} == {Status.COMPLETED}
    assert all(lines_of(each) == ["once"] for each in waiting)
    assert len({each.runner_id for each in waiting}) == 2


def test_a_data_folder_has_one_runner(transactional_db: None) -> None:
    with runner():
        code, _out, err = managed("runner")
    assert code == 1
    assert "Give each runner an RPA_DATA_DIR of its own." in err


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    running = RedisServer(tmp_path)
    running.start()
    yield running
    running.kill()


def test_a_runner_hears_of_waiting_runs_and_outlives_redis(redis: RedisServer) -> None:
    woken = threading.Semaphore(0)
    bell = WorkBell(redis.url, woken.release)
    bell.start()
    try:
        assert woken.acquire(timeout=20)  # for what waited before
        with Redis.from_url(redis.url) as client:
            client.publish(MOVES, "nonsense")
            client.publish(MOVES, encode_move(Move(1, 1, Status.RUNNING)))
            client.publish(MOVES, encode_move(Move(2, 1, Status.PENDING, "queued")))
        assert woken.acquire(timeout=20)
        redis.kill()
        redis.start()
        assert woken.acquire(timeout=20)
        assert not woken.acquire(blocking=False)
    finally:
        bell.close()
