"""Archives that no honest packer makes."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

ROBOT_YAML = b"tasks:\n  Run it:\n    shell: python main.py\nartifactsDir: output\n"
Member = tuple[str | zipfile.ZipInfo, bytes]


def packed(*members: Member, method: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    """An ordinary zip, by the standard library."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out


def robot(*members: Member) -> io.BytesIO:
    """The same, with a robot.yaml in front."""
    return packed(("robot.yaml", ROBOT_YAML), *members)


def special(name: str, mode: int) -> zipfile.ZipInfo:
    """A member with a Unix file type of its own."""
    member = zipfile.ZipInfo(name)
    member.create_system = 3
    member.external_attr = mode << 16
    return member


def raw(
    entries: Iterable[Mapping[str, Any]],
    *,
    before: bytes = b"",
    after: bytes = b"",
    count: int | None = None,
) -> io.BytesIO:
    """A zip byte by byte, every field as told: `name`, `content`, and any header field to lie about."""
    body, directory, number = before, b"", 0
    for entry in entries:
        name, content = entry["name"], entry.get("content", b"")
        method = entry.get("method", 0)
        data = content if method == 0 else _deflated(content)
        fields = {
            "flags": 0x800,
            "method": method,
            "crc": zlib.crc32(content),
            "packed": len(data),
            "size": len(content),
            "at": len(body),
            **entry,
        }
        local = {**fields, **entry.get("local", {})}
        directory += (
            struct.pack(
                "<4s4B4H3L5H2L",
                b"PK\1\2",
                20,
                3,
                20,
                0,
                fields["flags"],
                fields["method"],
                0,
                0,
                fields["crc"],
                fields["packed"],
                fields["size"],
                len(name),
                0,
                0,
                0,
                0,
                fields.get("mode", 0o100644) << 16,
                fields["at"],
            )
            + name
        )
        if not entry.get("no_data"):
            body += (
                struct.pack(
                    "<4s5H3L2H",
                    b"PK\3\4",
                    20,
                    local["flags"],
                    local["method"],
                    0,
                    0,
                    local["crc"],
                    local["packed"],
                    local["size"],
                    len(local["name"]),
                    0,
                )
                + local["name"]
                + data
            )
        number += 1
    shown = number if count is None else count
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, shown, shown, len(directory), len(body), 0)
    return io.BytesIO(body + directory + end + after)


def _deflated(content: bytes) -> bytes:
    compress = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compress.compress(content) + compress.flush()
