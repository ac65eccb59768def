"""What a robot leaves behind, and what it is built from."""

import os
import socket
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from executions.sandbox import Profile, SandboxUnavailable, Spec
from executions.sandbox.collector import (
    Found,
    Reason,
    Rejected,
    UnsafeFile,
    marks,
    read_file,
    walk,
)
from executions.sandbox.workspace import open_workspace, reclaim, remove_tree

from .conftest import AS_ROOT, PYTHON, Box, needs_root

MIB = 1 << 20


def seen(root: Path, **limits: int) -> dict[str, str]:
    """What the collector says of each file below `root`."""
    ceilings = {"max_files": 100, "max_bytes": MIB} | limits
    return {
        entry.name: "found" if isinstance(entry, Found) else str(entry.reason)
        for entry in walk(root, **ceilings)
    }


def test_37_hostile_results_of_a_real_run(box: Box) -> None:
    run = box.python(
        "os.makedirs('deep/er')\n"
        "open('good.txt', 'w').write('good')\n"
        "open('deep/er/good.txt', 'w').write('good')\n"
        "os.symlink('/etc/shadow', 'shadow')\n"
        "os.symlink('/proc/self/environ', 'environ')\n"
        "os.symlink('/etc', 'folder')\n"
        "os.symlink('good.txt', 'alias')\n"
        "open('linked', 'w').write('x'); os.link('linked', 'again')\n"
        "open('sparse', 'w').truncate(200 << 20)\n"
        "open('-rf', 'w'); open('line\\nbreak', 'w'); open('esc\\x1b[2J', 'w')\n"
        "open(b'bytes\\xff', 'w'); open('back\\\\slash', 'w')\n"
        "os.makedirs('-dir'); open('-dir/x', 'w')\n"
        "os.makedirs('/'.join(['d'] * 40)); open('/'.join(['d'] * 40) + '/x', 'w')\n"
        "import socket; socket.socket(1).bind('socket')\n"
    )
    assert run.finish().outcome.exit_code == 0
    root = run.workspace.path
    answers = seen(root)
    assert answers == {
        "good.txt": "found",
        "deep/er/good.txt": "found",
        "shadow": "symlink",
        "environ": "symlink",
        "folder": "symlink",
        "alias": "symlink",
        "linked": "hard_link",
        "again": "hard_link",
        "sparse": "size",
        "-rf": "name",
        "line�break": "name",
        "esc�[2J": "name",
        "bytes�": "name",
        "back\\slash": "name",
        "-dir": "name",
        "socket": "special",
        "/".join(["d"] * 33): "depth",
    }
    assert read_file(root, "good.txt", 10) == b"good"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("link", Reason.SYMLINK),
        ("through/secret", Reason.SYMLINK),
        ("../secret", Reason.SYMLINK),
        ("fifo", Reason.SPECIAL),
        ("socket", Reason.SPECIAL),
        ("twin", Reason.HARD_LINK),
        ("big", Reason.SIZE),
        (".", Reason.SPECIAL),
    ],
)
def test_37_a_result_is_read_only_if_it_is_a_plain_file(
    name: str, reason: Reason, folder: Path
) -> None:
    """Opening none of them waits or leaves the folder."""
    root = folder / "work"
    root.mkdir()
    (folder / "secret").write_text("platform")
    (root / "link").symlink_to(folder / "secret")
    (root / "through").symlink_to(folder)
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(root / "socket"))
    (root / "one").write_text("x")
    (root / "twin").hardlink_to(root / "one")
    (root / "big").write_text("x" * 11)
    with pytest.raises(UnsafeFile) as caught:
        read_file(root, name, 10)
    assert caught.value.reason == reason


def test_an_absent_result_is_none(folder: Path) -> None:
    (folder / "file").touch()
    assert read_file(folder, "result.json", 10) is None
    assert read_file(folder, "file/result.json", 10) is None


def test_what_was_found_is_opened_under_the_same_rules(folder: Path) -> None:
    (folder / "report").write_text("fine")
    (found,) = walk(folder, max_files=5, max_bytes=MIB)
    assert isinstance(found, Found)
    with found.open() as file:
        assert file.read() == b"fine"
    (folder / "report").unlink()
    (folder / "report").symlink_to("/etc/passwd")
    with pytest.raises(UnsafeFile):
        found.open()


