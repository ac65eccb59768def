"""Uploads: what is accepted, what is refused, and that unpacking gives exactly what was looked at."""

from __future__ import annotations

import hashlib
import io
import stat
import struct
import zipfile
from datetime import date
from pathlib import Path

import pytest

from robots import archives, packages
from robots.manifest import Kind
from robots.packages import PackageInfo, PackageRefused
from tests.robots import zips

TODAY = date(2026, 11, 23)
YAML = {"name": b"robot.yaml", "content": zips.ROBOT_YAML}


def inspected(file: io.BytesIO, name: str = "robot.zip") -> PackageInfo:
    return packages.inspect(file, name, uploaded_on=TODAY)


def refused(file: io.BytesIO, name: str = "robot.zip") -> PackageRefused:
    with pytest.raises(PackageRefused) as caught:
        inspected(file, name)
    return caught.value


def test_a_zip_with_a_robot_yaml_is_a_robot() -> None:
    file = zips.robot(("main.py", b"print(1)"), ("data/orders.csv", b"1"))
    found = inspected(file)
    assert (found.kind, found.size) == (Kind.ROBOT, len(file.getvalue()))
    assert found.digest == hashlib.sha256(file.getvalue()).hexdigest()
    assert [(each.name, each.size) for each in found.files][1:] == [
        ("main.py", 8),
        ("data/orders.csv", 1),
    ]


def test_a_folder_around_everything_is_taken_off() -> None:
    found = inspected(
        zips.packed(
            ("top/", b""),
            ("top/robot.yaml", zips.ROBOT_YAML),
            ("top/lib/a.py", b""),
            ("__MACOSX/top/._a", b"x"),
        )
    )
    assert [each.name for each in found.files] == ["robot.yaml", "lib/a.py"]


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("invoice.py", b"print(1)", Kind.SCRIPT),
        ("C:\\fakepath\\orders.robot", b"*** Tasks ***\nA\n    No Operation\n", Kind.SUITE),
        ("A.b.PY", b"print(1)", Kind.SCRIPT),
        ("ORDERS.Robot", b"*** Tasks ***\nA\n    No Operation\n", Kind.SUITE),
    ],
)
def test_a_single_file_is_a_package(name: str, content: bytes, kind: Kind) -> None:
    found = inspected(io.BytesIO(content), name)
    assert found.kind == kind
    stem, _dot, suffix = name.rpartition("\\")[2].rpartition(".")
    assert found.files[0].name == f"{stem}.{suffix.lower()}"


@pytest.mark.parametrize(
    "name",
    [
        "../evil.py",
        "a/../../evil",
        "/etc/passwd",
        "C:/evil",
        "c:evil",
        "a//b",
        "./a",
        "a/.",
        "..",
        "a\\..\\evil",
        "nul\x01",
        "a\x7f",
        "x" * 256,
        "/".join("d" * 40),
        "new\nline",
        "dir/\u2028",
    ],
)
def test_paths_that_lead_elsewhere_are_refused(name: str) -> None:
    assert refused(zips.robot((name, b"x"))).code in {"outside", "bad_name"}


@pytest.mark.parametrize("name", [b"a\0b.py", b"\xff\xfe", b""])
def test_names_that_are_no_names_are_refused(name: bytes) -> None:
    assert refused(zips.raw([YAML, {"name": name, "content": b"x"}])).code == "bad_name"


@pytest.mark.parametrize(
    "kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFDIR]
)
def test_links_and_devices_are_refused(kind: int) -> None:
    assert (
        refused(zips.robot((zips.special("thing", kind | 0o777), b"/etc/passwd"))).code
        == "special_file"
    )


@pytest.mark.parametrize(
    "pair",
    [
        ("a.py", "A.py"),
        ("stra\u00dfe", "STRASSE"),
        ("\u00e9.txt", "e\u0301.txt"),
        ("a", "a/b"),
        ("a/b", "a"),
        ("Lib/x", "lib/y"),
    ],
)
def test_names_that_are_one_on_some_system_are_refused(pair: tuple[str, str]) -> None:
    assert refused(zips.robot(*((name, b"x") for name in pair))).code == "duplicate"


def test_the_same_name_twice_is_refused() -> None:
    assert refused(zips.raw([YAML, YAML])).code == "duplicate"


def test_bombs_are_refused_without_being_unpacked() -> None:
    assert refused(zips.robot(("zeros", bytes(11 * 1024**2)))).code == "bomb"
    huge = {"name": b"huge", "content": b"x", "size": archives.MAX_UNPACKED_BYTES}
    assert refused(zips.raw([YAML, huge])).code == "bomb"


