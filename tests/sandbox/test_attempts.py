"""What a robot may try, and the answer it gets. Each row is one real run."""

import ctypes
import os
import platform
import signal
import socket
from pathlib import Path

import pyseccomp
import pytest

from executions.sandbox import Profile, Sandbox

from .conftest import Box, needs_root

STRICT, BROWSER = Profile.STRICT, Profile.BROWSER
CLONE = {"NEWNS": 0x20000, "NEWUSER": 0x10000000, "NEWNET": 0x40000000, "NEWPID": 0x20000000}
only_x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="is about x86 system calls")


def number(name: str) -> int:
    """The number of a system call on this machine."""
    found: int = pyseccomp.resolve_syscall(pyseccomp.system_arch(), name)
    return found


def refused(name: str, *arguments: object, with_: str = "EPERM") -> tuple[str, str, str]:
    """A row: the call `name` fails with `with_`."""
    listed = "".join(f", {argument!r}" for argument in arguments)
    return name, f"show(lambda: syscall({number(name)}{listed}))", with_


def raises(label: str, expression: str, with_: str) -> tuple[str, str, str]:
    """A row: evaluating `expression` fails with one of the errors in `with_`."""
    return label, f"show(lambda: {expression})", with_


READING = [
    raises("01 shadow", "open('/etc/shadow')", "ENOENT"),
    raises("01 root", "os.listdir('/root')", "ENOENT"),
    raises("01 var", "os.listdir('/var')", "ENOENT"),
    raises("01 home", "os.listdir('/home')", "ENOENT"),
    raises("01 srv", "os.listdir('/work/../srv')", "ENOENT"),
    raises("05 other root", "os.stat('/proc/1/root/var')", "ENOENT EACCES"),
    raises("05 other cwd", "os.stat('/proc/1/cwd/../var')", "ENOENT EACCES"),
    raises("23 docker", "os.stat('/var/run/docker.sock')", "ENOENT"),
    raises("23 docker in run", "os.stat('/run/docker.sock')", "ENOENT"),
    raises("23 system bus", "os.stat('/run/dbus/system_bus_socket')", "ENOENT"),
    raises("23 user bus", "os.stat('/run/user')", "ENOENT"),
    raises("23 display", "os.stat('/tmp/.X11-unix')", "ENOENT"),
    raises("25 cgroups", "os.listdir('/sys/fs/cgroup')", "ENOENT"),
    raises("25 sys", "os.listdir('/sys')", "ENOENT"),
]
WRITING = [
    raises(f"09 {place}", f"open('{place}/probe', 'w')", "EROFS EACCES")
    for place in ("/usr", "/usr/bin", "/etc", "", "/dev", "/robot", "/opt/rpa", "/env")
] + [
    raises("09 passwd", "open('/etc/passwd', 'a')", "EROFS EACCES"),
    raises("09 make writable", "os.chmod('/etc/passwd', 0o777)", "EROFS EPERM"),
    raises("42 environment", "os.unlink('/env/marker')", "EROFS"),
    raises("42 cache", "os.listdir('/cache')", "ENOENT"),
    raises("24 oom score", "open('/proc/self/oom_score_adj', 'wb', 0).write(b'-1000')", "EACCES"),
    raises("24 sysctl", "open('/proc/sys/kernel/core_pattern', 'w')", "EROFS EACCES"),
    raises("24 sysrq", "open('/proc/sysrq-trigger', 'w')", "EROFS EACCES ENOENT"),
]
CALLS = [
    refused("mount", b"none", b"/work", b"tmpfs", 0, 0),
    ("10 remount", f"show(lambda: syscall({number('mount')}, 0, b'/usr', 0, 0x1020, 0))", "EPERM"),
    refused("pivot_root", b"/work", b"/work"),
    refused("chroot", b"/work"),
    refused("setns", 0, 0),
    refused("umount2", b"/usr", 0),
    *(
        refused(name, with_="ENOSYS")
        for name in ("fsopen", "fsconfig", "fsmount", "fspick", "open_tree", "move_mount")
    ),
    ("11 open_tree_attr", "show(lambda: syscall(467))", "ENOSYS"),
    ("11 listmount", "show(lambda: syscall(458))", "ENOSYS"),
    refused("unshare", CLONE["NEWUSER"]),
    ("12 clone", f"show(lambda: syscall({number('clone')}, {CLONE['NEWUSER'] | 17}, 0))", "EPERM"),
    refused("clone3", 0, 0, with_="ENOSYS"),
    refused("ptrace", 16, 1, 0, 0),
    refused("process_vm_readv", 1, 0, 0, 0, 0, 0),
    refused("process_vm_writev", 1, 0, 0, 0, 0, 0),
    refused("pidfd_getfd", 0, 0, 0),
    refused("kcmp", 1, 1, 0, 0, 0),
    *(refused(name) for name in ("keyctl", "add_key", "request_key", "bpf", "userfaultfd")),
    refused("perf_event_open", 0, 0, -1, -1, 0),
    refused("name_to_handle_at", -100, b"/", 0, 0, 0),
    *(refused(n, with_="ENOSYS") for n in ("io_uring_setup", "io_uring_enter")),
    *(refused(n) for n in ("init_module", "finit_module", "delete_module", "kexec_load")),
    *(refused(n) for n in ("reboot", "swapon", "swapoff", "settimeofday", "clock_settime")),
    *(refused(n) for n in ("sethostname", "acct", "syslog", "vmsplice", "mknodat")),
    refused("ioctl", 0, 0x5412, b"x"),
    (
        "17 TIOCSTI hidden",
        f"show(lambda: syscall({number('ioctl')}, 0, 0x100005412, b'x'))",
        "EPERM",
    ),
    ("17 TIOCLINUX", f"show(lambda: syscall({number('ioctl')}, 0, 0x541C, b'x'))", "EPERM"),
    refused("personality", 0x0400000),
    raises("19 setuid", "os.setuid(0)", "EPERM EINVAL"),
    raises("19 setgroups", "os.setgroups([0])", "EPERM"),
    raises("24 nice", "os.setpriority(os.PRIO_PROCESS, 0, -20)", "EACCES EPERM"),
    raises("24 realtime", "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))", "EPERM"),
    raises("21 lan", "__import__('socket').create_connection(('10.0.0.1', 80), 2)", "ENETUNREACH"),
    raises(
        "21 metadata",
        "__import__('socket').create_connection(('169.254.169.254', 80), 2)",
        "ENETUNREACH",
    ),
    raises(
        "21 dns",
        "__import__('socket').socket(2, 2).sendto(b'x', ('8.8.8.8', 53))",
        "ENETUNREACH",
    ),
    *(
        raises(f"20 family {family}", f"__import__('socket').socket({family}, 2)", "EAFNOSUPPORT")
        for family in (17, 38, 40, 44, 4)
    ),
    (
        "20 hidden family",
        f"show(lambda: syscall({number('socket')}, 0x100000011, 3, 0))",
        "EAFNOSUPPORT",
    ),
    raises("20 netlink generic", "__import__('socket').socket(16, 3, 16)", "EAFNOSUPPORT"),
    raises("20 raw", "__import__('socket').socket(2, 3, 1)", "EPERM"),
]