def test_a_flood_of_files_is_cut_off(folder: Path) -> None:
    for number in range(30):
        (folder / f"{number:03}").write_text("x" * 10)
    assert len(seen(folder, max_files=10)) == 11
    assert list(seen(folder, max_files=10).values())[-1] == "count"
    answers = list(seen(folder, max_bytes=55).values())
    assert answers.count("found") == 5
    assert answers.count("size") == 25


def test_what_nobody_has_written_to_since_is_passed_over(folder: Path) -> None:
    for name in ("same", "again", "longer", "swapped", "deep/same", "deep/again"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)
    before = marks(folder)
    assert before.keys() == {"same", "again", "longer", "swapped", "deep/same", "deep/again"}
    time.sleep(0.02)  # the clock of a file system is not as fine as its numbers
    for name in ("again", "deep/again"):
        (folder / name).write_text(name)
    (folder / "longer").write_text("longer than that")
    (folder / "twin").write_text("swapped")
    (folder / "twin").rename(folder / "swapped")
    (folder / "same").chmod(0o700)
    (folder / "moved").write_text("x")
    found = [each.name for each in walk(folder, max_files=6, max_bytes=MIB, untouched=before)]
    assert sorted(found) == ["again", "deep/again", "longer", "moved", "swapped"]
    assert read_file(folder, "same", 10, untouched=before["same"]) is None
    assert read_file(folder, "again", 10, untouched=before["again"]) == b"again"


def test_what_is_passed_over_counts_for_no_limit(folder: Path) -> None:
    for number in range(30):
        (folder / f"{number:03}").write_text("x" * 10)
    before = marks(folder)
    (folder / "other").write_text("x" * 10)
    (found,) = walk(folder, max_files=1, max_bytes=10, untouched=before)
    assert found == Found("other", 10, folder)


def test_the_folder_itself_may_be_no_link(folder: Path) -> None:
    (folder / "link").symlink_to("/etc")
    with pytest.raises(OSError, match="link"):
        next(walk(folder / "link", max_files=1, max_bytes=1))


@pytest.mark.parametrize("part", ["workspace", "package", "support", "environment"])
def test_38_a_planted_link_is_never_mounted(part: str, box: Box, folder: Path) -> None:
    (folder / "work").mkdir()
    (folder / "planted").symlink_to("/etc")
    paths = {"workspace": folder / "work"} | {part: folder / "planted"}
    with pytest.raises(SandboxUnavailable):
        box.sandbox.start(Spec(command=(PYTHON,), slot=310, **paths))


@pytest.mark.parametrize(
    "wrong",
    [
        {"command": ()},
        {"command": ("a\0--bind\0/\0/x",)},
        {"env": {"A": "x\0--bind\0/\0/x"}},
        {"env": {"A=B": "x"}},
        {"env": {"--bind": "x"}},
        {"files": {"../../etc/passwd": b""}},
        {"files": {"-x": b""}},
        {"tools": {"uv": Path("/bin/true")}},
        {"cache": Path("/tmp")},
        {"environment_writable": True},
        {"slot": -1},
    ],
    ids=str,
)
def test_39_a_spec_cannot_smuggle_options(wrong: dict[str, object], folder: Path) -> None:
    spec: dict[str, object] = {"command": (PYTHON,), "workspace": folder, "slot": 1} | wrong
    with pytest.raises(ValueError, match=r".+"):
        Spec(**spec)  # type: ignore[arg-type]


def test_40_an_archive_unpacked_inside_reaches_nothing(box: Box, folder: Path) -> None:
    target = folder / "host.txt"
    package = folder / "package"
    package.mkdir()
    with tarfile.open(package / "evil.tar", "w") as archive:
        for name in (f"../../../../{target}", os.fspath(target), "fine.txt"):
            archive.addfile(tarfile.TarInfo(name))
    result = box.start("/bin/tar", "-xPf", "/robot/evil.tar", package=package).finish()
    assert result.outcome.started
    assert not target.exists()


