"""What a robot finds around it: variables, files and folders, by the conventions that existing robots follow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robots.manifest import ITEMS_IN, ITEMS_OUT, Manifest

SUPPORT = Path(__file__).parent / "support"
WORK, ENVIRONMENT, SUPPORT_INSIDE = "/work", "/env", "/opt/rpa"
PARAMS_FILE = "params.json"
SYSTEM_PYTHON = "/usr/bin/python3"

_SYSTEM_PATH = ("/usr/local/bin", "/usr/bin", "/bin")


def interpreter(*, has_environment: bool) -> str:
    """What `python` means in a robot's command."""
    return f"{ENVIRONMENT}/bin/python" if has_environment else SYSTEM_PYTHON


def robot_environment(
    manifest: Manifest, *, execution_id: str, has_environment: bool
) -> dict[str, str]:
    """Every variable of the robot's processes.

    RC_PROCESS_RUN_ID is never among them: it makes robots talk to a cloud instead of to the files given here.
    """
    path, python_path = manifest.search_paths(folder=WORK)
    artifacts = f"{WORK}/{manifest.artifacts}"
    items_in, items_out = f"{WORK}/{ITEMS_IN}", f"{artifacts}/{ITEMS_OUT}"
    variables = {
        "RPA_EXECUTION_ID": execution_id,
        "RPA_PARAMS_FILE": f"/run/{PARAMS_FILE}",
        "RPA_ARTIFACTS_DIR": artifacts,
        "ROBOT_ROOT": WORK,
        "ROBOT_ARTIFACTS": artifacts,
        "PATH": ":".join(
            [*path, *([f"{ENVIRONMENT}/bin"] if has_environment else []), *_SYSTEM_PATH]
        ),
        "PYTHONPATH": ":".join([*python_path, SUPPORT_INSIDE]),
        "PYTHONUNBUFFERED": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHON_EXE": interpreter(has_environment=has_environment),
        "LANG": "C.UTF-8",
        "HOME": "/tmp",  # noqa: S108 - the robot's own, in memory
        "TEMP": "/tmp",  # noqa: S108
        "TMP": "/tmp",  # noqa: S108
        # Work items from files, for robocorp.workitems and for RPA.Robocorp.WorkItems.
        "RC_WORKITEM_ADAPTER": "FileAdapter",
        "RC_WORKITEM_INPUT_PATH": items_in,
        "RC_WORKITEM_OUTPUT_PATH": items_out,
        "RPA_WORKITEMS_ADAPTER": "RPA.Robocorp.WorkItems.FileAdapter",
        "RPA_INPUT_WORKITEM_PATH": items_in,
        "RPA_OUTPUT_WORKITEM_PATH": items_out,
        "ROBOT_OPTIONS": f"--listener {SUPPORT_INSIDE}/rpa_listener.py --variablefile {SUPPORT_INSIDE}/rpa_variables.py",
        # There is no display and no way out: browsers start without a window, and drivers are not looked for online.
        "RPA_HEADLESS_MODE": "1",
        "SE_OFFLINE": "true",
        "PLAYWRIGHT_SKIP_BROWSER_GC": "1",
    }
    if has_environment:
        variables["VIRTUAL_ENV"] = ENVIRONMENT
    return variables


def workspace_files(params: Mapping[str, Any]) -> dict[str, bytes]:
    """Files to write into the workspace, by their path in it: the parameters as the first work item."""
    return {ITEMS_IN: json.dumps([{"payload": dict(params), "files": {}}], indent=1).encode()}


def workspace_folders(manifest: Manifest) -> list[str]:
    """Folders that must exist in the workspace before the robot starts, outermost first."""
    return [manifest.artifacts, f"{manifest.artifacts}/{ITEMS_OUT.partition('/')[0]}"]


def run_files(params: Mapping[str, Any]) -> dict[str, bytes]:
    """Files for /run: out of the workspace, so that the robot cannot take them for its own."""
    return {PARAMS_FILE: json.dumps(dict(params), ensure_ascii=False).encode()}
