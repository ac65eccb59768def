"""What an operator can do about a sandbox that does not start."""

_REMEDIES = (
    ("no permissions to create new namespace", "userns"),
    ("no permissions to creating new namespace", "userns"),
    ("creating new namespace failed", "userns"),
    ("setting up uid map", "userns"),
    ("loopback: failed", "userns"),
    ("unshare failed", "userns"),
    ("can't mount proc", "proc"),
    ("can't find source path", "path"),
    ("seccomp", "seccomp"),
    ("prlimit:", "python"),
)
_TEXTS = {
    "userns": (
        "Allow unprivileged user namespaces: sysctl user.max_user_namespaces=15000, "
        "kernel.unprivileged_userns_clone=1 (Debian) and "
        "kernel.apparmor_restrict_unprivileged_userns=0 or an AppArmor profile for bwrap (Ubuntu); "
        "in a container, a seccomp profile that permits clone, unshare and mount; a chroot has none: "
        "start the platform there with `make run`, or by scripts/own_root.py."
    ),
    "proc": "In a container, unmask /proc: run it with --security-opt unmask=ALL.",
    "path": (
        "Root may make no mounts here, so the data folder, the platform's own and every folder above them "
        "must be searchable by the uids of robots: chmod o+x."
    ),
    "seccomp": "The kernel needs CONFIG_SECCOMP_FILTER.",
    "python": "apt-get install python3",
}


def remedy_for(message: str) -> str:
    """The remedy for what bubblewrap or the launcher complained about; empty if none is known."""
    text = message.lower()
    return next((_TEXTS[key] for part, key in _REMEDIES if part in text), "")
