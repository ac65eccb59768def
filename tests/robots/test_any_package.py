"""Packages and parameters that nobody thought of: good ones, spoilt in one place or several. All of it bounded."""

from __future__ import annotations

import copy
import io
import json
import random
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from robots import forms, packages, passwords
from robots.manifest import Manifest
from robots.packages import PackageInfo, PackageRefused
from robots.parameters import checked_schema, problems, with_defaults
from tests.robots import zips
from tests.robots.manifests import TODAY

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["a"],
    "properties": {
        "a": {
            "type": "string",
            "title": "x",
            "default": "q",
            "examples": ["x"],
            "enum": ["q"],
            "format": "date",
            "minLength": 1,
            "pattern": "^a$",
        },
        "b": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "c": {"type": "number", "minimum": 1, "maximum": 2, "multipleOf": 0.01},
        "d": {"$ref": "#/$defs/q"},
        "e": {"type": "string", "format": "password"},
    },
    "patternProperties": {"^x": {}, "^y": True},
    "additionalProperties": False,
    "$defs": {"q": {"anyOf": [{"type": "string"}, {"not": {"type": "null"}}]}},
}
ROBOT: dict[str, Any] = {
    "tasks": {
        "A": {"shell": "python t.py"},
        "B": {"command": ["python", "t.py"]},
        "C": {"robotTaskName": "x"},
    },
    "artifactsDir": "output",
    "PATH": ["bin"],
    "PYTHONPATH": ["lib"],
    "preRunScripts": ["a.sh b"],
    "environmentConfigs": ["conda.yaml"],
    "condaConfigFile": "conda.yaml",
    "rpa": {
        "description": "x",
        "profile": "browser",
        "timeout": 5,
        "memory": 100,
        "pool": "a",
        "labels": ["x"],
        "concurrency": 1,
        "queue_timeout": 5,
        "retry": {"max_attempts": 3, "backoff": 1, "on": ["lost"]},
    },
}
CONDA: dict[str, Any] = {
    "channels": ["conda-forge"],
    "dependencies": [
        "python=3.11",
        "pip=1",
        "pandas=2.0",
        {"pip": ["requests==2.0", "-r x.txt", "a[b]>=1"]},
    ],
    "rccPostInstall": ["x"],
}
ACTIONS: dict[str, Any] = {
    "spec-version": "v2",
    "description": "d",
    "dependencies": {"conda-forge": ["python=3.11"], "pypi": ["a=1.0"]},
    "pythonpath": ["src"],
    "post-install": ["x"],
}
WEIRD: list[Any] = [
    *(None, True, False, 0, -1, 5, 10**30, 10**400, 1.5, 1e300, 5e-324),
    *("", "x", "\u202e", "\ud800", "a\nb", "a\tb", "..", "/", "~", "*", '"', "'", "a" * 5000),
    *([], {}, [None], [[]], [{}], {"a": 1}, {"": None}, [1, "a"], [""] * 3, ["string", "null"]),
    *("python", "=", "==", "a=", "=a", "a==", "@", "-", "--", "-r", "-c", "-r x", "${A}", "a;b"),
    *("a @ b", "#", "# x", "a#b", "a::b", "::", "a=1=2=3", "a=*", "a>=1,<", "\\", "{}", "[", "!"),
    *("a; " + "(" * 4000, "(" * 3000, "(?i)a", "#/", "#/properties", "#/$defs/q", "2020-01-01"),
    *("object", "array", "date", "regex", "$ref", "$id", "$schema", "http://[::1", "output"),
]
VALUES: list[Any] = [
    *(None, True, 0, 1, -1, 4.35, 10**400, -(10**400), 1e300, 5e-324, "", "a", "q", "2026-01-01"),
    *("\0", "(" * 3000, "a" * 3000, [], [1, 1.0], ["a", "a"], {}, {"a": {"a": 1}}, [{"a": 1}] * 2),
]


def spoilt(good: Any, chance: random.Random) -> Any:
    """`good` with something else in one, two or three of its places."""
    whole = copy.deepcopy(good)
    for _time in range(chance.choice([1, 1, 1, 2, 3])):
        place = chance.choice(list(_places(whole)))
        container, key = place
        what = chance.random()
        if what < 0.7:
            container[key] = copy.deepcopy(chance.choice(WEIRD))
        elif what < 0.8:
            del container[key]
        elif isinstance(container, dict):
            container[str(chance.choice(WEIRD))[:50]] = container.pop(key)
        if not whole:
            return copy.deepcopy(good)
    return whole


def _places(node: Any) -> Any:
    found = (
        list(node.items())
        if isinstance(node, dict)
        else list(enumerate(node))
        if isinstance(node, list)
        else []
    )
    for key, each in found:
        yield node, key
        yield from _places(each)


def try_package(*members: tuple[str, str]) -> None:
    """It is refused by name, or kept as it will be stored."""
    found = inspected(
        zips.packed(*((name, text.encode("utf-8", "replace")) for name, text in members)),
        "robot.zip",
    )
    if found is None:
        return
    stored = json.dumps(found.manifest.to_json(), ensure_ascii=False).encode()
    assert Manifest.from_json(json.loads(stored)) == found.manifest
    if found.manifest.parameters:
        try_values(found.manifest.parameters, random.Random(len(stored)))


