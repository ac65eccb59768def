"""One data folder, several processes: who carries out a run, who may stop it, who takes over."""

import signal
import subprocess
from typing import Any

import pytest

from accounts.actors import Actor
from executions import engine, services
from executions.choices import FailureReason, Status
from executions.events import head_of
from executions.models import Execution, Runner
from robots.models import Robot
from spaces.models import Space
from tests.executions.server import (
    Server,
    check_end,
    ended,
    events_of,
    lines_of,
    manage,
    managed,
    robots_alive,
    until,
)
from tests.factories import make_execution, make_robot

pytestmark = pytest.mark.django_db(transaction=True)

ENDLESS = "import time\nprint('ready')\nwhile True: time.sleep(0.1)\n"
#: What "in seconds, not minutes" means for a cancel from elsewhere: half a second to see it, one of grace.
CANCEL_SECONDS = 5.0


@pytest.fixture
def greeter(space: Space) -> Robot:
    return make_robot(space, "greeter", "import sys; print('hello'); sys.exit(3)\n")


@pytest.fixture
def endless(space: Space) -> Robot:
    return make_robot(space, "endless", ENDLESS)


def only_run() -> Execution:
    return Execution.objects.get()


def test_a_server_carries_out_what_a_command_requests(greeter: Robot) -> None:
    with Server(RPA_SLOTS="2"):
        code, out, err = managed("run", "greeter", "--user", "alice")
        assert (code, err) == (0, "")
        run = Execution.objects.get(uid=out.strip())
        until(lambda: ended(run), "The server carries it out.")
        check_end(run)
        assert (run.status, run.exit_code) == (Status.FAILED, 3)
        # Following it from the command changes nothing in who carries it out.
        code, out, err = managed("run", "greeter", "--user", "alice", "--follow")
        assert (code, out) == (3, "hello\n")
        assert err == "Failed: The robot ended with exit code 3.\n"
    runners = {each.runner_id for each in Execution.objects.all()}
    assert len(runners) == 1
    assert Runner.objects.count() == 1


def test_a_cancel_in_another_process_stops_a_run_in_seconds(endless: Robot) -> None:
    with Server(RPA_SLOTS="2"):
        run = make_execution(endless)
        until(lambda: lines_of(run), "The robot is ready.")
        assert not services.cancel_execution(run, by=Actor(run.requested_by))
        until(lambda: ended(run), "The run is cancelled.", timeout=CANCEL_SECONDS)
        until(lambda: not robots_alive(run), "The robot is dead.", timeout=CANCEL_SECONDS)
    assert check_end(run).status == Status.CANCELLED
    assert run.message == "Cancelled by alice."
    codes = [each["data"]["code"] for each in events_of(run) if each["kind"] == "notice"]
    assert codes == ["cancel_requested"]


def test_without_a_server_a_followed_run_is_carried_out_by_its_command(greeter: Robot) -> None:
    code, out, _err = managed("run", "greeter", "--user", "alice", "--follow")
    assert (code, out) == (3, "hello\n")
    run = check_end(only_run())
    assert run.runner is not None
    assert run.runner.stopped_at is not None


def test_a_followed_run_leaves_the_others_in_the_queue(greeter: Robot, endless: Robot) -> None:
    """They wait for a server: a command that ends with its own run must not begin them."""
    others = [make_execution(endless) for _ in range(3)]
    assert managed("run", "greeter", "--user", "alice", "--follow")[0] == 3
    for each in others:
        each.refresh_from_db()
        assert (each.status, each.runner) == (Status.PENDING, None)
        assert head_of(each.pk).last_seq == 1


def test_a_run_that_nobody_carries_out_says_so(greeter: Robot) -> None:
    code, out, err = managed("run", "greeter", "--user", "alice")
    assert code == 0
    assert err == "It waits: no runner is alive. Start one: manage.py serve\n"
    assert str(only_run().uid) == out.strip()
    assert only_run().status == Status.PENDING


def following(process: "subprocess.Popen[str]") -> Execution:
    """The run of a `run --follow`, once its robot has spoken."""
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return only_run()


