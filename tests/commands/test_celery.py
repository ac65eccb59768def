"""Runners under RPA_ENGINE=celery, by `manage.py runner` and by Celery's own command; the broker may be anything but needed."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone
from redis import Redis

from accounts.actors import Actor
from executions import lifecycle
from executions.choices import Status
from executions.models import DEFAULT_POOL, Execution, Pool, Runner
from executions.services import cancel_execution
from robots.models import Robot
from spaces.models import Space
from tests.commands.test_runner import runner
from tests.executions.server import (
    ROOT,
    Server,
    check_end,
    ended,
    environment,
    lines_of,
    managed,
    until,
)
from tests.executions.test_redis_hints import RedisServer
from tests.factories import make_execution, make_robot

pytestmark = pytest.mark.django_db(transaction=True)

ENDLESS = "import time\nprint('ready', flush=True)\nwhile True: time.sleep(0.1)\n"
PATIENT = "import time\nprint('ready', flush=True)\ntime.sleep(2)\nprint('done')\n"
#: "In seconds": half a second to look, and the start of a robot on a busy machine.
SECONDS = 10.0


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[RedisServer]:
    running = RedisServer(tmp_path)
    running.start()
    yield running
    running.kill()


@pytest.fixture
def greeter(space: Space) -> Robot:
    return make_robot(space, "greeter", "print('hello')\n")


def fleet_settings(broker: RedisServer) -> dict[str, str]:
    return {"RPA_ENGINE": "celery", "RPA_BROKER_URL": broker.url}


@contextmanager
def celery(*arguments: str, **more: str) -> "Iterator[subprocess.Popen[str]]":
    """Celery's own command, ended at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "rpa_platform", *arguments],
        cwd=ROOT,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_what_a_server_takes_is_carried_out_by_a_runner(
    greeter: Robot, broker: RedisServer
) -> None:
    """The server has no slots: it rings, and the runner's worker hears it."""
    more = fleet_settings(broker)
    folder = Path(settings.RPA_DATA_DIR) / "web"
    folder.mkdir(mode=0o711, exist_ok=True)
    if not (folder / "storage").is_symlink():
        (folder / "storage").symlink_to(Path(settings.RPA_DATA_DIR) / "storage")
    with Server(RPA_DATA_DIR=str(folder), **more), runner(1, **more):
        assert Runner.objects.count() == 1
        code, out, _err = managed("run", "greeter", "--user", "alice", "--follow", **more)
    assert (code, out) == (0, "hello\n")
    run = check_end(Execution.objects.get())
    assert run.runner == Runner.objects.get()


def test_a_ring_reaches_the_worker(broker: RedisServer, greeter: Robot) -> None:
    """By the broker, not by looking: the queue is emptied although nothing waits."""
    from executions.engine.messages import Publisher, app, queue_of

    before, app.conf.broker_url = app.conf.broker_url, broker.url
    publisher = Publisher()
    try:
        with runner(1, **fleet_settings(broker)), Redis.from_url(broker.url) as client:
            publisher({DEFAULT_POOL: 20})
            until(lambda: not client.llen(queue_of(DEFAULT_POOL)), "All rings are answered.")
            run = make_execution(greeter)
            until(lambda: ended(run), "Rings for nothing have done no harm.")
    finally:
        app.conf.broker_url = before
        publisher.close()
    assert check_end(run).status == Status.COMPLETED


def test_without_its_broker_a_runner_goes_on(
    greeter: Robot, broker: RedisServer, space: Space
) -> None:
    endless = make_robot(space, "endless", ENDLESS)
    with runner(1, **fleet_settings(broker)):
        running = make_execution(endless)
        until(lambda: lines_of(running), "It is running.")
        broker.kill()
        another = make_execution(greeter)
        until(lambda: ended(another), "It is found by looking.", timeout=SECONDS)
        cancel_execution(running, by=Actor(running.requested_by))
        until(lambda: ended(running), "It is cancelled.", timeout=SECONDS)
        broker.start()
        last = make_execution(greeter)
        until(lambda: ended(last), "And it goes on.", timeout=SECONDS)
    assert check_end(running).status == Status.CANCELLED
    assert {check_end(each).status for each in (another, last)} == {Status.COMPLETED}


