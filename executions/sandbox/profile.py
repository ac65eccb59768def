"""The sandbox's shape: a pure function from a spec to bubblewrap's arguments.

Everything is named explicitly. `--unshare-all` would mean "if possible" for users and cgroups, and a
sandbox that is weaker than asked for must not start at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from .spec import MIB, Profile, Spec

UID = 1000
DEFAULT_ENV: Mapping[str, str] = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/tmp",  # noqa: S108 - the robot's own
    "LANG": "C.UTF-8",
}

# The whole of /etc as a robot sees it: these few files, and the host's own below.
ETC_FILES: Mapping[str, str] = {
    "passwd": (
        "root:x:0:0:root:/root:/usr/sbin/nologin\n"
        f"robot:x:{UID}:{UID}:robot:/tmp:/bin/sh\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    ),
    "group": f"root:x:0:\nrobot:x:{UID}:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1 localhost robot\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "machine-id": "7f3b5c1e9a2d4f60b8c7d6e5f4a3b2c1\n",
}
_ETC_OF_THE_HOST = (
    "ld.so.cache",
    "alternatives",
    "ssl/certs",
    "ssl/openssl.cnf",
    "fonts",
    "localtime",
    "mime.types",
)
_ETC_OF_THE_BROWSER = ("chromium", "chromium.d")
_ETC_OF_THE_NETWORK = ("resolv.conf", "hosts", "gai.conf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Handles:
    """The open descriptors which the arguments name instead of paths.

    A path could be turned into a symlink by an earlier run; a descriptor cannot.
    """

    seccomp: int
    status: int
    etc: int
    workspace: int
    environment: int | None = None
    package: int | None = None
    support: int | None = None
    cache: int | None = None
    files: Mapping[str, int] = field(default_factory=dict)
    tools: Mapping[str, int] = field(default_factory=dict)


def arguments(spec: Spec, handles: Handles) -> list[str]:
    """Bubblewrap's options for `spec`, in order. They hold the environment: pass them by `--args`."""
    limits = spec.ceilings
    argv = ["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup"]
    if spec.profile is not Profile.BUILDER:
        argv += ["--unshare-net"]
    if spec.profile is not Profile.BROWSER:
        argv += ["--disable-userns"]
    argv += ["--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"]
    argv += ["--uid", str(UID), "--gid", str(UID), "--hostname", "robot"]
    argv += ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib64"):
        argv += ["--symlink", f"usr/{name}", f"/{name}"]
    argv += ["--ro-bind-fd", str(handles.etc), "/etc"]
    for path in _host_etc(spec.profile):
        argv += ["--ro-bind-try", f"/etc/{path}", f"/etc/{path}"]
    argv += ["--proc", "/proc", "--dev", "/dev"]
    for path in ("/dev/shm", "/tmp"):  # noqa: S108 - the robot's own
        argv += ["--size", str(limits.tmp), "--perms", "1777", "--tmpfs", path]
    secrets = sum(len(content) for content in spec.files.values())
    argv += ["--size", str(MIB + secrets), "--perms", "0700", "--tmpfs", "/run"]
    argv += _binds(spec, handles)
    for name, descriptor in handles.files.items():
        argv += ["--perms", "0400", "--file", str(descriptor), f"/run/{name}"]
    for name, value in {**DEFAULT_ENV, **spec.env}.items():
        argv += ["--setenv", name, value]
    argv += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/work"]
    argv += ["--seccomp", str(handles.seccomp), "--json-status-fd", str(handles.status)]
    return argv


# The last word before the command. It says that the sandbox is complete and waits for the server's: a
# server that was killed while bubblewrap still set itself up (when nothing binds the two yet) closes the
# pipe, and the robot never starts.
_GATE = 'echo; read -r go || exit 125; exec "$@" </dev/null'


def command(spec: Spec, *, prlimit: str, address_space: int | None) -> list[str]:
    """The command run inside, behind the limits that only hold from inside the user namespace.

    NPROC counts per user of a namespace: set outside, one robot would starve another of the same uid.
    """
    limits = spec.ceilings
    argv = [prlimit, f"--nproc={limits.pids}:{limits.pids}"]
    argv += [f"--nofile={limits.open_files}:{limits.open_files}"]
    argv += [f"--fsize={limits.file_size}:{limits.file_size}"]
    argv += ["--core=0:0", "--memlock=0:0", "--rtprio=0:0", "--nice=0:0"]
    if limits.cpu_seconds is not None:
        # Soft before hard: the soft one ends the process with SIGXCPU, which tells the reason.
        argv += [f"--cpu={limits.cpu_seconds}:{limits.cpu_seconds + 2}"]
    if address_space is not None and spec.profile is not Profile.BROWSER:
        argv += [f"--as={address_space}:{address_space}"]
    return [*argv, "--", "/bin/sh", "-c", _GATE, "sh", *spec.command]


def _host_etc(profile: Profile) -> tuple[str, ...]:
    if profile is Profile.BROWSER:
        return _ETC_OF_THE_HOST + _ETC_OF_THE_BROWSER
    if profile is Profile.BUILDER:
        return _ETC_OF_THE_HOST + _ETC_OF_THE_NETWORK
    return _ETC_OF_THE_HOST


def etc_mountpoints() -> tuple[str, ...]:
    """What must exist in the prepared /etc so that the host's files can be mounted over it."""
    return _ETC_OF_THE_HOST + _ETC_OF_THE_BROWSER + _ETC_OF_THE_NETWORK


def _binds(spec: Spec, handles: Handles) -> list[str]:
    argv = ["--bind-fd", str(handles.workspace), "/work"]
    if handles.package is not None:
        argv += ["--ro-bind-fd", str(handles.package), "/robot"]
    if handles.support is not None:
        argv += ["--ro-bind-fd", str(handles.support), "/opt/rpa"]
    if handles.environment is not None:
        kind = "--bind-fd" if spec.environment_writable else "--ro-bind-fd"
        argv += [kind, str(handles.environment), "/env"]
    if handles.cache is not None:
        argv += ["--bind-fd", str(handles.cache), "/cache"]
    for name, descriptor in handles.tools.items():
        argv += ["--ro-bind-fd", str(descriptor), f"/opt/tools/{name}"]
    return argv