def test_40_a_repositorys_hooks_reach_nothing(box: Box, folder: Path) -> None:
    result = box.start(
        "/bin/sh",
        "-c",
        "git init -q . && git config core.fsmonitor \"sh -c 'id -u; touch $1'\" && git status",
        "sh",
        os.fspath(folder / "host.txt"),
    ).finish()
    assert result.outcome.started
    assert list(folder.iterdir()) == []


def test_41_an_environments_code_runs_only_inside(box: Box, folder: Path) -> None:
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", folder / "env"], check=True)
    (packages,) = (folder / "env").glob("lib/python3*/site-packages")
    mark = folder / "host.txt"
    (packages / "evil.pth").write_text(
        f"import os; print('pth ran'); os.path.isdir({str(folder)!r}) and open({str(mark)!r}, 'w')\n"
    )
    result = box.start("/env/bin/python", "-c", "pass", environment=folder / "env").finish()
    assert "pth ran" in result.out, result
    assert not mark.exists()


def test_42_only_the_builder_may_write_its_parts(box: Box, folder: Path) -> None:
    uid = box.sandbox.uid(0, Profile.BUILDER)
    for name in ("env", "cache"):
        (folder / name).mkdir()
        os.chown(folder / name, uid, -1)
    result = box.run(
        "open('/env/x', 'w'); open('/cache/x', 'w'); show(lambda: open('/opt/tools/sh', 'a'))\n"
        "print(os.path.exists('/etc/resolv.conf'), os.path.exists(os.environ['SSL_CERT_FILE']))\n"
        "print(open('/proc/net/dev').read().count(':'))",
        profile=Profile.BUILDER,
        environment=folder / "env",
        environment_writable=True,
        cache=folder / "cache",
        tools={"sh": Path("/bin/dash")},
        env={"SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt"},
    )
    host = Path("/proc/net/dev").read_text().count(":")
    # ETXTBSY would be the answer to a program that runs; this one does not.
    assert result.out.splitlines()[0] in ("EROFS", "EACCES")
    assert result.out.splitlines()[1:] == ["True True", str(host)]
    assert (folder / "env" / "x").stat().st_uid == uid


def test_a_workspace_is_removed_whatever_is_in_it(folder: Path) -> None:
    space = open_workspace(folder / "work", 1, os.getuid(), MIB, 5000)
    deep = os.open(space.path, os.O_RDONLY)
    for _ in range(1200):  # deeper than a path can name
        os.mkdir("d" * 10, dir_fd=deep)
        deeper = os.open("d" * 10, os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = deeper
    os.close(deep)
    (space.path / "locked").mkdir()
    (space.path / "locked" / "file").touch()
    (space.path / "locked").chmod(0)
    (space.path / "link").symlink_to(folder)
    space.destroy()
    assert list((folder / "work").iterdir()) == []


def test_a_folder_is_removed_without_following_or_recursing(folder: Path) -> None:
    kept = folder / "kept"
    kept.mkdir()
    (kept / "file").touch()
    tree = folder / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "b" / "link").symlink_to(kept)
    (tree / "link").symlink_to(kept)
    (tree / "a" / "b").chmod(0)
    remove_tree(tree)
    assert not tree.exists()
    assert (kept / "file").exists()


def test_usage_of_a_workspace_is_told(folder: Path) -> None:
    space = open_workspace(folder / "work", 2, os.getuid(), 64 << 10, 20)
    assert space.bounded == AS_ROOT
    (space.path / "x").write_bytes(b"x" * 8192)
    size, inodes = space.usage()
    assert size == 8192
    assert 1 <= inodes <= 2
    assert not space.is_over()
    space.destroy()


@needs_root
def test_what_a_killed_server_left_is_reclaimed(folder: Path) -> None:
    for slot in (1, 2):
        space = open_workspace(folder / "work", slot, os.getuid(), MIB, 100)
        (space.path / "left").touch()
        assert os.path.ismount(space.path)
    assert reclaim(folder / "work") == 2
    assert list((folder / "work").iterdir()) == []
    assert reclaim(folder / "work") == 0
    assert reclaim(folder / "absent") == 0


def test_rejected_names_can_be_shown(folder: Path) -> None:
    (folder / "a\x1b[31m").touch()
    assert list(walk(folder, max_files=5, max_bytes=5)) == [Rejected("a\ufffd[31m", Reason.NAME)]
