"""Packages: what people upload as a robot. Looked into without trust, unpacked once, packed for them too."""

from __future__ import annotations

import hashlib
import logging
import os
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from django.utils.translation import gettext as _
from pathspec import GitIgnoreSpec

from robots import archives, conventions
from robots.archives import MAX_ARCHIVE_BYTES, MAX_ENTRIES, MAX_UNPACKED_BYTES, Entry
from robots.documents import MAX_DOCUMENT_BYTES
from robots.manifest import Kind, Manifest
from robots.refusals import PackageRefused
from robots.staging import staged

__all__ = [
    "MAX_ARCHIVE_BYTES",
    "MAX_ENTRIES",
    "MAX_UNPACKED_BYTES",
    "Kind",
    "PackageInfo",
    "PackageRefused",
    "inspect",
    "pack",
    "unpack",
]

logger = logging.getLogger(__name__)

MAX_SINGLE_FILE_BYTES = MAX_DOCUMENT_BYTES
_NEVER_PACKED = (".git/", ".hg/", ".svn/", "__pycache__/", ".venv/", "venv/", ".DS_Store", "*.pyc")
_EPOCH = (1980, 1, 1, 0, 0, 0)
# Older dates on files are a packer's placeholder, not when somebody last worked on the robot.
_PLAUSIBLE_FROM = date(2016, 1, 1)


@dataclass(frozen=True)
class File:
    """One file as it will lie in the robot's folder."""

    name: str
    size: int


@dataclass(frozen=True)
class PackageInfo:
    """What an uploaded file turned out to be. `digest` is the sha256 of the uploaded bytes."""

    kind: Kind
    digest: str
    size: int
    files: tuple[File, ...]
    manifest: Manifest


def inspect(file: BinaryIO, name: str, *, uploaded_on: date) -> PackageInfo:
    """What the upload is, or `PackageRefused`. Every byte is decompressed and checked once; nothing is written.

    `uploaded_on` bounds what the robot's environment may be built from, unless its files are dated earlier.
    """
    try:
        return _inspected(file, name, uploaded_on)
    except (PackageRefused, OSError):
        raise
    except Exception as error:
        # Somebody else's data must not become a fault of ours, whatever it is that we forgot.
        logger.exception("A package could not be inspected")
        raise PackageRefused(
            "unreadable", _("The package cannot be read; the server's log says why.")
        ) from error


