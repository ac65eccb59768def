"""The platform's own table, scripts that describe themselves, and action packages."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from datetime import date

import pytest

from robots.manifest import Kind
from robots.refusals import PackageRefused
from tests.robots.manifests import read, refusal, robot

EXTENSION = {
    "description": "Books invoices",
    "profile": "browser",
    "timeout": 60,
    "memory": 512,
    "parameters": {
        "type": "object",
        "properties": {"due": {"type": "string", "format": "date", "default": date(2026, 1, 2)}},
    },
}


def test_the_platforms_own_table() -> None:
    manifest = robot(rpa=EXTENSION)
    assert (manifest.description, manifest.profile, manifest.timeout, manifest.memory) == (
        "Books invoices",
        "browser",
        60,
        512,
    )
    assert manifest.parameters == {
        "type": "object",
        "properties": {"due": {"type": "string", "format": "date", "default": "2026-01-02"}},
    }


@pytest.mark.parametrize(
    "rpa",
    [
        [],
        "x",
        {"profil": "browser"},
        {"profile": "none"},
        {"timeout": 0},
        {"timeout": True},
        {"timeout": "60"},
        {"timeout": 86_401},
        {"memory": 1},
        {"description": 5},
        {"parameters": []},
        {"parameters": {"type": "array"}},
    ],
)
def test_a_wrong_table_is_refused(rpa: object) -> None:
    assert refusal(rpa=rpa).code in {"bad_extension", "bad_parameters"}


def test_parameters_may_lie_beside_the_robot() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    assert robot(files={"parameters.json": json.dumps(schema)}).parameters == schema
    assert robot(files={"parameters.json": '{"my": "own data"}'}).parameters is None
    for files in ({"parameters.json": "{"}, {"parameters.json": json.dumps({"type": "string"})}):
        assert refusal(files=files).code in {"bad_json", "bad_parameters"}
    assert (
        refusal(files={"parameters.json": json.dumps(schema)}, rpa={"parameters": schema}).code
        == "bad_parameters"
    )


SCRIPT = """\
#!/usr/bin/env python3
# /// script
# requires-python = ">=3.10"
# dependencies = [
#   "requests>=2",
# ]
#
# [tool.rpa]
# timeout = 5
# profile = "browser"
# [tool.rpa.parameters]
# type = "object"
# properties.due = {type = "string", default = 2026-01-02}
# ///
print(1)
"""


def test_a_script_says_itself_what_it_needs() -> None:
    manifest = read({"invoice.py": SCRIPT})
    assert (manifest.kind, manifest.entry, manifest.task(), manifest.timeout, manifest.profile) == (
        Kind.SCRIPT,
        "invoice.py",
        "invoice",
        5,
        "browser",
    )
    assert manifest.environment is not None
    assert (manifest.environment.requirements, manifest.environment.python) == (
        ("requests>=2",),
        ">=3.10",
    )
    assert manifest.parameters is not None
    assert manifest.parameters["properties"]["due"]["default"] == "2026-01-02"
    assert manifest.commands(python="/usr/bin/python3") == [("/usr/bin/python3", "invoice.py")]


@pytest.mark.parametrize(
    "source",
    [
        SCRIPT + SCRIPT,
        SCRIPT.replace('">=3.10"', "oops"),
        SCRIPT.replace("requests>=2", "git+https://x/y"),
        SCRIPT.replace("timeout = 5", "timeout = -5"),
        SCRIPT.replace(">=3.10", "three"),
    ],
)
def test_a_script_with_wrong_metadata_is_refused(source: str) -> None:
    with pytest.raises(PackageRefused):
        read({"invoice.py": source})


def test_a_script_of_windows_says_the_same() -> None:
    assert read({"invoice.py": SCRIPT.replace("\n", "\r\n")}) == read({"invoice.py": SCRIPT})


@pytest.mark.parametrize(
    ("source", "timeout"),
    [
        ("# /// script\n# ///\n", None),
        ("# /// script\n# ///\n# ///\n", "refused"),
        ("# /// script\n# tool.rpa.timeout = 5\n", None),
        ("# /// script\n# tool.rpa.timeout = 5\n\n# ///\n", None),
        ("# /// script\n# tool.rpa.timeout = 5\n# ///", 5),
        ("# /// script\n#\n#x\n# ///", None),
        ("# ///\n# /// script\n# tool.rpa.timeout = 5\n# ///\n# more\n", 5),
    ],
)
def test_where_a_block_of_a_script_ends(source: str, timeout: object) -> None:
    if timeout == "refused":
        with pytest.raises(PackageRefused):
            read({"a.py": source})
    else:
        assert read({"a.py": source}).timeout == timeout


@pytest.mark.parametrize(
    "line", ["# /// script", "# ///", "#", "@action", "@action\n@x", "@a.query"]
)
def test_a_source_is_read_in_linear_time(line: str) -> None:
    source = f"# /// script\n{line}\n" + f"{line}\n" * (2**20 // (len(line) + 1) - 5)
    started = time.monotonic()
    for files in ({"a.py": source}, {"package.yaml": ACTIONS, "a.py": source}):
        with suppress(PackageRefused):
            read(dict(files))
    assert time.monotonic() - started < 5


def test_a_folder_with_a_clear_script_needs_no_manifest() -> None:
    manifest = read({"main.py": "", "other.py": "", "requirements.txt": "requests"})
    assert manifest.entry == "main.py"
    assert manifest.environment is not None
    with pytest.raises(PackageRefused) as caught:
        read({"a.py": "", "b.py": ""})
    assert caught.value.code == "no_manifest"


ACTIONS = """
name: Greeter
description: Greets
version: 0.0.1
spec-version: v2
dependencies:
  conda-forge: [python=3.11.11, uv=0.6.11]
  pypi: [sema4ai-actions=1.3.15, requests>=2]
pythonpath: [src]
"""


def test_an_action_package_has_its_actions_as_tasks() -> None:
    source = "from sema4ai.actions import action\n\n@action\ndef greet(name: str) -> str:\n    ...\n\n@action(is_consequential=True)\ndef part():\n    ...\n\ndef helper(): ...\n"
    manifest = read({"package.yaml": ACTIONS, "greeter.py": source})
    assert (manifest.kind, list(manifest.tasks), manifest.description) == (
        Kind.ACTIONS,
        ["greet", "part"],
        "Greets",
    )
    assert manifest.commands("greet") == [
        (
            "/env/bin/python",
            "-m",
            "sema4ai.actions",
            "run",
            "-a",
            "greet",
            "--json-input",
            "/run/params.json",
        )
    ]
    assert manifest.environment is not None
    assert manifest.environment.requirements == ("sema4ai-actions==1.3.15", "requests>=2")
    for yaml_text, python in ((ACTIONS, "x = 1"), (ACTIONS.replace("v2", "v9"), source)):
        with pytest.raises(PackageRefused):
            read({"package.yaml": yaml_text, "greeter.py": python})
