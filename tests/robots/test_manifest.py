"""robot.yaml, package.yaml, scripts and suites: what is read from them, and how a task is started."""

from __future__ import annotations

import json
import platform
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from robots import conventions
from robots.environments import ROBOT_FRAMEWORK
from robots.manifest import Kind, Manifest, TaskNotFound
from robots.refusals import PackageRefused
from tests.robots.manifests import TASKS, TODAY, read, refusal, robot
from tests.robots.test_other_conventions import EXTENSION, SCRIPT

HERE = platform.python_version()


@pytest.mark.parametrize(
    ("task", "command"),
    [
        (
            {"shell": "python -m x 'two words' $HOME; ls"},
            ("/env/bin/python", "-m", "x", "two words", "$HOME;", "ls"),
        ),
        ({"command": ["python3", "a b.py"]}, ("/env/bin/python", "a b.py")),
        ({"command": ["./run", "x"]}, ("/work/run", "x")),
        ({"command": ["node", "x.js"]}, ("node", "x.js")),
        (
            {"robotTaskName": "Produce Output"},
            (
                "/env/bin/python",
                "-m",
                "robot",
                "--report",
                "NONE",
                "--outputdir",
                "out",
                "--logtitle",
                "Task log",
                "--task",
                "Produce Output",
                ".",
            ),
        ),
    ],
)
def test_each_form_of_a_task_becomes_a_command(
    task: dict[str, Any], command: tuple[str, ...]
) -> None:
    assert robot(tasks={"T": task}, artifactsDir="out").commands() == [command]


@pytest.mark.parametrize(
    "tasks",
    [
        None,
        {},
        [],
        {"T": None},
        {"T": {}},
        {"T": {"shell": "a", "command": ["b"]}},
        {"T": {"shell": "'open"}},
        {"T": {"shell": 5}},
        {"T": {"command": "text"}},
        {"T": {"command": [1]}},
        {"T": {"command": []}},
        {"a": {"shell": "x"}, "A ": {"shell": "y"}},
        {" ": {"shell": "x"}},
    ],
)
def test_tasks_that_are_none_are_refused(tasks: object) -> None:
    assert refusal(tasks=tasks).code in {"no_tasks", "bad_task", "bad_command"}


def test_a_task_is_found_whatever_its_case() -> None:
    several = robot(
        tasks={"First One": {"shell": "a"}, "second": {"shell": "b"}},
        devTasks={"third": {"shell": "c"}},
    )
    assert several.task(" FIRST one ") == "First One"
    assert robot().task() == robot().task("") == "Run it"
    for name in (None, "third"):
        with pytest.raises(TaskNotFound, match="First One, second"):
            several.task(name)


def test_pre_run_scripts_come_first_and_only_those_for_this_system() -> None:
    scripts = [
        "setup_windows.bat",
        "setup_linux.sh -v",
        "bin/prepare.py x",
        "prepare_linux_arm64.sh",
        "python -m prepare",
        "bin/tool",
        "darwin.sh",
    ]
    manifest = robot(
        preRunScripts=scripts, files={"setup_linux.sh": "", "bin/prepare.py": "", "bin/tool": ""}
    )
    assert manifest.commands()[:-1] == [
        ("bash", "setup_linux.sh", "-v"),
        ("/env/bin/python", "bin/prepare.py", "x"),
        ("/env/bin/python", "-m", "prepare"),
        ("/work/bin/tool",),
    ]


def test_search_paths_become_absolute() -> None:
    manifest = robot(PATH=[".", "bin"], PYTHONPATH=["lib\\more", "."])
    assert manifest.search_paths() == (["/work", "/work/bin"], ["/work/lib/more", "/work"])


@pytest.mark.parametrize(
    "keys",
    [
        {"artifactsDir": "../x"},
        {"artifactsDir": "/x"},
        {"artifactsDir": "."},
        {"PATH": ["/usr"]},
        {"PYTHONPATH": ["a/../../b"]},
        {"PATH": "bin"},
        {"artifactsDir": ["x"]},
        {"environmentConfigs": ["../conda.yaml"]},
        {"condaConfigFile": "missing.yaml"},
    ],
)
def test_paths_out_of_the_robot_are_refused(keys: dict[str, Any]) -> None:
    assert refusal(**keys).code in {"bad_path", "bad_value", "missing_file"}


CONDA = "dependencies:\n  - python=3.10.12\n  - pip:\n    - requests==2.31.0\n"


@pytest.mark.parametrize(
    ("configs", "chosen"),
    [
        (
            [
                "environment_windows_amd64_freeze.yaml",
                "environment_linux_amd64_freeze.yaml",
                "conda.yaml",
            ],
            "frozen==1",
        ),
        (
            ["environment_windows_amd64_freeze.yaml", "missing.yaml", "conda.yaml"],
            "requests==2.31.0",
        ),
        (["my_freeze.yaml", "conda.yaml"], "requests==2.31.0"),
    ],
)
def test_the_first_environment_for_this_machine_wins(
    configs: list[str], chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conventions, "_MACHINE", "amd64")
    frozen = "dependencies:\n  - pip:\n    - frozen==1\n"
    names = [
        "environment_windows_amd64_freeze.yaml",
        "environment_linux_amd64_freeze.yaml",
        "my_freeze.yaml",
    ]
    environment = robot(
        environmentConfigs=configs, files={"conda.yaml": CONDA, **dict.fromkeys(names, frozen)}
    ).environment
    assert environment is not None
    assert environment.requirements == (chosen,)


