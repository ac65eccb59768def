"""No run takes more than its share, and what goes over it is named."""

import signal
import time

import pytest

from .conftest import AS_ROOT, WAIT, Box, needs_root


@pytest.mark.parametrize("bomb", ["fork", "thread"])
def test_26_bombs_are_bounded_and_harm_no_one_else(bomb: str, box: Box) -> None:
    code = {
        "fork": "        if not os.fork(): signal.pause()\n",
        "thread": "        threading.Thread(target=signal.pause, daemon=True).start()\n",
    }[bomb]
    run = box.python(
        "import signal, threading\n"
        "count = 0\n"
        "try:\n"
        "    while True:\n" + code + "        count += 1\n"
        "except (OSError, RuntimeError) as error:\n"
        "    print(count, getattr(error, 'errno', 'thread'), 'held', flush=True)\n"
        "    signal.pause()",
        limits={"pids": 30},
    )
    assert int(run.read_until("held").split()[0]) < 30
    assert box.run("print('sibling')").out == "sibling\n"


def test_26_processes_are_counted_per_run_even_for_one_uid(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = box.python(
        "import signal\n"
        "try:\n"
        "    while True:\n"
        "        if not os.fork(): signal.pause()\n"
        "except OSError: print('held', flush=True); signal.pause()",
        limits={"pids": 20},
    )
    first.read_until("held")
    uid = box.sandbox.uid(int(first.workspace.path.name))
    monkeypatch.setattr(box.sandbox, "uid", lambda *_: uid)
    second = box.run("print('child' if os.fork() else 'robot')", limits={"pids": 20})
    assert sorted(second.out.split()) == ["child", "robot"]


HOGS = {
    "parent": "x = []\nwhile True: x.append(bytearray(1 << 20))",
    "children": "while True:\n    if not os.fork():\n        x = bytearray(30 << 20)\n        signal.pause()\n    time.sleep(0.01)",
    "memfd": "fd = os.memfd_create('x')\nwhile True: os.write(fd, b'x' * (1 << 20))",
    "tmpfs": "f = open('/tmp/x', 'wb', 0)\nwhile True: f.write(b'x' * (1 << 20))",
    "inodes": "n = 0\nwhile True:\n    os.mkdir(f'/tmp/{n}'); n += 1",
}


@needs_root
@pytest.mark.parametrize("hog", HOGS.values(), ids=HOGS.keys())
def test_27_memory_ends_the_run_and_no_other(hog: str, box: Box) -> None:
    sibling = box.python(WAIT)
    sibling.read_until("up")
    limits = {"memory": 96 << 20, "tmp": 1 << 30, "file_size": 1 << 30}
    result = box.run("import signal, time\n" + hog, limits=limits)
    assert result.outcome.oom, result
    assert result.outcome.exit_code != 0
    assert not sibling.process.is_dead()


@pytest.mark.parametrize("place", ["/tmp", "/dev/shm", "/run", "/work"])
def test_28_every_place_to_write_is_bounded(place: str, box: Box) -> None:
    if place == "/work" and not AS_ROOT:
        pytest.skip("a workspace that the kernel bounds needs root")
    result = box.run(
        f"f = open('{place}/x', 'wb', 0)\n"
        "def fill():\n"
        "    while True: f.write(b'x' * (1 << 20))\n"
        "show(fill); print(os.fstat(f.fileno()).st_size <= 8 << 20)",
        limits={"tmp": 8 << 20, "workspace": 8 << 20},
    )
    assert result.out.split() == ["ENOSPC", "True"]


def test_29_one_file_is_bounded(box: Box) -> None:
    result = box.run(
        "f = open('/work/x', 'wb', 0)\n"
        "def fill():\n"
        "    while True: f.write(b'x' * (1 << 20))\n"
        "show(fill)\n"
        "show(lambda: os.truncate('/work/x', 10 << 30))",
        limits={"file_size": 4 << 20},
    )
    assert result.out.split() == ["EFBIG", "EFBIG"]


@needs_root
def test_29_the_number_of_files_is_bounded(box: Box) -> None:
    result = box.run(
        "def fill():\n"
        "    for n in range(10000): os.close(os.open(f'/work/{n}', os.O_CREAT))\n"
        "show(fill); print(len(os.listdir('/work')) <= 100)",
        limits={"inodes": 100},
    )
    assert result.out.split() == ["ENOSPC", "True"]


SPIN = (
    "import time\n"
    "children = [os.fork() for _ in range(2)]\n"
    "end = time.monotonic() + {seconds}\n"
    "while time.monotonic() < end: pass\n"
)


@needs_root
def test_30_processors_are_shared_as_told(box: Box) -> None:
    result = box.run(SPIN.format(seconds=1), limits={"cpus": 0.5})
    assert result.outcome.exit_code == 0
    assert result.outcome.cpu_seconds is not None
    assert 0.2 < result.outcome.cpu_seconds < 0.75


def test_30_processor_time_is_bounded(box: Box) -> None:
    outcome = box.run("while True: pass", limits={"cpu_seconds": 1}).outcome
    assert outcome.cpu_limited
    assert outcome.exit_code in (None, 128 + signal.SIGXCPU, 137)


@needs_root
def test_30_processor_time_is_counted_over_all_processes(box: Box) -> None:
    started = time.monotonic()
    limits = {"cpu_seconds": 1, "cpus": 2.0}
    result = box.run(SPIN.format(seconds=20), limits=limits)
    assert result.outcome.cpu_limited
    assert time.monotonic() - started < 10


@needs_root
def test_usage_starts_anew_with_every_run(box: Box) -> None:
    big = box.python("x = bytearray(100 << 20)", slot=302).finish().outcome
    box.end()
    small = box.python("pass", slot=302).finish().outcome
    assert big.memory_peak is not None
    assert small.memory_peak is not None
    assert big.memory_peak > 100 << 20 > 50 << 20 > small.memory_peak
    assert small.cpu_seconds is not None
    assert small.cpu_seconds < 1
