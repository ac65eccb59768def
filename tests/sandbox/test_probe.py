"""A host that cannot confine robots is told so, and runs none."""

import errno
import os
import stat
import sys
from pathlib import Path

import pytest

from executions.sandbox import Profile, Sandbox, SandboxUnavailable, Spec, seccomp
from executions.sandbox.collector import read_file
from executions.sandbox.resources import Cgroup2, Resources, Rung
from executions.sandbox.spec import LIMITS
from executions.sandbox.workspace import open_workspace

from .conftest import AS_ROOT, PYTHON, UID_BASE, Box

CHROMIUM = "/usr/bin/chromium"
needs_chromium = pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="needs Debian's chromium")
HEADLESS = ("--headless=new", "--disable-gpu", "--user-data-dir=/tmp/profile")

# Talks to the browser over its debugging pipe, as drivers of browsers do.
ASK_CHROMIUM = """
import json, subprocess, time
to_browser, send = os.pipe()
receive, from_browser = os.pipe()
def place():
    a, b = os.dup(to_browser), os.dup(from_browser)
    os.dup2(a, 3); os.dup2(b, 4)
subprocess.Popen([*sys.argv[1:], '--remote-debugging-pipe'], preexec_fn=place, close_fds=False,
                 stderr=subprocess.DEVNULL)
answers = os.fdopen(receive, 'rb', 0)
count = 0
def ask(method, session=None, **params):
    global count
    count += 1
    message = {'id': count, 'method': method, 'params': params}
    os.write(send, json.dumps(message | ({'sessionId': session} if session else {})).encode() + b'\\0')
    while True:
        text = b''
        while not text.endswith(b'\\0'): text += answers.read(1)
        answer = json.loads(text[:-1])
        if answer.get('id') == count: return answer['result']
target = ask('Target.createTarget', url='chrome://sandbox')['targetId']
session = ask('Target.attachToTarget', targetId=target, flatten=True)['sessionId']
text = ''
while 'sandboxed' not in text:
    # The page may be half there, without a body.
    shown = ask('Runtime.evaluate', session, expression="document.body?.innerText ?? ''")
    text = shown['result'].get('value', '')
print(text)
ask('Browser.close')
"""


def spec(folder: Path) -> Spec:
    return Spec(command=(PYTHON, "-c", "pass"), workspace=folder, slot=400)


def test_this_host_confines(sandbox: Sandbox) -> None:
    probe = sandbox.probe()
    assert probe.ok, probe.problems
    assert probe.tier == "bwrap"
    assert probe.resources in ("cgroup1", "cgroup2", "rlimits")
    if AS_ROOT and probe.resources != "rlimits":
        assert probe.problems == ()


def test_51_no_run_without_bubblewrap(data_dir: Path, folder: Path) -> None:
    sandbox = Sandbox(data_dir, UID_BASE, bwrap="bwrap-that-is-missing")
    with pytest.raises(SandboxUnavailable) as caught:
        sandbox.start(spec(folder))
    assert caught.value.remedy == "apt-get install bubblewrap"
    probe = sandbox.probe()
    assert not probe.ok
    assert probe.tier == "none"
    assert probe.problems[0].remedy == "apt-get install bubblewrap"
    sandbox.close()