def test_the_deprecated_key_names_the_environment_too() -> None:
    environment = robot(condaConfigFile="conda.yaml", files={"conda.yaml": CONDA}).environment
    assert environment is not None
    assert (environment.requirements, environment.python, environment.cutoff) == (
        ("requests==2.31.0",),
        "3.10",
        TODAY,
    )


def test_without_any_environment_the_machines_python_runs_it() -> None:
    manifest = robot(environmentConfigs=["missing.yaml"])
    assert manifest.environment is None
    assert "missing.yaml" in manifest.warnings[0]


WARNED = """
channels: [weird]
rccPostInstall: [rfbrowser init]
dependencies: [python=2.7, poppler=1]
"""
WARNINGS = ("poppler", "weird", "rccPostInstall", "Python 2.7")


@pytest.mark.parametrize("named", [{}, {"environmentConfigs": ["conda.yaml"]}])
def test_what_cannot_be_installed_is_said_also_if_nothing_is_left(named: dict[str, Any]) -> None:
    manifest = robot(**named, files={"conda.yaml": WARNED})
    assert manifest.environment is None
    assert len(manifest.warnings) == len(WARNINGS)
    assert all(word in said for word, said in zip(WARNINGS, manifest.warnings, strict=True)), (
        manifest.warnings
    )


def test_every_file_that_is_passed_over_has_its_say() -> None:
    manifest = robot(files={"conda.yaml": WARNED, "requirements.txt": "requests\n"})
    assert manifest.environment is not None
    assert (manifest.environment.requirements, manifest.environment.python) == (
        ("requests",),
        "2.7",
    )
    assert len(manifest.warnings) == 3


@pytest.mark.parametrize(
    ("files", "warned"),
    [
        ({"a.py": '# /// script\n# requires-python = ">=3.99"\n# ///\n'}, True),
        ({"a.py": '# /// script\n# requires-python = ">=3.8"\n# ///\n'}, False),
        ({"a.py": "", "pyproject.toml": '[project]\nrequires-python = "<3"\n'}, True),
        ({"a.py": "", "conda.yaml": "dependencies: [python=3.99]\n"}, True),
        ({"a.py": "", "conda.yaml": f"dependencies: [python={HERE}]\n"}, False),
        (
            {
                "a.py": "@action\ndef f(): pass\n",
                "package.yaml": "dependencies: {conda-forge: [python=3.99]}\n",
            },
            True,
        ),
    ],
)
def test_a_python_that_is_not_given_is_said(files: dict[str, str | bytes], warned: bool) -> None:
    assert any("Python" in each for each in read(files).warnings) is warned


def test_a_suite_without_an_environment_gets_robot_framework() -> None:
    assert robot(tasks={"T": {"robotTaskName": "X"}}).environment == ROBOT_FRAMEWORK
    suite = read({"orders.robot": ""})
    assert (suite.kind, suite.environment, suite.task()) == (Kind.SUITE, ROBOT_FRAMEWORK, "orders")
    assert suite.commands()[0][-1] == "orders.robot"
    assert (
        read({"suites/a.robot": "", "suites/b.robot": "", "lib/x.py": ""}).commands()[0][-1] == "."
    )


@pytest.mark.parametrize(
    "manifest",
    [
        robot(rpa=EXTENSION, files={"conda.yaml": CONDA}),
        read({"a.robot": ""}),
        read({"invoice.py": SCRIPT}),
        robot(tasks={"z": {"shell": "a"}, "a": {"shell": "b"}}, preRunScripts=["x"], PATH=["bin"]),
    ],
)
def test_a_manifest_survives_being_stored(manifest: Manifest) -> None:
    stored = json.loads(json.dumps(manifest.to_json(), sort_keys=True))
    restored = Manifest.from_json(stored)
    assert restored == manifest
    assert list(restored.tasks) == list(manifest.tasks)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=12,
)
keys = [
    "tasks",
    "artifactsDir",
    "PATH",
    "PYTHONPATH",
    "preRunScripts",
    "environmentConfigs",
    "condaConfigFile",
    "rpa",
]


@given(st.dictionaries(st.sampled_from(keys), anything), st.booleans())
def test_any_robot_yaml_is_read_or_refused(document: dict[str, Any], with_tasks: bool) -> None:
    if with_tasks:
        document["tasks"] = TASKS
    try:
        manifest = read(
            {"robot.yaml": yaml.safe_dump(document, allow_unicode=True).encode("utf-8", "replace")}
        )
    except PackageRefused:
        return
    assert Manifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest
