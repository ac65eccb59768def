"""The life of a run: however it ends, all of it ends, and the platform is told why."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from executions.sandbox import Profile, Sandbox, SandboxUnavailable, Spec
from executions.sandbox.proc import wait_readable
from executions.sandbox.workspace import reclaim

from .conftest import AS_ROOT, PYTHON, UID_BASE, WAIT, Box, Running, needs_root


def processes_of(first_uid: int, last_uid: int) -> list[int]:
    """The living processes whose real uid lies between the two."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                status = (path / "status").read_text()
            except OSError:
                continue
            fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
            uid = int(fields["Uid"].split()[0])
            if first_uid <= uid <= last_uid and fields["State"].split()[0] not in "ZX":
                found.append(int(path.name))
    return found


def descriptors() -> set[str]:
    """The open descriptors of the test process."""
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def all_gone(first_uid: int, last_uid: int, timeout: float = 5.0) -> bool:
    """Wait until no such process lives."""
    deadline = time.monotonic() + timeout
    while left := processes_of(first_uid, last_uid):
        if time.monotonic() > deadline:
            return False
        try:
            pidfd = os.pidfd_open(left[0])
        except ProcessLookupError:
            continue
        wait_readable(pidfd, 0.2)
        os.close(pidfd)
    return True


def is_empty(box: Box, running: Running) -> bool:
    """Whether no process of the slot is left, as the host sees it."""
    uid = box.sandbox.uid(int(running.workspace.path.name))
    return all_gone(uid, uid) if AS_ROOT else running.process.is_dead()


@pytest.mark.parametrize(
    ("code", "exit_code", "signalled"),
    [
        ("pass", 0, None),
        ("sys.exit(3)", 3, None),
        ("1/0", 1, None),
        ("os.kill(os.getpid(), 15)", 143, 15),
        ("os.abort()", 134, 6),
        ("sys.exit(137)", 137, 9),  # 36: a claim, and no reason to believe in an OOM
    ],
)
def test_36_an_exit_is_told_as_it_was(
    code: str, exit_code: int, signalled: int | None, box: Box
) -> None:
    outcome = box.run(code).outcome
    assert (outcome.exit_code, outcome.signal) == (exit_code, signalled)
    assert outcome.started
    assert not outcome.oom
    assert not outcome.cpu_limited


def test_a_missing_command_is_an_exit_of_its_own(box: Box) -> None:
    result = box.start("/no/such/command").finish()
    assert result.outcome.exit_code == 127
    assert "not found" in result.err


def test_terminate_reaches_the_robot_which_may_tidy_up(box: Box) -> None:
    run = box.python(
        "import signal\n"
        "signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b'tidy'), os._exit(0)))\n" + WAIT
    )
    run.read_until("up")
    run.process.terminate()
    result = run.finish()
    assert "tidy" in result.out
    assert result.outcome.exit_code == 0


def test_terminate_reaches_its_children_and_a_main_process_that_moved(box: Box) -> None:
    run = box.python(
        "import signal\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b'child '), os._exit(0)))\n"
        "    os.write(1, b'ready ')\n"
        "    while True: signal.pause()\n"
        "os.setpgid(0, 0)\n"
        "signal.signal(signal.SIGTERM, lambda *_: (os.wait(), os.write(1, b'main'), os._exit(0)))\n"
        "os.write(1, b'up ')\n"
        "while True: signal.pause()\n"
    )
    run.read_until("up")
    run.read_until("ready")
    run.process.terminate()
    assert run.finish().out.endswith("child main")


def test_31_what_ignores_and_hides_is_killed(box: Box) -> None:
    run = box.python(
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "if not os.fork():\n"
        "    os.setsid()\n"
        "    if not os.fork():\n"
        "        os.setsid()\n"
        "        print('up', flush=True)\n"
        "    time.sleep(1000)\n"
        "time.sleep(1000)"
    )
    run.read_until("up")
    run.process.terminate()
    assert not run.process.wait_dead(0.1)
    run.process.kill()
    result = run.finish(5)
    assert result.outcome.exit_code in (None, 137)
    assert is_empty(box, run)


def test_32_a_daemon_dies_with_its_main_process(box: Box) -> None:
    result_of = box.python(
        "import time\n"
        "if not os.fork():\n"
        "    os.setsid()\n"
        "    if os.fork(): os._exit(0)\n"
        "    os.close(1); os.close(2)\n"
        "    time.sleep(1000)\n"
        "print('main ends')"
    )
    result = result_of.finish(5)
    assert result.outcome.exit_code == 0
    assert is_empty(box, result_of)


