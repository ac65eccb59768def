"""The system calls that a robot may not make, compiled to the kernel's own filter language.

A denylist over namespaces, capabilities and limits: what is listed here has a history of kernel bugs or
would let a robot rebuild what the sandbox took away. Foreign architectures (i386, x32) die with SIGSYS.
"""

import errno
import os
from functools import cache

import pyseccomp

from .spec import Profile

_CLONE_NEWTIME = 0x00000080
_CLONE_NEWNS = 0x00020000
_CLONE_NEWCGROUP = 0x02000000
_CLONE_NEWUTS = 0x04000000
_CLONE_NEWIPC = 0x08000000
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWPID = 0x20000000
_CLONE_NEWNET = 0x40000000
# The three that a browser needs for the sandbox around its own renderers.
_OF_A_BROWSER = (_CLONE_NEWUSER, _CLONE_NEWPID, _CLONE_NEWNET)
_NEVER = (_CLONE_NEWNS, _CLONE_NEWCGROUP, _CLONE_NEWUTS, _CLONE_NEWIPC)

_REFUSED = (
    *("setns", "mount", "umount", "umount2", "pivot_root"),
    *("ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp"),
    *("keyctl", "add_key", "request_key", "bpf", "userfaultfd", "perf_event_open"),
    *("name_to_handle_at", "open_by_handle_at", "fanotify_init", "lookup_dcookie"),
    *("init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load"),
    *("reboot", "swapon", "swapoff", "acct", "quotactl", "quotactl_fd", "syslog", "vhangup"),
    *("settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "stime"),
    *("sethostname", "setdomainname", "iopl", "ioperm", "modify_ldt", "uselib", "ustat", "sysfs"),
    *("mknod", "mknodat", "vmsplice", "move_pages", "migrate_pages"),
)
# Answered as by an older kernel, so that a library falls back instead of giving up.
_UNKNOWN = (
    *("clone3", "fsopen", "fsconfig", "fsmount", "fspick", "open_tree", "move_mount"),
    *("mount_setattr", "io_uring_setup", "io_uring_enter", "io_uring_register"),
)
# Calls younger than the library's tables, by number; 462 (mseal) is harmless.
_TOO_NEW = (*range(457, 462), *range(463, 512))

_TIOCSTI = 0x5412
_TIOCLINUX = 0x541C
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_INT = 0xFFFFFFFF


@cache
def program(profile: Profile) -> bytes:
    """The compiled filter for `profile`, as the kernel takes it."""
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    rules.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.KILL_PROCESS)
    refuse = pyseccomp.ERRNO(errno.EPERM)
    unknown = pyseccomp.ERRNO(errno.ENOSYS)
    for name in _REFUSED:
        rules.add_rule(refuse, name)
    for call in (*_UNKNOWN, *_TOO_NEW):
        rules.add_rule(unknown, call)
    _namespaces(rules, profile)
    _sockets(rules, profile)
    rules.add_rule(refuse, "personality", pyseccomp.Arg(0, pyseccomp.NE, 0))
    for request in (_TIOCSTI, _TIOCLINUX):
        # The kernel reads 32 bits of the request: compare no more than it does.
        rules.add_rule(refuse, "ioctl", pyseccomp.Arg(1, pyseccomp.MASKED_EQ, _INT, request))
    descriptor = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "r+b") as exported:
        rules.export_bpf(exported)
        exported.seek(0)
        return exported.read()


def _namespaces(rules: pyseccomp.SyscallFilter, profile: Profile) -> None:
    refuse = pyseccomp.ERRNO(errno.EPERM)
    browser = profile is Profile.BROWSER
    if not browser:
        rules.add_rule(refuse, "unshare")
        rules.add_rule(refuse, "chroot")
    for flag in _NEVER if browser else _NEVER + _OF_A_BROWSER:
        rules.add_rule(refuse, "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, flag, flag))
    if browser:
        for flag in (*_NEVER, _CLONE_NEWTIME):
            rules.add_rule(refuse, "unshare", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, flag, flag))


def _sockets(rules: pyseccomp.SyscallFilter, profile: Profile) -> None:
    refuse = pyseccomp.ERRNO(errno.EAFNOSUPPORT)
    allowed = {_AF_UNIX, _AF_INET, _AF_INET6}
    if profile is not Profile.BROWSER:
        allowed.add(_AF_NETLINK)
    highest = max(allowed)
    for call in ("socket", "socketpair"):
        for family in set(range(highest)) - allowed:
            rules.add_rule(refuse, call, pyseccomp.Arg(0, pyseccomp.EQ, family))
        # Compared as 64 bits, so a family hidden below set high bits lands here as well.
        rules.add_rule(refuse, call, pyseccomp.Arg(0, pyseccomp.GT, highest))
        if _AF_NETLINK in allowed:
            rules.add_rule(
                refuse,
                call,
                pyseccomp.Arg(0, pyseccomp.EQ, _AF_NETLINK),
                pyseccomp.Arg(2, pyseccomp.NE, 0),
            )