@pytest.mark.parametrize("served", [True, False], ids=["by a server", "by itself"])
def test_ctrl_c_cancels_a_followed_run(endless: Robot, *, served: bool) -> None:
    def interrupt() -> None:
        with manage("run", "endless", "--user", "alice", "--follow") as process:
            run = following(process)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
        assert process.returncode == 130
        assert out == ""
        assert "Cancelled by alice." in err
        assert "Traceback" not in err
        assert check_end(run).status == Status.CANCELLED
        assert not robots_alive(run)

    if not served:
        interrupt()
        return
    with Server(RPA_SLOTS="1"):
        interrupt()


def test_the_second_ctrl_c_leaves_at_once(space: Space) -> None:
    """The robot takes its time to end; whoever follows it need not wait."""
    make_robot(
        space,
        "stubborn",
        "import signal, time\nsignal.signal(signal.SIGTERM, lambda *_: print('asked'))\n" + ENDLESS,
    )
    with Server(RPA_SLOTS="1", RPA_CANCEL_GRACE="60") as server:
        with manage("run", "stubborn", "--user", "alice", "--follow") as process:
            run = following(process)
            process.send_signal(signal.SIGINT)
            assert process.stdout is not None
            assert process.stdout.readline() == "asked\n"
            process.send_signal(signal.SIGINT)
            _out, err = process.communicate(timeout=20)
        assert process.returncode == 130
        assert "Traceback" not in err
        run.refresh_from_db()
        assert run.status == Status.RUNNING, "the server has it, and gives it its grace"
        server.kill()
        server.start()
        until(lambda: ended(run), "It is settled.")
    assert check_end(run).status == Status.CANCELLED


def test_a_waiting_server_takes_over_from_one_that_dies(greeter: Robot, endless: Robot) -> None:
    """Two servers of one data folder: one carries out, the other is ready."""
    with Server(RPA_SLOTS="1") as first, Server(RPA_SLOTS="1"):
        lost = make_execution(endless)
        until(lambda: lines_of(lost), "The first server runs it.")
        waiting = make_execution(greeter)
        first.kill()
        until(lambda: ended(lost, waiting), "The second server takes over.")
    assert (check_end(lost).status, lost.failure_reason) == (Status.FAILED, FailureReason.LOST)
    assert check_end(waiting).exit_code == 3


def test_a_server_without_an_engine_takes_requests_only(greeter: Robot, endless: Robot) -> None:
    """And a followed run is then carried out by its command, next to that server."""
    with Server(RPA_ENGINE="none"):
        waiting = make_execution(endless)
        assert managed("run", "greeter", "--user", "alice", "--follow")[0] == 3
        waiting.refresh_from_db()
        assert waiting.status == Status.PENDING
    assert set(Runner.objects.values_list("slots", flat=True)) == {1}


def test_a_followed_run_goes_on_when_its_server_dies(greeter: Robot, endless: Robot) -> None:
    """The server is busy with another run and dies; the command, which waits, takes its own."""
    with Server(RPA_SLOTS="1") as server:
        blocking = make_execution(endless)
        until(lambda: lines_of(blocking), "The slot is taken.")
        with manage("run", "greeter", "--user", "alice", "--follow") as process:
            until(lambda: Execution.objects.count() == 2, "The run is requested.")
            server.kill()
            out, _err = process.communicate(timeout=30)
        assert (process.returncode, out) == (3, "hello\n")
    assert check_end(blocking).failure_reason == FailureReason.LOST


def test_one_process_has_the_engine(engine: Any) -> None:
    """A command of another process finds this one's and leaves the runs to it."""
    code, _out, err = managed("shell", "-c", "from executions import engine; engine.start()")
    assert code == 1
    assert "EngineBusy" in err


def test_an_engine_is_given_up_and_taken_again(transactional_db: None) -> None:
    for _time in range(3):
        engine.start_when_free(slots=1)
        assert Runner.objects.alive().count() == 1
        engine.stop()
        engine.stop()
        assert not Runner.objects.alive().exists()
