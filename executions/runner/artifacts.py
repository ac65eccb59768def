"""What a dead robot left in its workspace: artifacts and the result file. All of it is a stranger's."""

import hashlib
import mimetypes
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from io import BufferedIOBase
from pathlib import Path
from typing import BinaryIO, Self, cast

from django.conf import settings
from django.core.files import File
from django.core.files.storage import default_storage

from accounts.refusals import Unavailable
from executions import claims, lifecycle
from executions.choices import EventKind
from executions.events import Draft, Source, writing
from executions.models import Artifact, Execution
from executions.runner.output import MAX_RESULT, TOO_LARGE, result_line
from executions.runner.writer import StreamWriter
from executions.sandbox.collector import (
    Mark,
    Reason,
    Rejected,
    UnsafeFile,
    mark,
    marks,
    read_file,
    walk,
)
from resources.storage import Patience
from robots.json_values import BadJson, read_json

RESULT_FILE = "result.json"
REASONS = {
    Reason.SYMLINK: "it is a link",
    Reason.HARD_LINK: "it has a second name",
    Reason.SPECIAL: "it is no regular file",
    Reason.NAME: "its name is not plain text",
    Reason.SIZE: "the artifacts of a run have reached their size limit",
    Reason.COUNT: "the artifacts of a run have reached their number limit",
    Reason.DEPTH: "it lies too deep",
    Reason.UNREADABLE: "it cannot be read",
}
_UNUSUAL = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Brought:
    """What of a package lies where results and artifacts are looked for: a robot that leaves it alone made neither."""

    result: Mark | None
    artifacts: Mapping[str, Mark]

    @classmethod
    def into(cls, workspace: Path, folder: str) -> Self:
        """To be taken when the workspace is filled, and the artifacts folder made."""
        result = workspace / RESULT_FILE
        return cls(mark(result) if result.is_file() else None, marks(workspace / folder))


def keep_artifacts(
    execution: Execution,
    workspace: Path,
    folder: str,
    brought: Brought,
    writer: StreamWriter,
    patience: Patience,
) -> None:
    """Store the robot's regular files below the artifacts folder; say of every other thing why it was not kept.

    Only after the robot's last process is dead: what is looked at here must not change any more.
    """
    root = workspace / folder
    if not root.is_dir() or any(each.is_symlink() for each in (root, *root.parents)):
        return
    limit = settings.RPA_ARTIFACT_LIMIT_MIB * 2**20
    count = settings.RPA_ARTIFACT_COUNT
    for found in walk(root, max_files=count, max_bytes=limit, untouched=brought.artifacts):
        if isinstance(found, Rejected):
            _reject(found.name, REASONS[found.reason], writer)
            continue
        try:
            with found.open() as file:
                store = partial(_stored, execution, found.name, found.size, file, writer)
                artifact = patience(store)
        except Unavailable:
            _reject(found.name, "the storage does not answer", writer)
            continue
        except UnsafeFile as error:
            _reject(found.name, REASONS[error.reason], writer)
            continue
        writer.flush()
        try:
            writer.commit(1, partial(_record, artifact))
        except claims.TooLate:
            _reject(found.name, "to store it took too long", writer)


def last_line_result(line: bytes | None, writer: StreamWriter) -> Draft | None:
    """The result in the last `line` of the output, if that gives one; what is wrong with it is said."""
    if line is None:
        return None
    try:
        return result_line(line)
    except BadJson as error:
        _no_result("The last line of the output", str(error), writer)
        return None


def working_result(workspace: Path, brought: Brought, writer: StreamWriter) -> Draft | None:
    """The result in the working folder's result.json."""
    return _result_file(workspace, RESULT_FILE, brought.result, writer)


def artifact_result(
    workspace: Path, folder: str, brought: Brought, writer: StreamWriter
) -> Draft | None:
    """The result in the artifacts folder's result.json."""
    before = brought.artifacts.get(RESULT_FILE)
    return _result_file(workspace, f"{folder}/{RESULT_FILE}", before, writer)


def _result_file(
    workspace: Path, name: str, before: Mark | None, writer: StreamWriter
) -> Draft | None:
    """None without one that the robot wrote; what is wrong with it is said."""
    try:
        content = read_file(workspace, name, MAX_RESULT, untouched=before)
        if content is not None:
            return Draft(EventKind.RESULT, {"value": read_json(content, limit=MAX_RESULT)})
    except UnsafeFile as error:
        reason = TOO_LARGE if error.reason is Reason.SIZE else REASONS[error.reason]
        _no_result(name, reason, writer)
    except BadJson as error:
        _no_result(name, str(error), writer)
    return None


def _no_result(what: str, reason: str, writer: StreamWriter) -> None:
    _note(writer, "bad_result", f"{what} is not the result: {reason}")


def _reject(name: str, reason: str, writer: StreamWriter) -> None:
    _note(writer, "artifact_rejected", f"{name} was not kept: {reason}")


def _note(writer: StreamWriter, code: str, message: str) -> None:
    writer.add_event(Draft(EventKind.NOTICE, {"code": code, "message": message}))


def _stored(
    execution: Execution, name: str, size: int, file: BinaryIO, writer: StreamWriter
) -> Artifact:
    file.seek(0)
    uid = uuid.uuid4()
    tail = _UNUSUAL.sub("_", name.rsplit("/", 1)[-1])[-80:]
    key = f"artifacts/{execution.uid}/{uid.hex}-{tail}"
    writer.commit(0, lambda _source: claims.note(key))
    key = default_storage.save(key, File(file, name=tail))
    file.seek(0)
    return Artifact(
        uid=uid,
        execution=execution,
        name=name,
        size=size,
        content_type=mimetypes.guess_type(name)[0] or "application/octet-stream",
        sha256=hashlib.file_digest(cast("BufferedIOBase", file), "sha256").hexdigest(),
        storage_key=key,
    )


def _record(artifact: Artifact, source: Source) -> None:
    data = {
        "id": str(artifact.uid),
        "name": artifact.name,
        "size": artifact.size,
        "content_type": artifact.content_type,
        "sha256": artifact.sha256,
    }
    with writing():
        # A repeated commit, whose first answer was lost, finds the row there.
        new = not Artifact.objects.filter(uid=artifact.uid).exists()
        if new:
            claims.claim(artifact.storage_key)
        lifecycle.record(artifact.execution_id, [Draft(EventKind.ARTIFACT, data)], source)
        if new:
            artifact.save(force_insert=True)
