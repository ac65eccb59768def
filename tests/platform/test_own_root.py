"""A chroot has no user namespaces; with a root of its own, a command there has them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).parents[2] / "scripts" / "own_root.py"
_IN_A_CHROOT = 'mount --make-rprivate / && mount --rbind / "$0" && exec chroot "$0" "$@"'


def in_a_chroot(folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    """Run `command` in a chroot that holds the same files as this machine."""
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", _IN_A_CHROOT, str(folder), *command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a chroot")
def test_a_chroot_gets_user_namespaces(tmp_path: Path) -> None:
    probe = ["unshare", "--user", "echo", "made"]
    assert "not permitted" in in_a_chroot(tmp_path, *probe).stderr
    answer = in_a_chroot(tmp_path, sys.executable, str(_SCRIPT), *probe)
    assert (answer.stdout, answer.stderr, answer.returncode) == ("made\n", "", 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a chroot")
def test_the_folder_and_the_files_stay_the_same(tmp_path: Path) -> None:
    answer = in_a_chroot(tmp_path, sys.executable, str(_SCRIPT), "cat", str(_SCRIPT))
    assert answer.stdout == _SCRIPT.read_text()


def test_elsewhere_the_command_just_runs(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, str(_SCRIPT), "sh", "-c", "pwd; readlink /proc/self/ns/mnt; exit 7"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    here = f"{tmp_path}\n{os.readlink('/proc/self/ns/mnt')}\n"
    assert (answer.stdout, answer.returncode) == (here, 7)
