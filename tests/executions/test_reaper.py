"""What dead runners leave: each run is settled, soon, and whatever is wrong with another one."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import User
from accounts.refusals import Refused
from executions import engine as engines
from executions import lifecycle, reaper, tickets
from executions.choices import FailureReason, Scope, Status
from executions.engine.host import RunnerHost
from executions.events import Source
from executions.models import Execution, ExecutionStream, Gate, Pool, RunLimit, Runner, Ticket
from robots.models import Robot
from spaces.models import Space
from tests.conftest import wait_for_end
from tests.executions.server import ROOT, check_end, ended, environment, events_of, until
from tests.executions.waiting import wait_for_line
from tests.factories import make_execution, make_robot

pytestmark = pytest.mark.django_db
racing = pytest.mark.django_db(transaction=True)


def locking(test: Callable[..., None]) -> Callable[..., None]:
    """A test of locks on rows: SQLite has one for all."""
    unless = pytest.mark.skipif(connection.vendor != "mysql", reason="about MariaDB and MySQL")
    return racing(unless(test))


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


def test_who_wanted_the_end_of_a_run_is_told_also_if_its_runner_died(
    robot: Robot, people: dict[str, User]
) -> None:
    own = runner()
    runs = {by: running(robot, own) for by in (people["bob"], None)}
    for by, run in runs.items():
        assert not lifecycle.request_cancel(run, by=by, at=timezone.now())
    fall_silent(own)
    assert reaper.reap() == 2
    for run, message in zip(runs.values(), ["Cancelled by bob.", "Cancelled."], strict=True):
        run.refresh_from_db()
        assert (run.status, run.message) == (Status.CANCELLED, message)


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


@racing
def test_the_dead_are_looked_for_every_second_however_slowly_hearts_beat(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.RPA_HEARTBEAT_SECONDS = 2
    looks: list[float] = []
    monkeypatch.setattr(reaper, "reap", lambda: looks.append(time.monotonic()))
    engines.start(slots=1)
    try:
        until(lambda: len(looks) > 2, "It has looked three times.", timeout=20)
    finally:
        engines.stop()
    assert looks[2] - looks[0] < 3.5


@locking
def test_a_look_for_the_dead_passes_over_those_of_the_past() -> None:
    now = timezone.now()
    past = [
        Runner(host="past", pid=1, slots=1, heartbeat_at=now - timedelta(days=9), stopped_at=now)
        for _ in range(2000)
    ]
    Runner.objects.bulk_create(past)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE TABLE executions_runner")
        cursor.fetchall()
    assert "range runner_by_sign_of_life" in Runner.objects.silent().explain()
    assert reaper.reap() == 0


# Who buries whom at its start ---------------------------------------------------------------------


@pytest.fixture
def machine(settings: Any, tmp_path: Path) -> Iterator[Callable[[str], RunnerHost]]:
    """`machine(disk)` is a host with a disk of its own, and the same name and path as every other one."""
    folder, hosts = tmp_path / "data", []
    settings.RPA_DATA_DIR = folder

    def start(disk: str) -> RunnerHost:
        folder.unlink(missing_ok=True)
        (tmp_path / disk).mkdir(mode=0o711, exist_ok=True)
        folder.symlink_to(tmp_path / disk)
        host = RunnerHost(1, lambda: None)
        host.start()
        hosts.append(host)
        return host

    yield start
    for host in hosts:
        host.halt()
        host.close([])


def die(host: RunnerHost) -> None:
    """As if it was killed: it says no goodbye."""
    host.runner = None
    host.halt()
    host.close([])


@racing
def test_a_machine_buries_its_own_last_runner_and_no_other_of_its_name(
    robot: Robot, machine: Callable[[str], RunnerHost]
) -> None:
    first = machine("one")
    assert first.runner is not None
    own = first.runner
    run = make_execution(robot)
    assert lifecycle.claim_next(own) is not None
    second = machine("two")
    assert second.runner is not None
    assert second.runner.host == own.host
    own.refresh_from_db()
    assert own.stopped_at is None
    assert Ticket.objects.get(pk=run.pk).runner == own
    die(first)
    machine("one")
    own.refresh_from_db()
    assert own.stopped_at is not None
    assert Ticket.objects.get(pk=run.pk).runner is None
    second.runner.refresh_from_db()
    assert second.runner.stopped_at is None


@racing
@pytest.mark.parametrize("text", ["", "nonsense", "7d1f1e1c-3f0b"])
def test_a_lock_that_names_nobody_buries_nobody(
    robot: Robot, machine: Callable[[str], RunnerHost], tmp_path: Path, text: str
) -> None:
    (tmp_path / "one").mkdir(mode=0o711)
    (tmp_path / "one" / "engine.lock").write_text(text)
    other = runner()
    host = machine("one")
    other.refresh_from_db()
    assert other.stopped_at is None
    assert host.runner is not None
    assert (tmp_path / "one" / "engine.lock").read_text() == str(host.runner.uid)


# Locks that others keep ---------------------------------------------------------------------------


@pytest.fixture
def keep() -> Iterator[Callable[[QuerySet[Any]], Callable[[], None]]]:
    """`keep(rows)` locks these rows from another connection, as a stopped process does, until what it returns is called."""
    let_go = threading.Event()
    threads = []

    def keep(rows: QuerySet[Any]) -> Callable[[], None]:
        has = threading.Event()

        def hold() -> None:
            with transaction.atomic():
                assert list(rows.select_for_update())
                has.set()
                let_go.wait(60)
            connection.close()

        thread = threading.Thread(target=hold)
        thread.start()
        threads.append(thread)
        assert has.wait(10)

        def free() -> None:
            let_go.set()
            thread.join()

        return free

    yield keep
    let_go.set()
    for thread in threads:
        thread.join()


Keep = Callable[["QuerySet[Any]"], Callable[[], None]]


@locking
def test_what_a_stopped_process_has_locked_delays_nothing_else(
    robot: Robot, keep: Keep, engine: engines.Engine
) -> None:
    mine = make_execution(make_robot(robot.space, "endless", ENDLESS))
    wait_for_line(mine, "ready")
    engine.host.drain()  # the other runs are for others
    dead, alive = runner(), runner(heartbeat_at=timezone.now() + timedelta(hours=1))
    runs = [running(robot, dead) for _ in range(3)]
    other = running(robot, alive)
    free = keep(ExecutionStream.objects.filter(pk=runs[0].pk))
    fall_silent(dead)
    until(lambda: ended(*runs[1:]), "The others of the same runner are settled.", timeout=10)
    lifecycle.request_cancel(mine, by=None, at=timezone.now())
    until(lambda: ended(mine), "The cancel is heard.", timeout=5)
    assert how(runs[0]) == how(other) == (Status.RUNNING, "")
    free()
    until(lambda: ended(runs[0]), "What was passed over is found again.", timeout=5)
    assert how(runs[0]) == (Status.FAILED, FailureReason.LOST)


@locking
def test_a_gate_that_is_kept_delays_no_cancel(
    robot: Robot, keep: Keep, engine: engines.Engine
) -> None:
    """Whoever claims waits for it, with the list of the runner's own runs in hand."""
    mine = make_execution(make_robot(robot.space, "endless", ENDLESS))
    wait_for_line(mine, "ready")
    RunLimit.objects.create(robot=robot, most=1)
    Gate.objects.create(scope=Scope.ROBOT, object_id=robot.pk)
    keep(Gate.objects.all())
    make_execution(robot)
    engine.wake()
    waiting = (
        "SELECT 1 FROM information_schema.processlist WHERE info LIKE '%executions_gate%FOR UPDATE'"
    )
    until(lambda: asked(waiting), "A slot waits for the gate.", timeout=5)
    lifecycle.request_cancel(mine, by=None, at=timezone.now())
    until(lambda: ended(mine), "The cancel is heard.", timeout=4)


