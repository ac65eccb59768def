"""Read a zip that may have been made to hurt, in exactly one way.

The standard library's reader is lenient on purpose: it takes archives with data in front, with a directory that
disagrees with the entries, with entries that share bytes. Two readers of such an archive see two different
packages. This one takes the plain form that every packer writes and refuses the rest, so that what was inspected
is what is unpacked.
"""

from __future__ import annotations

import os
import stat
import struct
import unicodedata
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import BinaryIO

from django.utils.translation import gettext as _

from robots.refusals import PackageRefused

MAX_ARCHIVE_BYTES = 100 * 1024**2
MAX_UNPACKED_BYTES = 500 * 1024**2
MAX_ENTRIES = 10_000
MAX_PATH_BYTES = 1024
MAX_NAME_BYTES = 255
MAX_DEPTH = 32
# Deflate cannot do better than 1032:1. Honest packages stay far below 200:1 once they are of any size.
MAX_RATIO = 200
RATIO_IS_CHECKED_FROM = 10 * 1024**2

_CHUNK = 256 * 1024
_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s4B4H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_LOCAL_MAGIC, _CENTRAL_MAGIC, _END_MAGIC, _ZIP64_MAGIC = b"PK\3\4", b"PK\1\2", b"PK\5\6", b"PK\6\7"
_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _SIZES_FOLLOW, _PATCHED, _STRONG, _UTF8, _MASKED = 0x1, 0x8, 0x20, 0x40, 0x800, 0x2000


@dataclass(frozen=True)
class Entry:
    """One file or folder of an archive, its name proven harmless."""

    name: str
    is_folder: bool
    is_executable: bool
    size: int
    packed_size: int
    crc: int
    method: int
    flags: int
    header_at: int
    changed_on: date | None
    raw_name: bytes


def is_archive(file: BinaryIO) -> bool:
    """Whether the bytes begin as a zip does. The file's name has no say."""
    file.seek(0)
    return file.read(4) in {_LOCAL_MAGIC, _END_MAGIC}