def _inspected(file: BinaryIO, name: str, uploaded_on: date) -> PackageInfo:
    size = file.seek(0, os.SEEK_END)
    if size > MAX_ARCHIVE_BYTES:
        raise PackageRefused(
            "too_large",
            _("The package is larger than %(limit)d MiB.")
            % {"limit": MAX_ARCHIVE_BYTES // 1024**2},
        )
    if not size:
        raise PackageRefused("empty", _("The file is empty."))
    digest = _digest(file)
    if archives.is_archive(file):
        members = _members(archives.entries(file))
        for entry in members.values():
            for _piece in archives.content(file, entry):
                pass

        def read(path: str) -> bytes | None:
            entry = members.get(path)
            if entry is None:
                return None
            if entry.size > MAX_DOCUMENT_BYTES:
                raise PackageRefused(
                    "document_too_large",
                    _("The document is larger than %(limit)d KiB.")
                    % {"limit": MAX_DOCUMENT_BYTES // 1024},
                    path,
                )
            return b"".join(archives.content(file, entry))

        cutoff = _last_change(members.values(), uploaded_on)
        manifest = conventions.read(list(members), read, cutoff=cutoff)
        return PackageInfo(
            manifest.kind,
            digest,
            size,
            tuple(File(path, entry.size) for path, entry in members.items()),
            manifest,
        )
    path = _single_name(name)
    if size > MAX_SINGLE_FILE_BYTES:
        raise PackageRefused(
            "too_large",
            _("A single file may have at most %(limit)d KiB.")
            % {"limit": MAX_SINGLE_FILE_BYTES // 1024},
        )
    file.seek(0)
    source = file.read()
    manifest = conventions.read([path], {path: source}.get, cutoff=uploaded_on)
    return PackageInfo(manifest.kind, digest, size, (File(path, size),), manifest)


def unpack(file: BinaryIO, manifest: Manifest, destination: Path, *, digest: str) -> None:
    """Make `destination` the robot's folder, as `inspect` found it, read-only for all but its owner.

    It appears whole or not at all, is on disk when this returns, and is left alone if it is already there. Refused
    if the bytes are not those of `digest`.
    """
    with staged(destination) as folder:
        if folder is None:
            return
        if _digest(file) != digest:
            raise PackageRefused(
                "changed", _("The stored package is not the one that was uploaded.")
            )
        if archives.is_archive(file):
            members = _members(archives.entries(file))
            # Packers on other systems lose the executable bit.
            programs = manifest.programs(members)
            for path, entry in members.items():
                executable = entry.is_executable or path in programs
                _write(folder / path, archives.content(file, entry), executable=executable)
        else:
            file.seek(0)
            _write(folder / manifest.entry, iter([file.read()]), executable=False)


def pack(folder: Path, into: BinaryIO) -> None:
    """Zip a robot's folder; the same files give the same bytes, on any day and machine.

    What the `ignoreFiles` of its robot.yaml name is left out, as are caches and version control. Links are refused.
    """
    ignored = GitIgnoreSpec.from_lines([*_NEVER_PACKED, *conventions.ignored_lines(folder)])
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(
            _walk(folder, folder, ignored), key=lambda each: each.relative_to(folder).as_posix()
        ):
            member = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _EPOCH)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.create_system = 3
            member.external_attr = (0o100755 if path.stat().st_mode & 0o111 else 0o100644) << 16
            archive.writestr(member, path.read_bytes())


def _walk(folder: Path, root: Path, ignored: GitIgnoreSpec) -> Iterator[Path]:
    for path in folder.iterdir():
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            raise PackageRefused(
                "special_file",
                _("It is a link or a device. A package holds only files and folders."),
                name,
            )
        if ignored.match_file(name + "/" if path.is_dir() else name):
            continue
        if path.is_dir():
            yield from _walk(path, root, ignored)
        elif path.is_file():
            yield path
        else:
            raise PackageRefused(
                "special_file",
                _("It is a link or a device. A package holds only files and folders."),
                name,
            )


def _members(found: list[Entry]) -> dict[str, Entry]:
    """The files by their path in the robot's folder: a single folder around everything is taken off."""
    files = {
        entry.name: entry for entry in found if not entry.is_folder and not _is_debris(entry.name)
    }
    if not files:
        raise PackageRefused("empty", _("The archive is empty."))
    tops = {name.partition("/")[0] for name in files}
    if len(tops) == 1 and all("/" in name for name in files):
        around = len(next(iter(tops))) + 1
        return {name[around:]: entry for name, entry in files.items()}
    return files


def _is_debris(name: str) -> bool:
    """What file managers add to archives by themselves."""
    return name.startswith("__MACOSX/") or PurePosixPath(name).name in {
        ".DS_Store",
        "Thumbs.db",
        "desktop.ini",
    }


def _single_name(name: str) -> str:
    """What the file is called in the robot's folder: its suffix, in small letters, says what it is."""
    base = PurePosixPath(name.replace("\\", "/")).name
    suffix = PurePosixPath(base).suffix.lower()
    if suffix not in {".py", ".robot"}:
        raise PackageRefused(
            "unknown_kind",
            _(
                "A package is a zip with a robot.yaml, a .py file or a .robot file. This file is none of them."
            ),
        )
    if (
        len(base.encode()) > archives.MAX_NAME_BYTES
        or not base.isprintable()
        or base.startswith((".", "-"))
    ):
        raise PackageRefused(
            "bad_name", _("The file's name is too long, hidden, or has control characters.")
        )
    return str(PurePosixPath(base).with_suffix(suffix))


def _last_change(members: Iterable[Entry], uploaded_on: date) -> date:
    dates = [entry.changed_on for entry in members if entry.changed_on]
    newest = max(dates, default=uploaded_on)
    return newest if _PLAUSIBLE_FROM <= newest < uploaded_on else uploaded_on


def _digest(file: BinaryIO) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def _write(path: Path, pieces: Iterator[bytes], *, executable: bool) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "wb") as out:
        for piece in pieces:
            out.write(piece)
        os.fchmod(out.fileno(), 0o755 if executable else 0o644)
