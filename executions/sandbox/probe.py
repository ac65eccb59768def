"""Whether this host can confine robots, found out by confining something."""

import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .process import SandboxUnavailable
from .remedies import remedy_for
from .resources import Rung
from .spec import Profile, Spec

if TYPE_CHECKING:
    from .launch import Sandbox

# No robot's slot: a probe must not disturb a run.
PROBE_SLOT = 999
_TIMEOUT = 20.0

# What a robot could try, told by the tools of any Debian. Each line is "name value".
_SCRIPT = """\
while read -r key value _; do
  case $key in CapEff:|NoNewPrivs:|Seccomp:) echo "$key $value";; esac
done </proc/self/status
[ -e "$1" ] && echo 'Host: visible' || echo 'Host: hidden'
(: >/usr/.probe) 2>/dev/null && echo 'Usr: writable' || echo 'Usr: fixed'
[ -e /sys ] && echo 'Sys: visible' || echo 'Sys: hidden'
unshare --user true 2>/dev/null && echo 'Userns: allowed' || echo 'Userns: refused'
[ "$(grep -c : /proc/net/dev)" = 1 ] && echo 'Net: none' || echo 'Net: some'
python3 -c 'pass' && echo 'Python: works' || echo 'Python: missing'
"""
_EXPECTED = {
    "CapEff:": "0000000000000000",
    "NoNewPrivs:": "1",
    "Seccomp:": "2",
    "Host:": "hidden",
    "Usr:": "fixed",
    "Sys:": "hidden",
    "Net:": "none",
}
_SOFT = (
    "Run the platform as a systemd service with Delegate=yes (cgroup v2), or as root where cgroup v1 is "
    "mounted."
)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it should be, and what to do about it."""

    what: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Probe:
    """What was found. `ok` means that robots are confined; problems beside it are weaknesses."""

    ok: bool
    tier: str
    resources: str
    problems: tuple[Problem, ...]


def probe(sandbox: "Sandbox") -> Probe:
    """Run each profile for real and look at it from the inside."""
    problems: list[Problem] = []
    ok = _examine(sandbox, Profile.STRICT, {"Userns:": "refused", "Python:": "works"}, problems)
    if ok:
        # Without it, robots that drive no browser still run confined.
        _examine(sandbox, Profile.BROWSER, {"Userns:": "allowed"}, problems)
    rung = sandbox.resources.rung
    if rung is Rung.RLIMITS:
        problems.append(
            Problem(f"Memory and processors are limited softly: {sandbox.resources.reason}.", _SOFT)
        )
    return Probe(
        ok=ok, tier="bwrap" if ok else "none", resources=rung.value, problems=tuple(problems)
    )


def _examine(
    sandbox: "Sandbox", profile: Profile, extra: dict[str, str], problems: list[Problem]
) -> bool:
    try:
        seen = _look(sandbox, profile)
    except SandboxUnavailable as error:
        problems.append(Problem(error.reason, error.remedy))
        return False
    wrong = {
        key: (seen.get(key, "nothing"), value)
        for key, value in {**_EXPECTED, **extra}.items()
        if seen.get(key) != value
    }
    for key, (found, wanted) in wrong.items():
        remedy = "apt-get install python3" if key == "Python:" else ""
        problems.append(
            Problem(f"In the {profile} profile, {key} {found} instead of {wanted}.", remedy)
        )
    return not wrong


def _look(sandbox: "Sandbox", profile: Profile) -> dict[str, str]:
    with tempfile.TemporaryDirectory(dir=sandbox.folder(), prefix="probe-") as name:
        folder = Path(name)
        os.chown(folder, sandbox.uid(PROBE_SLOT), -1)
        process = sandbox.start(
            Spec(
                command=("/bin/sh", "-c", _SCRIPT, "sh", os.fspath(folder)),
                workspace=folder,
                slot=PROBE_SLOT,
                profile=profile,
            )
        )
        try:
            if not process.wait_dead(_TIMEOUT):
                raise SandboxUnavailable(f"The {profile} profile did not end.")
            outcome = process.outcome()
            if not outcome.started or outcome.exit_code:
                message = _text(process.stderr).strip()
                raise SandboxUnavailable(
                    f"The {profile} profile failed: {message}.", remedy_for(message)
                )
            lines = (line.split() for line in _text(process.stdout).splitlines())
            return {line[0]: line[1] for line in lines if len(line) == 2}
        finally:
            process.close()


def _text(descriptor: int) -> str:
    with suppress(BlockingIOError):
        return os.read(descriptor, 65536).decode(errors="replace")
    return ""