def test_more_than_what_was_announced_is_refused() -> None:
    content = bytes(100_000)
    lie = {"name": b"a", "content": content, "method": 8, "size": 10}
    assert refused(zips.raw([YAML, lie])).code == "inconsistent"
    shorter = {"name": b"a", "content": content, "method": 8, "size": 200_000}
    assert refused(zips.raw([YAML, shorter])).code == "inconsistent"


def test_too_many_entries_are_refused_before_they_are_read() -> None:
    assert (
        refused(
            zips.raw([{"name": b"f%d" % number} for number in range(archives.MAX_ENTRIES + 1)])
        ).code
        == "too_many_files"
    )


def test_a_zip_in_the_zip_stays_packed() -> None:
    inner = zips.robot().getvalue()
    assert "inner.zip" in {each.name for each in inspected(zips.robot(("inner.zip", inner))).files}


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (zips.raw([YAML, {"name": b"a", "content": b"x", "flags": 0x801}]), "encrypted"),
        (zips.raw([YAML, {"name": b"a", "content": b"x", "method": 12}]), "unsupported"),
        (
            zips.raw([YAML, {"name": b"a", "content": b"x", "crc": 1, "local": {"crc": 1}}]),
            "damaged",
        ),
        (
            zips.raw([YAML, {"name": b"a", "content": b"x", "local": {"name": b"b"}}]),
            "inconsistent",
        ),
        (zips.raw([YAML, {"name": b"a", "content": b"x", "local": {"size": 7}}]), "inconsistent"),
        (
            zips.raw([YAML, {"name": b"b", "content": zips.ROBOT_YAML, "at": 0, "no_data": True}]),
            "inconsistent",
        ),
        (zips.raw([YAML], before=b"PK\3\4 something else in front"), "inconsistent"),
        (zips.raw([YAML], after=b"trailing"), "inconsistent"),
        (zips.raw([YAML], count=2), "inconsistent"),
        (zips.raw([], count=0), "empty"),
        (io.BytesIO(b""), "empty"),
        (io.BytesIO(b"PK\3\4" + bytes(100)), "truncated"),
        (io.BytesIO(zips.robot(("a", b"x" * 1000)).getvalue()[:-30]), "truncated"),
        (io.BytesIO(b"GIF89a"), "unknown_kind"),
    ],
)
def test_what_is_broken_or_lies_is_refused(file: io.BytesIO, code: str) -> None:
    assert refused(file).code == code


def test_entries_that_share_bytes_are_refused() -> None:
    """The bomb of overlapping entries: one kernel of data, announced many times."""
    kernel = {"name": b"a", "content": b"x" * 500}
    assert (
        refused(zips.raw([YAML, kernel, {**kernel, "name": b"b", "at": 30, "no_data": True}])).code
        == "inconsistent"
    )


def test_too_large_an_upload_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "sparse.zip"
    with path.open("wb") as file:
        file.truncate(archives.MAX_ARCHIVE_BYTES + 1)
    with path.open("rb") as file, pytest.raises(PackageRefused) as caught:
        packages.inspect(file, "sparse.zip", uploaded_on=TODAY)
    assert caught.value.code == "too_large"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"\xff\xfetasks", "not_utf8"),
        (b"tasks: [", "bad_yaml"),
        (b"- a\n- b\n", "not_a_map"),
        (b"", "not_a_map"),
        (b"tasks: !!python/object/apply:os.system [id]", "bad_yaml"),
        (b"[" * 5000, "too_complex"),
        (b"a: 1" + b"0" * 5000, "bad_yaml"),
        (b"a: &a [x, x]\nb: " + b"[*a, *a, *a, *a, *a, *a, *a, *a]\nc: " * 4 + b"x", "bad_yaml"),
        (b"a: .nan\ntasks: {}", "bad_value"),
        (b"a: " + b"{b: " * 45 + b"1" + b"}" * 45, "too_complex"),
        (b"x" * 1024 * 1024 + b"y", "document_too_large"),
    ],
)
def test_a_manifest_that_is_none_is_refused(content: bytes, code: str) -> None:
    found = refused(zips.packed(("robot.yaml", content)))
    assert (found.code, found.where) == (code, "robot.yaml")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("tasks:\n  A: {shell: x}\n  B: {shell: y}\n  A: {shell: z}\n", "A"),
        ("tasks:\n  1: {shell: x}\n  '1': {shell: y}\n", "1"),
        ("tasks: text\ntasks: {A: {shell: x}}\n", "tasks"),
    ],
)
def test_a_task_of_which_the_last_would_win_is_refused(content: str, name: str) -> None:
    found = refused(zips.packed(("robot.yaml", content.encode())))
    assert (found.code, found.where) == ("bad_task", "robot.yaml")
    assert found.message == f"'{name}' is there twice."