@pytest.mark.parametrize("kind", ["runner", "worker"])
def test_sigterm_lets_the_runs_in_hand_finish(space: Space, broker: RedisServer, kind: str) -> None:
    patient = make_robot(space, "patient", PATIENT)
    more = fleet_settings(broker)
    worker = celery("worker", "-P", "threads", "-c", "2", "-Q", "rpa.default", **more)
    with runner(**more) if kind == "runner" else worker as process:
        running = make_execution(patient)
        until(lambda: lines_of(running) == ["ready"], "It is running.", timeout=60)
        process.send_signal(signal.SIGTERM)
        until(lambda: Runner.objects.get().draining_at, "It is draining.")
        waiting = make_execution(patient)
        assert process.wait(30) == 0
    assert check_end(running).status == Status.COMPLETED
    assert lines_of(running) == ["ready", "done"]
    waiting.refresh_from_db()
    assert (waiting.status, waiting.runner) == (Status.PENDING, None)
    assert Runner.objects.get().stopped_at is not None


def test_a_worker_of_processes_is_refused(broker: RedisServer, transactional_db: None) -> None:
    with celery("worker", "-P", "solo", **fleet_settings(broker)) as process:
        out, _none = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Start the worker with: -P threads" in out


def test_a_data_folder_has_one_worker(broker: RedisServer, transactional_db: None) -> None:
    more = fleet_settings(broker)
    with runner(**more), celery("worker", "-c", "1", **more) as process:
        out, _none = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Give each worker an RPA_DATA_DIR of its own." in out


def test_beat_has_the_fleet_swept(broker: RedisServer, transactional_db: None) -> None:
    """However long nobody is there to hear it, its messages are no more than can be of use."""
    from executions.engine import messages

    more = {**fleet_settings(broker), "RPA_DATA_DIR": str(settings.RPA_DATA_DIR)}
    with Redis.from_url(broker.url) as client, celery("beat", **more):
        until(lambda: client.llen(messages.SWEEPS), "It has swept.")
        assert client.lpop(messages.SWEEPS)
        until(lambda: client.llen(messages.SWEEPS), "It has swept again.")
        client.config_resetstat()
        until(lambda: _asked(client) >= 3, "It has looked whether somebody took the last one.")
        assert client.llen(messages.SWEEPS) == 1


def _asked(client: "Redis[bytes]") -> float:
    """How often somebody asked for a queue's length, which is one question for each priority."""
    steps = 4
    found: dict[str, Any] = client.info("commandstats").get("cmdstat_llen", {"calls": 0})
    return float(found["calls"] / steps)


@pytest.mark.parametrize("kind", ["runner", "worker"])
def test_runners_of_any_pool_sweep(
    broker: RedisServer, monkeypatch: pytest.MonkeyPatch, transactional_db: None, kind: str
) -> None:
    """A fleet may have none of the default pool."""
    from executions.engine import messages

    monkeypatch.setattr(messages.app.conf, "broker_url", broker.url)
    more = {**fleet_settings(broker), "RPA_RUNNER_POOL": "special"}
    worker = celery("worker", "-P", "threads", "-c", "1", "-Q", "rpa.special", **more)
    with Redis.from_url(broker.url) as client:
        with messages.app.connection_for_write() as connection:
            messages.sweep.apply_async(connection=connection)
        assert client.llen(messages.SWEEPS) == 1
        with runner(1, **more) if kind == "runner" else worker:
            until(lambda: not client.llen(messages.SWEEPS), "It is taken.", timeout=60)


def test_a_sweep_rings_for_runs_that_wait_while_slots_are_idle(
    greeter: Robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    from executions.engine import messages

    rung: list[str] = []
    monkeypatch.setattr(messages.bell, "ring", rung.append)

    def swept() -> int:
        rung.clear()
        messages.sweep()
        return len(rung)

    pool = Pool.objects.get(name=DEFAULT_POOL)
    one = Runner.objects.create(host="here", pid=1, slots=2, pool=pool)
    assert swept() == 0
    for _run in range(3):
        make_execution(greeter)
    assert swept() == 2
    lifecycle.claim_next(one)
    assert swept() == 1
    Runner.objects.create(host="there", pid=1, slots=8, pool=pool)
    Runner.objects.create(host="gone", pid=1, slots=8, pool=pool, draining_at=timezone.now())
    assert swept() == 2  # as many as wait
    assert set(rung) == {DEFAULT_POOL}