@pytest.mark.parametrize(
    ("code", "expected"), [pytest.param(c, e, id=i) for i, c, e in READING + WRITING + CALLS]
)
def test_attempt_is_refused(code: str, expected: str, box: Box, folder: Path) -> None:
    (folder / "marker").write_text("whole")
    result = box.run(code, environment=folder, package=folder, support=folder)
    assert result.out.strip() in expected.split(), result
    assert (folder / "marker").read_text() == "whole"


# chroot without a root's rights in a namespace of one's own is still refused, by the kernel itself.
NESTED = f"show(lambda: syscall({number('unshare')}, {CLONE['NEWUSER']}))\n"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        pytest.param(
            f"show(lambda: syscall({number('unshare')}, {CLONE['NEWNS']}))", "EPERM", id="NEWNS"
        ),
        pytest.param(
            f"show(lambda: syscall({number('clone')}, {CLONE['NEWNS'] | 17}, 0))",
            "EPERM",
            id="clone",
        ),
        pytest.param(f"show(lambda: syscall({number('unshare')}, 0x80))", "EPERM", id="NEWTIME"),
        pytest.param(
            "show(lambda: __import__('socket').socket(16, 3, 0))", "EAFNOSUPPORT", id="netlink"
        ),
        pytest.param(NESTED, "0", id="user namespace"),
        pytest.param(
            NESTED + f"show(lambda: syscall({number('mount')}, b'x', b'/work', b'tmpfs', 0, 0))",
            "0 EPERM",
            id="nested mount",
        ),
        pytest.param(
            NESTED + "show(lambda: __import__('socket').socket(17, 3, 0))",
            "0 EAFNOSUPPORT",
            id="packet",
        ),
        pytest.param(
            NESTED + f"show(lambda: syscall({number('setns')}, 0, 0))", "0 EPERM", id="setns"
        ),
    ],
)
def test_13_browser_profile_opens_no_more_than_a_browser_needs(
    code: str, expected: str, box: Box
) -> None:
    assert box.run(code, profile=BROWSER).out.split() == expected.split()


