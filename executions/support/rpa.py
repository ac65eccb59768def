"""What a robot may tell the platform while it runs: steps, progress, a result, artifacts.

    import rpa

    with rpa.step("Read the orders"):
        orders = read(rpa.params()["file"])
    rpa.progress(50, "half of the orders are done")
    rpa.artifact("report.html")
    rpa.result({"orders": len(orders)})

One file, no dependencies, Python 3.8 or newer. Away from the platform everything still works and says nothing.
"""

from __future__ import annotations

import contextlib
import contextvars
import itertools
import json
import math
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["artifact", "params", "progress", "result", "step"]

# A terminal that knows nothing of it shows nothing of it either.
_BEGIN, _END = b"\x1b]7313;", b"\x07"
_MAX_MESSAGE = 60 * 1024
_MAX_NAME, _MAX_TEXT = 200, 2000

_writing = threading.Lock()
_numbers = itertools.count(1)
_prefix: dict[int, str] = {}
_current: contextvars.ContextVar[str | None] = contextvars.ContextVar("rpa_step", default=None)


def params() -> dict[str, Any]:
    """The parameters that this run was started with."""
    path = os.environ.get("RPA_PARAMS_FILE")
    if not path:
        return {}
    values: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return values


def progress(percent: float, message: str = "") -> None:
    """How far the run is, from 0 to 100."""
    value = float(percent)
    if math.isnan(value):
        raise ValueError("percent is not a number")
    _send(
        {
            "kind": "progress",
            "percent": round(min(100.0, max(0.0, value)), 2),
            "message": str(message)[:_MAX_TEXT],
        }
    )


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Show the block as a step, inside the step around it. It fails if the block raises."""
    parent = _current.get()
    opened = start_step(name, parent=parent)
    token = _current.set(opened)
    try:
        yield
    except BaseException as error:
        end_step(opened, name, "failed", f"{type(error).__name__}: {error}", parent=parent)
        raise
    else:
        end_step(opened, name, "passed", parent=parent)
    finally:
        _current.reset(token)


def result(value: Any) -> None:
    """What the run has to say for itself, as anything that JSON can hold. The last one counts."""
    message = {"kind": "result", "value": value}
    if len(_encoded(message)) <= _MAX_MESSAGE:
        _send(message)
    else:
        # Servers of before do not know this message, and find the file if no message brought a result.
        artifact(json.dumps(value).encode(), "result.json")
        _send({"kind": "result_file"})


def artifact(source: str | os.PathLike[str] | bytes, name: str | None = None) -> str:
    """Keep a file, or bytes under a `name`, with the run. Returns where it was put."""
    if isinstance(source, bytes):
        if not name:
            raise ValueError("bytes need a name")
        target = _inside_artifacts(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source)
        return str(target)
    path = Path(source)
    target = _inside_artifacts(name or path.name)
    if path.resolve() == target.resolve():
        # What the package brought along is the run's own only if the run has touched it.
        os.utime(target)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return str(target)


def start_step(name: str, kind: str = "step", parent: str | None = None) -> str:
    """For tools that have no block to put around: begin a step inside `parent`, to be ended by its id."""
    process = os.getpid()
    prefix = _prefix.setdefault(process, os.urandom(3).hex())
    opened = f"{prefix}.{next(_numbers)}"
    _send_step(opened, name, kind, "started", parent, "")
    return opened


def end_step(
    opened: str,
    name: str,
    state: str,
    message: str = "",
    kind: str = "step",
    parent: str | None = None,
) -> None:
    """End the step `opened`: passed, failed or skipped."""
    _send_step(opened, name, kind, state, parent, message)


def _send_step(
    opened: str, name: str, kind: str, state: str, parent: str | None, message: str
) -> None:
    content = {
        "kind": "step",
        "id": opened,
        "parent": parent,
        "name": str(name)[:_MAX_NAME],
        "type": kind,
        "state": state,
    }
    if message:
        content["message"] = str(message)[:_MAX_TEXT]
    _send(content)


def _encoded(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode("ascii")


def _send(message: dict[str, Any]) -> None:
    """In the middle of the output, so that it keeps its place between the lines around it."""
    content = _encoded(message)
    if "RPA_EXECUTION_ID" not in os.environ or len(content) > _MAX_MESSAGE:
        return
    with _writing, contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
        left = memoryview(_BEGIN + content + _END)
        while left:
            left = left[os.write(1, left) :]


def _inside_artifacts(name: str) -> Path:
    parts = Path(name).parts
    if not parts or ".." in parts or Path(name).is_absolute():
        raise ValueError(f"an artifact's name must be a plain relative path: {name!r}")
    return Path(os.environ.get("RPA_ARTIFACTS_DIR", "output")).resolve().joinpath(*parts)