@pytest.mark.parametrize("again", ["<<: *t\n  B: {shell: y}", "B: {shell: y}"])
def test_a_task_may_come_from_elsewhere(again: str) -> None:
    content = f"common: &t {{A: {{shell: x}}}}\ntasks:\n  A: {{shell: z}}\n  {again}\n"
    assert list(inspected(zips.packed(("robot.yaml", content.encode()))).manifest.tasks) == [
        "A",
        "B",
    ]


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("robot.yaml", f"tasks: {{A: {{shell: x}}}}\n{key}: [5]\n")
        for key in ("PATH", "PYTHONPATH", "preRunScripts", "environmentConfigs")
    ]
    + [("package.yaml", "pythonpath: src\n")],
)
def test_a_list_that_is_none_is_refused_by_its_document(name: str, document: str) -> None:
    action = ("a.py", b"@action\ndef f(): pass\n")
    found = refused(zips.packed((name, document.encode()), action))
    assert (found.code, found.where) == ("bad_value", name)


def test_the_message_names_where_a_robot_yaml_was_found() -> None:
    robots = [("a/robot.yaml", zips.ROBOT_YAML), ("b/robot.yaml", zips.ROBOT_YAML)]
    for more in ([], [("b/tasks.robot", b"")], [("x.py", b""), ("y.py", b"")]):
        found = refused(zips.packed(*robots, *more))
        assert found.code == "no_manifest"
        assert "a/robot.yaml, b/robot.yaml" in found.message


def test_suites_that_lie_deeper_are_one_robot_where_no_robot_is_named() -> None:
    found = inspected(zips.packed(("a/one.robot", b""), ("b/two.robot", b"")))
    assert (found.kind, found.manifest.entry) == (Kind.SUITE, "")


def test_dates_decide_how_old_the_environment_is() -> None:
    yaml = zipfile.ZipInfo("robot.yaml", (2024, 5, 6, 7, 8, 9))
    reqs = ("requirements.txt", b"requests")
    no_date = zips.raw([YAML, {"name": b"requirements.txt", "content": b"requests"}])
    old = zipfile.ZipInfo("requirements.txt", (2024, 1, 1, 0, 0, 0))
    for file, cutoff in (
        (zips.packed((yaml, zips.ROBOT_YAML), (old, reqs[1])), date(2024, 5, 6)),
        (no_date, TODAY),
    ):
        environment = inspected(file).manifest.environment
        assert environment is not None
        assert environment.cutoff == cutoff


def test_the_64_bit_form_is_refused_politely() -> None:
    entry = {"name": b"a", "content": b"x", "packed": 0xFFFFFFFF, "size": 0xFFFFFFFF}
    assert refused(zips.raw([YAML, entry])).code == "unsupported"
    assert struct.calcsize("<4s4B4H3L5H2L") == 46


@pytest.mark.parametrize(
    ("manifest", "path"),
    [
        ("artifactsDir: t.py", "t.py"),
        ("artifactsDir: t.py/deep", "t.py"),
        ("artifactsDir: output", "output"),
        ("artifactsDir: out", "out/work-items-out"),
        ("", "output"),
        ("", ".rpa"),
        ("", ".rpa/work-items-in"),
        ("", ".rpa/work-items-in/work-items.json/x"),
        ("artifactsDir: .rpa/work-items-in/work-items.json", "t.py"),
        ("artifactsDir: .rpa/work-items-in/work-items.json/x", "t.py"),
    ],
)
def test_what_stands_in_the_way_of_every_run_is_refused(manifest: str, path: str) -> None:
    document = f"tasks: {{A: {{shell: python t.py}}}}\n{manifest}\n".encode()
    refusal = refused(zips.packed(("robot.yaml", document), (path, b"x")))
    assert refusal.code == "bad_path"
    assert path.startswith(refusal.where) or refusal.where.startswith(".rpa/")


def test_folders_of_those_names_are_in_nobodys_way() -> None:
    zips_with = [(".rpa/work-items-in/work-items.json", b"[]"), ("output/work-items-out/x", b"")]
    assert inspected(zips.robot(*zips_with)).kind == Kind.ROBOT
    assert inspected(zips.packed(("a.py", b""), ("outputs", b""))).kind == Kind.SCRIPT
    assert refused(zips.packed(("a.py", b""), ("output", b""))).code == "bad_path"