@only_x86
@pytest.mark.parametrize(
    "machine_code",
    [
        pytest.param("b814000000cd80c3", id="i386"),  # mov eax, 20; int 0x80; ret
        pytest.param("b8270000400f05c3", id="x32"),  # mov eax, 0x40000027; syscall; ret
    ],
)
def test_16_foreign_system_calls_kill(machine_code: str, box: Box) -> None:
    result = box.run(
        "import mmap\n"
        "page = mmap.mmap(-1, 4096, prot=7)\n"
        f"page.write(bytes.fromhex('{machine_code}'))\n"
        "ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()\n"
        "print('survived')"
    )
    assert result.outcome.exit_code == 128 + signal.SIGSYS
    assert "survived" not in result.out


@only_x86
def test_07_the_sandbox_init_is_filtered_as_well(box: Box) -> None:
    """A robot that rewrites its init's code gains nothing: mount is refused there too."""
    result = box.run(
        "import mmap, time\n"
        "try:\n"
        "    counter = int(open('/proc/1/syscall').read().split()[-1], 16)\n"
        # mount(0, 0, 0, 0, 0); exit_group(-result): EPERM from the filter, EFAULT from the kernel
        "    code = bytes.fromhex('b8a500000031ff31f631d24d31d24d31c00f05f7d889c7b8e70000000f05')\n"
        "    with open('/proc/1/mem', 'r+b', buffering=0) as memory:\n"
        "        memory.seek(counter)\n"
        "        memory.write(code)\n"
        "except OSError as error:\n"
        "    print('unwritable', error)\n"
        "    raise SystemExit(1)\n"
        "if not os.fork():\n"  # an orphan's end wakes the init
        "    if os.fork(): os._exit(0)\n"
        "    os._exit(0)\n"
        "time.sleep(20)\n"
    )
    assert result.outcome.exit_code == 1, result


def test_01_platform_files_are_not_there(box: Box, folder: Path) -> None:
    secret = folder / "platform.env"
    secret.write_text("SECRET")
    result = box.run(f"show(lambda: open({os.fspath(secret)!r}).read())")
    assert result.out.strip() == "ENOENT"


def test_02_other_workspaces_are_not_there(box: Box) -> None:
    other = box.python("import signal; print('up', flush=True); signal.pause()")
    other.read_until("up")
    path = os.fspath(other.workspace.path)
    result = box.run(
        f"show(lambda: os.listdir({path!r}))\n"
        f"os.symlink({path!r}, '/work/link')\n"
        "show(lambda: os.listdir('/work/link'))"
    )
    assert result.out.split() == ["ENOENT", "ENOENT"]


