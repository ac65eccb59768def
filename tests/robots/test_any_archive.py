"""Archives that nobody thought of: made by chance, and spoilt by chance."""

from __future__ import annotations

import io
import unicodedata
import zipfile
from datetime import date

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from robots import archives, packages
from robots.manifest import Manifest
from robots.packages import PackageInfo, PackageRefused
from tests.robots import zips


def inspected(file: io.BytesIO, name: str = "robot.zip") -> PackageInfo:
    return packages.inspect(file, name, uploaded_on=date(2026, 11, 23))


def folders_of(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


names = st.lists(
    st.text(
        st.characters(categories=["L", "N", "P"], exclude_characters="/\\:."),
        min_size=1,
        max_size=8,
    ),
    min_size=1,
    max_size=3,
).map("/".join)


contents = st.binary(max_size=300) | st.integers(0, 600_000).map(bytes)


@given(
    files=st.dictionaries(names, contents, max_size=8),
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
)
def test_every_honest_archive_reads_as_the_standard_library_reads_it(
    files: dict[str, bytes], method: int
) -> None:
    file = zips.packed(*files.items(), ("robot.yaml", zips.ROBOT_YAML), method=method)
    paths = {path for name in files for path in (name, *folders_of(name))}
    # No file and no folder has two spellings, and none is both.
    assume(len({unicodedata.normalize("NFKC", path).casefold() for path in paths}) == len(paths))
    assume(not any(folder in files for name in files for folder in folders_of(name)))
    found = archives.entries(file)
    assert {entry.name: b"".join(archives.content(file, entry)) for entry in found} == {
        **files,
        "robot.yaml": zips.ROBOT_YAML,
    }


@given(data=st.data())
def test_a_spoilt_archive_is_refused_or_harmless_and_never_crashes(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(zips.robot(("main.py", b"print(1)" * 20), ("d/x", b"y" * 50)).getvalue())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file = io.BytesIO(bytes(content[: data.draw(st.integers(0, len(content)))]))
    try:
        found = inspected(file)
    except PackageRefused:
        return
    root = tmp_path_factory.mktemp("spoilt")
    packages.unpack(file, found.manifest, root / "in" / "to", digest=found.digest)
    assert {path.relative_to(root).parts[:2] for path in root.rglob("*") if path.is_file()} <= {
        ("in", "to")
    }


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_or_read(content: bytes) -> None:
    for name in ("x.zip", "x.py", "x.robot"):
        try:
            found = inspected(io.BytesIO(b"PK\3\4" + content if name == "x.zip" else content), name)
        except PackageRefused:
            continue
        assert Manifest.from_json(found.manifest.to_json()) == found.manifest