def test_34_the_thread_that_started_a_run_may_end(box: Box) -> None:
    started: list[Running] = []
    thread = threading.Thread(target=lambda: started.append(box.python(WAIT)))
    thread.start()
    thread.join()
    started[0].read_until("up")
    assert not wait_readable(started[0].process.pidfd, 0.2)


def test_35_a_flood_of_output_blocks_only_the_robot(box: Box) -> None:
    run = box.python("while True: os.write(1, b'\\x1b[2J\\r' * 10000)")
    assert wait_readable(run.process.stdout, 10)
    assert len(os.read(run.process.stdout, 1000)) == 1000
    run.process.terminate()
    assert run.process.wait_dead(5)


def test_35_a_line_of_any_length_passes_through(box: Box) -> None:
    result = box.run("for _ in range(64): sys.stdout.write('x' * (1 << 20))")
    assert len(result.out) == 64 << 20


SUPERVISOR = """\
import sys, threading
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from executions.sandbox import Sandbox, Spec
from executions.sandbox.workspace import open_workspace
data, base, busy = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "busy"
sandbox = Sandbox(data, base)
def work(slot):
    while True:
        space = open_workspace(data / "killed", slot, sandbox.uid(slot), 1 << 20, 100)
        command = ("/bin/true",) if busy else ("/bin/sleep", "1000")
        process = sandbox.start(Spec(command=command, workspace=space.path, slot=slot))
        print(slot, flush=True)
        process.wait_dead(1000)
        process.close()
        space.destroy()
threads = [threading.Thread(target=work, args=(slot,)) for slot in range(4)]
for thread in threads: thread.start()
"""


@needs_root
@pytest.mark.parametrize(("mode", "lines"), [("idle", 4), ("busy", 1), ("busy", 7), ("busy", 30)])
def test_33_nothing_outlives_a_killed_server(
    mode: str, lines: int, data_dir: Path, sandbox: Sandbox
) -> None:
    """Also when it is killed in the middle of starting runs."""
    base = UID_BASE + 1000
    project = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(data_dir), str(base), mode, str(project)],
        stdout=subprocess.PIPE,
    ) as server:
        assert server.stdout is not None
        for _ in range(lines):
            assert server.stdout.readline()
        server.kill()
        server.wait()
    if mode == "busy":
        # A bubblewrap may be left that had not got as far as its own setup: it waits, without a robot.
        sandbox.reclaim()
    try:
        assert all_gone(base, base + 10)
        # Servers that other tests kill meanwhile leave groups as well: soon there are none.
        deadline = time.monotonic() + 20
        while sandbox.reclaim():
            assert time.monotonic() < deadline
    finally:
        reclaim(data_dir / "killed")


def test_many_threads_start_runs_at_once_and_leak_nothing(box: Box) -> None:
    box.run("pass")
    before = descriptors()
    barrier = threading.Barrier(20)
    results: list[str] = []

    def work(number: int) -> None:
        mine = Box(box.sandbox, box.data_dir)
        barrier.wait()
        for turn in range(2):
            results.append(mine.run(f"print({number})", slot=100 + number).out.strip() + f":{turn}")
            mine.end()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == sorted(f"{n}:{t}" for n in range(20) for t in range(2))
    box.end()
    after = descriptors()
    assert len(after) <= len(before)


def test_a_refused_run_leaks_nothing(data_dir: Path, box: Box) -> None:
    box.run("pass")
    before = len(descriptors())
    for _ in range(5):
        with pytest.raises(SandboxUnavailable):
            box.sandbox.start(Spec(command=(PYTHON,), workspace=data_dir / "absent", slot=300))
    assert len(descriptors()) == before


def test_a_slot_runs_one_robot_at_a_time(box: Box) -> None:
    run = box.python(WAIT, slot=301)
    run.read_until("up")
    with pytest.raises(ValueError, match="in use"):
        box.sandbox.start(Spec(command=(PYTHON,), workspace=run.workspace.path, slot=301))
    run.process.close()
    run.process.close()
    assert box.python("print('next')", slot=301).finish().out == "next\n"


def test_closing_kills(box: Box) -> None:
    run = box.python(WAIT)
    run.read_until("up")
    run.process.close()
    assert is_empty(box, run)
    run.process.kill()
    run.process.terminate()


def test_profiles_differ_only_where_they_say(box: Box) -> None:
    links = "print(open('/proc/net/dev').read().count(':'))"
    assert box.run(links, profile=Profile.STRICT).out == "1\n"
    assert box.run(links, profile=Profile.BROWSER).out == "1\n"


def test_a_slot_can_be_used_again_at_once(box: Box) -> None:
    """No process of an earlier run, not even a dead one, counts against the next."""
    for _ in range(20):
        assert box.python("print('ran')", slot=303, limits={"pids": 4}).finish().out == "ran\n"
        box.end()
