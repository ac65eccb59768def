"""Unpacking gives exactly what was inspected, whole or not at all, and packing is its opposite."""

from __future__ import annotations

import io
import os
import stat
import threading
from datetime import date
from pathlib import Path

import pytest

from robots import packages
from robots.packages import PackageInfo, PackageRefused
from tests.robots import zips

TODAY = date(2026, 11, 23)


def inspected(file: io.BytesIO, name: str = "robot.zip") -> PackageInfo:
    return packages.inspect(file, name, uploaded_on=TODAY)


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "packages" / "digest"


def unpacked(file: io.BytesIO, destination: Path, name: str = "robot.zip") -> PackageInfo:
    found = inspected(file, name)
    packages.unpack(file, found.manifest, destination, digest=found.digest)
    return found


def test_unpacking_gives_what_was_inspected(destination: Path) -> None:
    script = zips.special("bin/run", stat.S_IFREG | 0o4777)
    file = zips.robot(
        (script, b"#!/bin/sh\n"),
        ("data/a.txt", b"hello"),
        (zips.special("secret", stat.S_IFREG | 0o600), b"x"),
    )
    before = os.umask(0o077)
    try:
        found = unpacked(file, destination)
    finally:
        os.umask(before)
    files = {
        path.relative_to(destination).as_posix(): path.stat().st_size
        for path in destination.rglob("*")
        if path.is_file()
    }
    assert files == {each.name: each.size for each in found.files}
    modes = {
        name: stat.S_IMODE((destination / name).stat().st_mode)
        for name in ("bin/run", "data/a.txt", "secret", "bin", ".")
    }
    assert modes == {
        "bin/run": 0o755,
        "data/a.txt": 0o644,
        "secret": 0o644,
        "bin": 0o755,
        ".": 0o755,
    }
    assert list(destination.parent.iterdir()) == [destination]


def test_programs_may_be_executed_though_their_packer_knew_no_such_bit(destination: Path) -> None:
    document = b"""
tasks:
  A: {shell: mytool 1}
  B: {command: [./start, x]}
  C: {shell: tools/other}
preRunScripts: [./prepare]
PATH: [bin]
"""
    names = ["bin/mytool", "start", "tools/other", "prepare"]
    others = ["bin/deep/data", "tools/data", "data"]
    unpacked(
        zips.packed(("robot.yaml", document), *((name, b"#!/bin/sh\n") for name in names + others)),
        destination,
    )
    executable = {
        path.relative_to(destination).as_posix()
        for path in destination.rglob("*")
        if path.is_file() and path.stat().st_mode & 0o111
    }
    assert executable == set(names)


def test_a_single_file_keeps_its_name(destination: Path) -> None:
    unpacked(io.BytesIO(b"print(1)"), destination, "invoice.py")
    assert [path.name for path in destination.iterdir()] == ["invoice.py"]


def test_what_was_changed_since_is_not_unpacked(destination: Path) -> None:
    found = inspected(zips.robot())
    with pytest.raises(PackageRefused) as caught:
        packages.unpack(zips.robot(("more", b"")), found.manifest, destination, digest=found.digest)
    assert caught.value.code == "changed"
    assert not list(destination.parent.iterdir())


def test_many_may_unpack_at_once(destination: Path) -> None:
    content = zips.robot(*((f"f{number}", b"x" * 100) for number in range(200))).getvalue()
    found = inspected(io.BytesIO(content))
    failures: list[BaseException] = []

    def work() -> None:
        try:
            packages.unpack(io.BytesIO(content), found.manifest, destination, digest=found.digest)
            assert len(list(destination.iterdir())) == 201
        except BaseException as error:  # noqa: BLE001 - seen by the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert list(destination.parent.iterdir()) == [destination]


def test_what_a_killed_process_left_is_cleared(destination: Path) -> None:
    left = destination.with_name(f".{destination.name}.staging")
    (left / "half").mkdir(parents=True)
    (left / "half" / "file").write_text("x")
    unpacked(zips.robot(), destination)
    assert [path.name for path in destination.iterdir()] == ["robot.yaml"]


def test_packing_is_deterministic_and_leaves_out_what_is_ignored(tmp_path: Path) -> None:
    for name, content in {
        "robot.yaml": zips.ROBOT_YAML + b"ignoreFiles: [.gitignore]\n",
        ".gitignore": b"output/\n*.log\n!keep.log\n",
        "main.py": b"1",
        "a.log": b"",
        "keep.log": b"",
        "output/x": b"",
        "__pycache__/m.pyc": b"",
        ".git/config": b"",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "main.py").chmod(0o755)
    first, second = io.BytesIO(), io.BytesIO()
    packages.pack(tmp_path, first)
    os.utime(tmp_path / "main.py", (1, 1))
    packages.pack(tmp_path, second)
    assert first.getvalue() == second.getvalue()
    assert [each.name for each in inspected(first).files] == [
        ".gitignore",
        "keep.log",
        "main.py",
        "robot.yaml",
    ]
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(PackageRefused):
        packages.pack(tmp_path, io.BytesIO())