@locking
def test_a_runner_that_is_stopped_while_it_claims_delays_the_burial_of_no_other(
    robot: Robot, keep: Keep
) -> None:
    stopped, dead = runner(), runner()
    run = running(robot, dead)
    free = keep(Runner.objects.filter(pk=stopped.pk))
    fall_silent(dead)
    Runner.objects.filter(pk=dead.pk).update(heartbeat_at=timezone.now() - timedelta(hours=1))
    began = time.monotonic()
    assert reaper.bury(Runner.objects.filter(pk__in=[stopped.pk, dead.pk])) == 1
    assert time.monotonic() - began < 5
    assert how(run) == (Status.FAILED, FailureReason.LOST)
    free()
    reaper.bury(Runner.objects.filter(pk=stopped.pk))
    stopped.refresh_from_db()
    assert stopped.stopped_at is not None


#: Stops itself in the midst of an append, with the stream locked; then it is what it was.
STOPPED = """
import os, signal, sys
import django
django.setup()
from executions import lifecycle
from executions.choices import EventKind
from executions.engine.patience import hurry
from executions.events import Draft, Source, StreamRefused, append, writing
from executions.models import Runner
from executions.runner.writer import StreamWriter

hurry()
run, token = lifecycle.claim_next(Runner.objects.get())
writer = StreamWriter(run.pk, token, log_limit=100)
writer.commit(1, lambda source: lifecycle.start(run, source))

def stop(source):
    with writing():
        append(run.pk, [Draft(EventKind.NOTICE, {"code": "stopped"})], source=source)
        os.kill(os.getpid(), signal.SIGSTOP)

try:
    writer.commit(1, stop)
except StreamRefused as error:
    print(type(error).__name__)
"""


@locking
def test_mariadb_ends_what_a_stopped_process_has_begun(robot: Robot) -> None:
    """And the process, should it go on, finds that its stream is not its own any more."""
    if not asked("SHOW VARIABLES LIKE 'idle_transaction_timeout'"):
        pytest.skip("MySQL ends a transaction only with its connection.")
    own, run = runner(), make_execution(robot)
    command = [sys.executable, "-c", STOPPED]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            _pid, status = os.waitpid(process.pid, os.WUNTRACED)
            assert os.WIFSTOPPED(status)
            assert reaper.bury(Runner.objects.filter(pk=own.pk)) == 0, "The stream is locked."
            began = time.monotonic()
            until(lambda: reaper.bury(Runner.objects.none()), "It is free again.", timeout=10)
            assert time.monotonic() - began < 2 * settings.RPA_HEARTBEAT_SECONDS + 3
            assert how(run) == (Status.FAILED, FailureReason.LOST)
            process.send_signal(signal.SIGCONT)
            assert process.communicate(timeout=30)[0] == "StreamClosed\n"
        finally:
            process.kill()
    assert "stopped" not in str(check_end(run)) + str(events_of(run))


def asked(sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()