def entries(file: BinaryIO) -> list[Entry]:
    """Every entry in the archive's order, or `PackageRefused`. Nothing is decompressed."""
    size = file.seek(0, os.SEEK_END)
    if size > MAX_ARCHIVE_BYTES:
        raise PackageRefused(
            "too_large",
            _("The package is larger than %(limit)d MiB.")
            % {"limit": MAX_ARCHIVE_BYTES // 1024**2},
        )
    directory, directory_at, count = _directory(file, size)
    found: list[Entry] = []
    position = 0
    for _number in range(count):
        entry, position = _central_entry(directory, position)
        found.append(entry)
    if position != len(directory):
        raise _lying(_("The archive's directory does not hold what it announces."))
    _check_sizes(found, size)
    _check_names(found)
    _check_layout(file, found, directory_at)
    return found


def content(file: BinaryIO, entry: Entry) -> Iterator[bytes]:
    """The entry's bytes in pieces. Refused unless they are exactly what the directory announced."""
    if not entry.size and not entry.packed_size:
        return
    file.seek(entry.header_at)
    header = _LOCAL.unpack(file.read(_LOCAL.size))
    file.seek(header[9] + header[10], os.SEEK_CUR)
    left, given, crc = entry.packed_size, 0, 0
    inflate = zlib.decompressobj(-zlib.MAX_WBITS) if entry.method == _DEFLATED else None
    pending = b""
    while not (inflate.eof if inflate else not left):
        if not pending:
            pending = file.read(min(left, _CHUNK))
            left -= len(pending)
        starved = not pending
        if inflate:
            try:
                piece = inflate.decompress(pending, _CHUNK)
            except zlib.error as error:
                raise _damaged(entry) from error
            pending = inflate.unconsumed_tail
        else:
            piece, pending = pending, b""
        # Without new input there may still be output held back from before.
        if starved and not piece:
            raise _damaged(entry)
        given += len(piece)
        crc = zlib.crc32(piece, crc)
        if given > entry.size:
            raise _lying(_("It holds more than the archive's directory announces."), entry.name)
        if piece:
            yield piece
    if given != entry.size or left or (inflate and inflate.unused_data):
        raise _lying(
            _("It does not have the size that the archive's directory announces."), entry.name
        )
    if crc != entry.crc:
        raise _damaged(entry)


def _directory(file: BinaryIO, size: int) -> tuple[bytes, int, int]:
    """The central directory's bytes, where it starts, and how many entries it announces."""
    tail_size = min(size, _END.size + 0xFFFF)
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    end_at = tail.rfind(_END_MAGIC, 0, len(tail) - _END.size + len(_END_MAGIC))
    if end_at < 0:
        raise PackageRefused(
            "truncated", _("The archive has no end: it is not a zip, or was cut off on its way.")
        )
    (_magic, disk, first_disk, here, count, directory_size, directory_at, comment) = (
        _END.unpack_from(tail, end_at)
    )
    end_in_file = size - tail_size + end_at
    if end_at + _END.size + comment != len(tail) or directory_at + directory_size != end_in_file:
        raise _lying(
            _(
                "The archive has bytes before or after what a zip consists of, or needs the 64-bit form."
            )
        )
    if disk or first_disk or here != count:
        raise PackageRefused(
            "unsupported", _("The archive is one part of several. Pack it as a single file.")
        )
    if not count:
        raise PackageRefused("empty", _("The archive is empty."))
    if count > MAX_ENTRIES:
        raise PackageRefused(
            "too_many_files",
            _("The archive has more than %(limit)d entries.") % {"limit": MAX_ENTRIES},
        )
    file.seek(directory_at)
    return file.read(directory_size), directory_at, count


def _central_entry(directory: bytes, at: int) -> tuple[Entry, int]:
    """The entry described at `at`, and where the next description starts."""
    if len(directory) - at < _CENTRAL.size:
        raise _lying(_("The archive's directory does not hold what it announces."))
    (
        magic,
        _version,
        system,
        _needs,
        _os,
        flags,
        method,
        _time,
        day,
        crc,
        packed,
        size,
        name_length,
        extra,
        comment,
        disk,
        _internal,
        attributes,
        header_at,
    ) = _CENTRAL.unpack_from(directory, at)
    start, end = at + _CENTRAL.size, at + _CENTRAL.size + name_length
    if magic != _CENTRAL_MAGIC or end + extra + comment > len(directory) or disk:
        raise _lying(_("The archive's directory does not hold what it announces."))
    raw_name = directory[start:end]
    name = _harmless_name(raw_name, flags)
    if flags & (_ENCRYPTED | _STRONG | _MASKED):
        raise PackageRefused("encrypted", _("It is encrypted. Pack it without a password."), name)
    if method not in (_STORED, _DEFLATED) or flags & _PATCHED:
        raise PackageRefused(
            "unsupported",
            _("It is compressed in a way that is not supported. Use plain zip (deflate)."),
            name,
        )
    if 0xFFFFFFFF in (packed, size, header_at):
        raise PackageRefused(
            "unsupported", _("The archive uses the 64-bit form that only huge files need."), name
        )
    mode = attributes >> 16 if system == 3 else 0
    is_folder = name.endswith("/")
    if stat.S_IFMT(mode) not in (0, stat.S_IFDIR if is_folder else stat.S_IFREG):
        raise PackageRefused(
            "special_file",
            _("It is a link or a device. A package holds only files and folders."),
            name,
        )
    if is_folder and (size or packed > 2):
        raise _lying(_("It is a folder, and yet has content."), name)
    entry = Entry(
        name=name.rstrip("/"),
        is_folder=is_folder,
        is_executable=bool(mode & 0o111) and not is_folder,
        size=size,
        packed_size=packed,
        crc=crc,
        method=method,
        flags=flags,
        header_at=header_at,
        changed_on=_date(day),
        raw_name=raw_name,
    )
    return entry, end + extra + comment


def _harmless_name(raw: bytes, flags: int) -> str:
    """The entry's path, relative and inside the package on every system; a folder's ends with a slash."""
    try:
        # Without the flag the old code page of DOS is meant; packers that write UTF-8 there without saying so are
        # common, and their names are the ones that people recognise.
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        if flags & _UTF8:
            raise PackageRefused(
                "bad_name", _("A file name is not valid UTF-8."), repr(raw)
            ) from None
        name = raw.decode("cp437")
    shown = name.encode("unicode_escape").decode("ascii")
    if len(raw) > MAX_PATH_BYTES:
        raise PackageRefused(
            "bad_name",
            _("A path is longer than %(limit)d bytes.") % {"limit": MAX_PATH_BYTES},
            shown[:80],
        )
    if not name or any(
        unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in name
    ):
        raise PackageRefused(
            "bad_name", _("A file name is empty or has control characters."), shown
        )
    if "\\" in name:
        raise PackageRefused(
            "bad_name",
            _("A file name has a backslash. Folders in a zip are separated by '/'."),
            shown,
        )
    parts = name.removesuffix("/").split("/")
    if (
        name.startswith("/")
        or parts[0][1:2] == ":"
        or any(part in {"", ".", ".."} for part in parts)
    ):
        raise PackageRefused(
            "outside",
            _("The path leads out of the package, or is not a plain relative one."),
            shown,
        )
    if len(parts) > MAX_DEPTH or any(len(part.encode()) > MAX_NAME_BYTES for part in parts):
        raise PackageRefused(
            "bad_name",
            _("A file name is too long, or its folders are nested too deeply."),
            shown[:80],
        )
    return name


def _check_sizes(found: list[Entry], archive_size: int) -> None:
    unpacked = sum(entry.size for entry in found)
    if unpacked > MAX_UNPACKED_BYTES:
        raise PackageRefused(
            "bomb",
            _("Unpacked, the package would be larger than %(limit)d MiB.")
            % {"limit": MAX_UNPACKED_BYTES // 1024**2},
        )
    if unpacked > RATIO_IS_CHECKED_FROM and unpacked > MAX_RATIO * archive_size:
        raise PackageRefused(
            "bomb",
            _("The package unpacks to more than %(ratio)d times its size.") % {"ratio": MAX_RATIO},
        )


def _check_names(found: list[Entry]) -> None:
    """Refuse two entries that are one file on some system, or a file that another entry needs as a folder."""
    spelled: dict[str, str] = {}
    is_file: dict[str, bool] = {}
    for entry in found:
        parts = entry.name.split("/")
        for depth in range(1, len(parts) + 1):
            path = "/".join(parts[:depth])
            key = unicodedata.normalize("NFKC", path).casefold()
            whole = depth == len(parts)
            file_here = whole and not entry.is_folder
            if spelled.setdefault(key, path) != path or (
                key in is_file and (file_here or is_file[key])
            ):
                raise PackageRefused(
                    "duplicate", _("The archive has this name twice, or in two spellings."), path
                )
            is_file[key] = file_here


def _check_layout(file: BinaryIO, found: list[Entry], directory_at: int) -> None:
    """Refuse entries that share bytes, and headers that contradict the directory."""
    free_from = 0
    for entry in sorted(found, key=lambda each: each.header_at):
        if entry.header_at < free_from or (free_from == 0 and entry.header_at):
            raise _lying(
                _("It shares bytes with another entry, or something lies in front of the archive."),
                entry.name,
            )
        file.seek(entry.header_at)
        raw = file.read(_LOCAL.size)
        if len(raw) < _LOCAL.size:
            raise _damaged(entry)
        (magic, _needs, flags, method, _time, _day, crc, packed, size, name_length, extra) = (
            _LOCAL.unpack(raw)
        )
        name = file.read(name_length)
        same_form = (magic, method, name) == (_LOCAL_MAGIC, entry.method, entry.raw_name)
        sizes_follow = bool(flags & _SIZES_FOLLOW)
        # Streaming packers announce the sizes after the data; some also reserve the 64-bit form in front of it.
        announced = (
            sizes_follow
            or packed == 0xFFFFFFFF
            or (crc, packed, size) == (entry.crc, entry.packed_size, entry.size)
        )
        if (
            not same_form
            or not announced
            or (flags ^ entry.flags) & (_ENCRYPTED | _SIZES_FOLLOW | _UTF8)
        ):
            raise _lying(_("Its header contradicts the archive's directory."), entry.name)
        free_from = entry.header_at + _LOCAL.size + name_length + extra + entry.packed_size
        if free_from > directory_at:
            raise _lying(_("It reaches beyond the archive's data."), entry.name)


def _date(packed: int) -> date | None:
    """The day in DOS form; None for the empty one that reproducible packers write (month 0, day 0)."""
    try:
        return date(1980 + (packed >> 9), packed >> 5 & 0xF, packed & 0x1F)
    except ValueError:
        return None


def _lying(message: str, where: str = "") -> PackageRefused:
    return PackageRefused("inconsistent", message, where)


def _damaged(entry: Entry) -> PackageRefused:
    return PackageRefused(
        "damaged", _("Its content is damaged: it cannot be unpacked as it was packed."), entry.name
    )
