"""Runs a command with a root of its own where this process lives in a chroot.

The kernel makes no user namespaces in a chroot (see `EPERM` in unshare(2)), and the sandbox is made
of them. As root, the folder that is our root can become the root of a mount namespace of our own
instead, as in a container; the command then sees the same files. Anywhere else it just runs.

Usage: own_root.py COMMAND [ARGUMENT...]
"""

import ctypes
import os
import sys
from pathlib import Path

_CLONE_NEWNS, _CLONE_NEWUSER = 0x20000, 0x10000000
_MS_BIND, _MS_REC, _MS_PRIVATE, _MNT_DETACH = 0x1000, 0x4000, 1 << 18, 2
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

_libc = ctypes.CDLL(None, use_errno=True)


def _done(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _leave_chroot() -> None:
    """Move into a mount namespace whose root is our root, if it is not so already."""
    here = Path.cwd()
    _done(_libc.unshare(_CLONE_NEWNS))
    ours = os.open(
        "/", os.O_PATH
    )  # only now: a descriptor belongs to the namespace it was opened in
    namespace = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    _done(_libc.setns(namespace, _CLONE_NEWNS))  # entering a namespace leads to its root
    if not os.path.samestat(Path("/").stat(), os.fstat(ours)):
        _done(_libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None))
        os.fchdir(ours)
        folder = Path.cwd()
        _done(_libc.mount(b".", b".", None, _MS_BIND | _MS_REC, None))
        os.chdir(folder)
        _done(_libc.syscall(_PIVOT_ROOT[os.uname().machine], b".", b"."))
        _done(_libc.umount2(b".", _MNT_DETACH))
    os.close(namespace)
    os.close(ours)
    os.chdir(here)


def _refused() -> bool:
    """Whether the kernel makes no user namespace here; a child tries it."""
    child = os.fork()
    if child == 0:
        os._exit(_libc.unshare(_CLONE_NEWUSER) != 0)
    return os.waitpid(child, 0)[1] != 0


if __name__ == "__main__":
    if os.geteuid() == 0 and _refused():
        try:
            _leave_chroot()
        except (OSError, KeyError) as error:
            print(f"No user namespaces, and no way out of a chroot: {error}.", file=sys.stderr)
    os.execvp(sys.argv[1], sys.argv[1:])