def inspected(file: io.BytesIO, name: str) -> PackageInfo | None:
    """None if it is refused, by one that knows why."""
    try:
        return packages.inspect(file, name, uploaded_on=TODAY)
    except PackageRefused as refused:
        if refused.code == "unreadable":
            raise
        return None


def try_values(schema: dict[str, Any], chance: random.Random) -> None:
    forms.form_fields(schema, {})
    forms.example_values(schema)
    passwords.concealed(schema)
    for _time in range(4):
        given_values = {name: chance.choice(VALUES) for name in chance.sample("abcdexyz", 3)}
        values = with_defaults(schema, given_values)
        for each in problems(schema, values):
            assert each.message != "It cannot be checked."
            each.message.encode()
        passwords.masked(schema, values)


seeds = st.randoms(use_true_random=False)


@given(seeds)
@settings(max_examples=150, deadline=None)
def test_any_robot_yaml_with_any_environment_is_refused_or_read(chance: random.Random) -> None:
    robot, conda = (spoilt(ROBOT, chance), CONDA) if chance.random() < 0.5 else (ROBOT, None)
    try_package(
        ("robot.yaml", yaml.safe_dump(robot)),
        ("conda.yaml", yaml.safe_dump(conda or spoilt(CONDA, chance))),
        ("x.txt", "b"),
        ("t.py", ""),
        ("a.sh", ""),
    )


@given(seeds)
@settings(max_examples=100, deadline=None)
def test_any_package_yaml_is_refused_or_read(chance: random.Random) -> None:
    action = "from x import action\n@action\ndef f(a: int): pass\n"
    try_package(("package.yaml", yaml.safe_dump(spoilt(ACTIONS, chance))), ("a.py", action))


@given(seeds)
@settings(max_examples=200, deadline=None)
def test_any_schema_is_refused_or_checks_any_values(chance: random.Random) -> None:
    try_package(
        ("t.py", ""),
        ("parameters.json", json.dumps(spoilt(SCHEMA, chance))),
    )


HEADS = [
    *("# /// script\n", '# dependencies = ["a"]\n', '# requires-python = ">=3.9"\n'),
    *("# [tool.rpa]\n", "# timeout = 5\n", '# parameters = {type="object"}\n', "# ///\n"),
    *(f"# x = 0x{'f' * 6000}\n", "print(1)\n", "#\n", "# x\n", "\0", "\r", "é"),
]


@given(st.lists(st.sampled_from(HEADS), max_size=11).map("".join))
@settings(max_examples=100, deadline=None)
def test_any_script_is_refused_or_read(source: str) -> None:
    inspected(io.BytesIO(source.encode()), "a.py")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("conda.yaml", "dependencies: [pandas=]"),
        ("conda.yaml", "channels: [[x]]"),
        ("conda.yaml", f"dependencies: [pip: ['a; {'(' * 5000}']]"),
        ("package.yaml", "spec-version: []"),
        ("parameters.json", '{"type": "object", "title": "\\ud800"}'),
        ("parameters.json", '{"type": "object", "properties": {"\\ud800": {}}}'),
        ("parameters.json", '{"type": "object", "$schema": 5}'),
        ("parameters.json", '{"type": "object", "$schema": null}'),
        ("parameters.json", '{"type": "object", "$schema": []}'),
        ("robot.yaml", f"tasks: {{A: {{shell: x}}}}\nx: 0x{'f' * 6000}"),
        ("robot.yaml", f"tasks: {{A: {{shell: x}}}}\n0x{'f' * 6000}: 1"),
    ],
)
def test_what_once_was_a_fault_of_ours_is_none(name: str, content: str) -> None:
    others = {"robot.yaml": zips.ROBOT_YAML.decode(), "a.py": "@action\ndef f(): pass\n"}
    if name == "package.yaml":
        del others["robot.yaml"]
    try_package(*{**others, name: content}.items())


def test_a_fault_of_ours_refuses_the_package_and_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_args: object, **_options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("robots.conventions.read", fails)
    with pytest.raises(PackageRefused) as caught:
        packages.inspect(zips.robot(), "robot.zip", uploaded_on=TODAY)
    assert caught.value.code == "unreadable"
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("value", "place"),
    [({"a": {"b": 1}}, "a"), ({"x": 1}, "")],
)
def test_a_fault_of_ours_in_checking_values_names_their_place(
    value: dict[str, Any],
    place: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Versions that were published long ago may have schemas that are refused today.
    broken = {"$ref": "#/broken"} if place else {}
    schema = {"type": "object", "broken": 5, "properties": {"a": broken}}
    if not place:
        schema["required"] = 5
    (problem,) = problems(schema, value)
    assert (problem.path, problem.message) == (place, "It cannot be checked.")
    assert "Traceback" in caplog.text


def test_a_good_schema_still_is_one() -> None:
    assert checked_schema(SCHEMA, "robot.yaml") is SCHEMA
    assert problems(SCHEMA, {"a": "q", "d": "x"}) != []