def test_51_no_run_without_seccomp(
    sandbox: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyseccomp", None)
    monkeypatch.delitem(sys.modules, "executions.sandbox.seccomp")
    monkeypatch.delattr("executions.sandbox.seccomp")
    with pytest.raises(SandboxUnavailable) as caught:
        sandbox.start(spec(folder))
    assert caught.value.remedy == "apt-get install libseccomp2"
    assert not sandbox.probe().ok


@pytest.mark.parametrize("broken", [b"", b"x" * 8, b"x" * 7], ids=["empty", "invalid", "cut"])
def test_51_no_run_with_a_broken_filter(
    broken: bytes, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seccomp, "program", lambda _: broken)
    with pytest.raises(SandboxUnavailable):
        box.run("print('ran')")
    assert not box.sandbox.probe().ok


def test_51_no_run_without_user_namespaces(data_dir: Path, folder: Path) -> None:
    """As in a container that forbids them: here, another bubblewrap does."""
    wrapper = folder / "bwrap"
    wrapper.write_text(
        "#!/bin/sh\n"
        'exec /usr/bin/bwrap --unshare-user --disable-userns --dev-bind / / -- /usr/bin/bwrap "$@"\n'
    )
    wrapper.chmod(0o755)
    sandbox = Sandbox(data_dir, UID_BASE, bwrap=os.fspath(wrapper))
    with pytest.raises(SandboxUnavailable) as caught:
        sandbox.start(spec(folder))
    assert "user namespaces" in caught.value.remedy
    assert not sandbox.probe().ok
    sandbox.close()


@pytest.fixture(params=["data", "link"])
def private(folder: Path, request: pytest.FixtureRequest) -> Path:
    """A data folder below one that only root may enter, by its own name and by a link from outside."""
    if not AS_ROOT:
        pytest.skip("robots have another uid only when the platform is root")
    (folder / "private" / "data").mkdir(parents=True)
    (folder / "private").chmod(0o700)
    (folder / "link").symlink_to(folder / "private" / "data")
    return folder / "private" / "data" if request.param == "data" else folder / "link"


def test_a_private_data_folder_stays_private_and_robots_run(private: Path) -> None:
    box = Box(Sandbox(private, UID_BASE + 500), private)
    assert box.sandbox.probe().ok
    told = box.run("open('/work/left', 'w').write('done'); print(open('/work/left').read())")
    assert told.out == "done\n"
    box.end()
    box.sandbox.close()
    data = private.resolve()
    assert stat.S_IMODE(data.parent.stat().st_mode) == 0o700
    seen = Path("/proc/self/mountinfo").read_text()
    assert os.fspath(data) not in seen
    assert "rpa-passage" not in seen


def test_a_private_data_folder_keeps_no_workspace_alive(private: Path) -> None:
    """What the host had mounted before the first run of such a server is not held on to by its mounts."""
    box = Box(Sandbox(private, UID_BASE + 500), private)
    early = open_workspace(private / "work", 7, os.getuid(), 1 << 20, 100)
    assert early.bounded
    box.run("pass")
    work = os.fspath(private.resolve() / "work")
    held = [line for line in _mounts_of_the_spawner() if work in line]
    early.destroy()
    box.end()
    box.sandbox.close()
    assert held == []


def test_a_private_data_folder_is_explained_where_root_may_not_mount(
    private: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path) -> int:
        raise PermissionError(errno.EPERM, "no mounts here")

    monkeypatch.setattr("executions.sandbox.mounts.copied", refused)
    sandbox = Sandbox(private, UID_BASE + 500)
    probe = sandbox.probe()
    sandbox.close()
    assert not probe.ok
    assert "searchable" in probe.problems[0].remedy


def _mounts_of_the_spawner() -> list[str]:
    (task,) = (
        each
        for each in Path("/proc/self/task").iterdir()
        if os.readlink(each / "ns/mnt") != os.readlink("/proc/self/ns/mnt")
    )
    return (task / "mountinfo").read_text().splitlines()


@pytest.fixture
def soft(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    """A sandbox on the last rung of the ladder."""

    def absent() -> dict[str, Path]:
        raise FileNotFoundError("no cgroups here")

    monkeypatch.setattr("executions.sandbox.resources._cgroup1", absent)
    monkeypatch.setattr("executions.sandbox.resources._cgroup2", absent)
    resources = Resources(data_dir)
    assert resources.rung is Rung.RLIMITS
    return Box(Sandbox(data_dir, UID_BASE + 600, resources=resources), data_dir)


def test_without_cgroups_the_limits_are_soft_and_said_to_be(soft: Box) -> None:
    probe = soft.sandbox.probe()
    assert probe.ok
    assert probe.resources == "rlimits"
    assert "softly" in probe.problems[0].what
    soft.sandbox.close()


def test_without_cgroups_the_watchdog_ends_a_run(soft: Box) -> None:
    limits = {"memory": 64 << 20}
    hog = soft.run(
        "import time\n"
        "for _ in range(4):\n"
        "    if not os.fork():\n"
        "        x = bytearray(30 << 20)\n"
        "        time.sleep(60)\n"
        "time.sleep(60)",
        limits=limits,
    )
    assert hog.outcome.oom
    alone = soft.run("x = bytearray(200 << 20)", limits=limits)
    assert "MemoryError" in alone.err
    assert soft.run("while True: pass", limits={"cpu_seconds": 1}).outcome.cpu_limited
    soft.end()
    soft.sandbox.close()


def test_cgroup_v2_is_told_every_limit(folder: Path) -> None:
    """This machine's controllers belong to v1: the files are plain ones, their contents real."""
    group_folder = folder / "slot"
    group_folder.mkdir()
    for name in ("memory.max", "memory.swap.max", "memory.oom.group", "pids.max", "cpu.max"):
        (group_folder / name).touch()
    (group_folder / "memory.events").write_text("low 0\noom 1\noom_kill 4\n")
    (group_folder / "cpu.stat").write_text("usage_usec 1000000\n")
    (group_folder / "memory.current").write_text("4096\n")
    group = Cgroup2(folder, "slot")
    limits = LIMITS[Profile.STRICT]
    group.prepare(limits)
    told = {path.name: path.read_text() for path in group_folder.iterdir()}
    assert told["memory.max"] == str(limits.memory)
    assert (told["memory.swap.max"], told["memory.oom.group"]) == ("0", "1")
    assert told["cpu.max"] == "100000 100000"
    assert int(told["pids.max"]) >= limits.pids
    (group_folder / "memory.events").write_text("low 0\noom 1\noom_kill 5\n")
    (group_folder / "cpu.stat").write_text("usage_usec 3500000\n")
    usage = group.usage(1)
    assert (usage.oom_kills, usage.cpu_seconds, usage.memory) == (1, 2.5, 4096)


@needs_chromium
def test_50_a_browser_with_its_own_sandbox_takes_a_screenshot(box: Box) -> None:
    run = box.start(
        CHROMIUM,
        *HEADLESS,
        "--screenshot=/work/shot.png",
        "data:text/html,<h1>here</h1>",
        profile=Profile.BROWSER,
    )
    result = run.finish(60)
    assert result.outcome.exit_code == 0, result.err
    shot = read_file(run.workspace.path, "shot.png", 1 << 20)
    assert shot is not None
    assert shot.startswith(b"\x89PNG")


@needs_chromium
def test_50_the_browser_calls_itself_adequately_sandboxed(box: Box) -> None:
    result = box.run(ASK_CHROMIUM, CHROMIUM, *HEADLESS, profile=Profile.BROWSER)
    assert "You are adequately sandboxed" in result.out, result


@needs_chromium
def test_50_no_browser_sandbox_in_the_strict_profile(box: Box) -> None:
    run = box.start("/usr/lib/chromium/chromium", *HEADLESS, "--dump-dom", "data:text/html,x")
    result = run.finish(60)
    assert result.outcome.exit_code != 0
    if box.sandbox.resources.rung is not Rung.RLIMITS:  # there its address space ends first
        assert "No usable sandbox" in result.err