def test_03_no_variable_of_the_platform_is_visible(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATFORM_SECRET", "canary-value")
    result = box.run(
        "for pid in os.listdir('/proc'):\n"
        "    if pid.isdigit():\n"
        "        print(name(lambda: open(f'/proc/{pid}/environ').read()))\n"
        "print(sorted(os.environ))",
        env={"GIVEN": "yes"},
    )
    assert "canary-value" not in result.out
    assert "GIVEN" in result.out


def test_04_no_descriptor_of_the_platform_is_inherited(box: Box, folder: Path) -> None:
    secret = folder / "secret"
    secret.write_text("canary")
    careless = os.open(secret, os.O_RDONLY)
    os.set_inheritable(careless, True)
    try:
        result = box.run(
            "for pid in (1, 'self'):\n"
            "    for fd in os.listdir(f'/proc/{pid}/fd'):\n"
            "        print(name(lambda: os.readlink(f'/proc/{pid}/fd/{fd}')))"
        )
    finally:
        os.close(careless)
    kinds = {line.partition(":")[0] for line in result.out.splitlines()}
    assert kinds <= {"pipe", "/dev/null", "anon_inode", "ENOENT", "/proc/1/fd", "/proc/2/fd"}, kinds


def test_05_the_root_is_the_sandbox(box: Box) -> None:
    result = box.run(
        "print(sorted(os.listdir('/')), os.getcwd(), sorted(os.listdir('/proc/self/root')))"
    )
    seen = "['bin', 'dev', 'etc', 'lib', 'lib64', 'proc', 'run', 'sbin', 'tmp', 'usr', 'work']"
    assert result.out.strip() == f"{seen} /work {seen}"


def test_06_only_its_own_processes_exist(box: Box) -> None:
    other = box.python("import signal; print('up', flush=True); signal.pause()")
    other.read_until("up")
    result = box.run(
        "print(sorted(p for p in os.listdir('/proc') if p.isdigit()))\n"
        "print(name(lambda: os.kill(-1, 9)))\n"
        f"show(lambda: os.kill({os.getpid()}, 0))"
    )
    assert result.out.splitlines()[0] == "['1', '2']"
    assert result.out.splitlines()[2] == "ESRCH"
    assert not other.process.is_dead()


def test_19_no_privilege_is_left(box: Box) -> None:
    result = box.run(
        "print([l.split()[1] for l in open('/proc/self/status')\n"
        "       if l.split(':')[0] in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb')])\n"
        "print([l.split()[1] for l in open('/proc/self/status')\n"
        "       if l.split(':')[0] in ('NoNewPrivs', 'Seccomp')])\n"
        "print(os.getuid(), os.system('su -c id 2>/dev/null </dev/null') != 0)"
    )
    assert result.out.splitlines() == [str(["0" * 16] * 5), "['1', '2']", "1000 True"]


def test_21_the_hosts_loopback_is_another_one(box: Box) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        result = box.run(
            f"show(lambda: __import__('socket').create_connection(('127.0.0.1', {port}), 2))"
        )
    assert result.out.strip() == "ECONNREFUSED"


def test_22_nothing_of_the_hosts_ipc_is_reachable(box: Box) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    key = 0x52504100 + os.getpid() % 251
    shared = libc.shmget(key, 4096, 0o1666)
    assert shared >= 0
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(f"\0rpa-tests-{os.getpid()}")
            server.listen()
            result = box.run(
                "import socket\n"
                f"show(lambda: socket.socket(1).connect('\\0rpa-tests-{os.getpid()}'))\n"
                f"show(lambda: syscall({number('shmget')}, {key}, 4096, 0))"
            )
    finally:
        libc.shmctl(shared, 0, None)
    assert result.out.split() == ["ECONNREFUSED", "ENOENT"]


def test_24_limits_cannot_be_raised(box: Box) -> None:
    result = box.run(
        "import resource\n"
        "for kind in (resource.RLIMIT_NPROC, resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE,\n"
        "             resource.RLIMIT_CORE, resource.RLIMIT_MEMLOCK, resource.RLIMIT_CPU):\n"
        "    try:\n"
        "        resource.setrlimit(kind, (resource.RLIM_INFINITY,) * 2)\n"
        "        print('raised', kind)\n"
        "    except ValueError:\n"
        "        print('held')",
        limits={"cpu_seconds": 20},
    )
    assert result.out.split() == ["held"] * 6


def test_39_what_a_robot_is_called_with_is_data(box: Box) -> None:
    hostile = ["--bind", "/", "/x", "--", "--help", "$(id)", "a\nb", ";id"]
    result = box.run(
        "print(sys.argv[1:]); show(lambda: os.listdir('/x')); print(os.environ['A'])",
        *hostile,
        env={"A": "--bind / /x"},
    )
    assert result.out.splitlines() == [str(hostile), "ENOENT", "--bind / /x"]


def test_49_a_secret_is_only_in_its_file(box: Box, sandbox: Sandbox) -> None:
    run = box.python(
        "import signal\n"
        "print(oct(os.stat('/run/secrets.json').st_mode), open('/run/secrets.json').read())\n"
        "print('CANARY' in str(os.environ), flush=True); signal.pause()",
        files={"secrets.json": b"CANARY-7131"},
    )
    seen = run.read_until("False")
    assert seen.splitlines()[0] == "0o100400 CANARY-7131"
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            for file in ("cmdline", "environ"):
                try:
                    assert b"CANARY-7131" not in (process / file).read_bytes()
                except OSError:
                    continue  # it has ended, or is not ours to look at
    assert list(run.workspace.path.iterdir()) == []


@needs_root
def test_runs_have_a_uid_of_their_own(box: Box, sandbox: Sandbox) -> None:
    run = box.python("open('/work/mine', 'w'); print('done')")
    run.finish()
    slot = int(run.workspace.path.name)
    assert (run.workspace.path / "mine").stat().st_uid == sandbox.uid(slot)
