"""What a robot can tell the platform, and what is seen of robots that know nothing of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from executions import robot_env
from tests.support.conftest import Machine

WriteRobot = Callable[[dict[str, str]], Path]
YAML = "tasks:\n  Run:\n    shell: python main.py\nartifactsDir: output\n"


def with_task(command: str, more: str = "") -> str:
    return f"tasks:\n  Run:\n    shell: {command}\nartifactsDir: output\n{more}"


SDK = """
import threading
import rpa

with rpa.step("outer"):
    with rpa.step("inner"):
        print("between", end="")
    thread = threading.Thread(target=lambda: rpa.step("alone").__enter__())
    thread.start()
    thread.join()
try:
    with rpa.step("fails"):
        raise ValueError("no luck")
except ValueError:
    pass
rpa.progress(150, "x" * 5000)
rpa.result({"umlaut": "\\u00e4", "bell": "\\x07"})
print(rpa.params()["n"])
rpa.artifact(b"data", "sub/data.bin")
rpa.artifact("main.py")
for wrong in ("../x", "/etc/x", ".", ""):
    try:
        rpa.artifact(b"x", wrong)
    except ValueError as error:
        print("refused")
"""


def test_the_sdk_says_what_happens(machine: Machine, robot: WriteRobot) -> None:
    run = machine.run(robot({"robot.yaml": YAML, "main.py": SDK}), {"n": 7})
    assert run.exit_code == 0, run.text
    assert run.text == "between7\n" + "refused\n" * 4
    ids = {each["name"]: each["id"] for each in run.said("step")}
    parents = {each["name"]: each["parent"] for each in run.said("step")}
    assert parents == {"outer": None, "inner": ids["outer"], "alone": None, "fails": None}
    assert run.steps()[-1] == ("fails", "step", "failed")
    assert run.said("step")[-1]["message"] == "ValueError: no luck"
    assert run.said("progress") == [{"kind": "progress", "percent": 100.0, "message": "x" * 2000}]
    assert run.result == {"umlaut": "\u00e4", "bell": "\x07"}
    assert (run.artifacts["sub/data.bin"], run.artifacts["main.py"].decode()) == (b"data", SDK)


def test_messages_keep_their_place_between_the_lines(machine: Machine, robot: WriteRobot) -> None:
    source = "import rpa\nfor n in range(3):\n    print('line', n)\n    rpa.progress(n)\n"
    seen = bytearray()

    def keep(_process: object, so_far: bytes) -> None:
        seen[:] = so_far

    machine.run(robot({"robot.yaml": YAML, "main.py": source}), say=keep)
    assert [part.partition(b"\x07")[2] for part in bytes(seen).split(b"\x1b]7313;")[1:]] == [
        b"line 1\n",
        b"line 2\n",
        b"",
    ]


def test_a_large_result_goes_by_file(machine: Machine, robot: WriteRobot) -> None:
    run = machine.run(
        robot({"robot.yaml": YAML, "main.py": "import rpa\nrpa.result(['x' * 70_000])\n"})
    )
    assert run.said("result") == []
    assert run.said("result_file") == [{"kind": "result_file"}]
    assert json.loads(run.artifacts["result.json"]) == ["x" * 70_000]


def test_away_from_the_platform_the_sdk_is_silent(tmp_path: Path) -> None:
    source = "import rpa\nwith rpa.step('a'): rpa.progress(5)\nrpa.result(1)\nprint(rpa.params())\nrpa.artifact(b'x', 'a.txt')\n"
    env = {"PYTHONPATH": str(robot_env.SUPPORT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", source],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert (done.stdout, done.stderr) == ("{}\n", "")
    assert (tmp_path / "output" / "a.txt").read_text() == "x"


def test_work_items_wait_in_a_file(machine: Machine, robot: WriteRobot) -> None:
    source = "import json, os, sys\nfor name in ('RC_WORKITEM_INPUT_PATH', 'RPA_INPUT_WORKITEM_PATH'):\n    print(json.load(open(os.environ[name])))\nprint('RC_PROCESS_RUN_ID' in os.environ)\nprint(sys.executable)"
    run = machine.run(robot({"robot.yaml": YAML, "main.py": source}), {"n": 7})
    assert run.text.splitlines() == ["[{'payload': {'n': 7}, 'files': {}}]"] * 2 + [
        "False",
        "/usr/bin/python3",
    ]


def test_pre_run_scripts_run_first_and_can_abort(machine: Machine, robot: WriteRobot) -> None:
    more = "preRunScripts: [prepare.sh]\nPATH: [bin]\n"
    files = {
        "robot.yaml": with_task("python main.py", more),
        "prepare.sh": "#!/bin/sh\necho prepared > made.txt\n",
        "main.py": "print(open('made.txt').read())",
    }
    assert machine.run(robot(files)).text == "prepared\n\n"
    run = machine.run(robot({**files, "prepare.sh": "echo no; exit 3"}))
    assert (run.exit_code, run.text) == (3, "no\n")


ROBOCORP = """
from robocorp import log
from robocorp.tasks import task

def add(password):
    return len(password)

@task
def count_orders():
    with log.suppress_variables():
        add("geheim")
    for _ in range(3):
        add("geheim")

@task
def broken():
    add("geheim")
    raise RuntimeError("no luck")
"""
ROBOCORP_ENVIRONMENT = "environmentConfigs: [conda.yaml]\n"
CONDA = "dependencies:\n  - python=3.11\n  - pip:\n    - robocorp-tasks==4.1.1\n"


@pytest.mark.parametrize(
    ("task", "code", "state"), [("count_orders", 0, "passed"), ("broken", 1, "failed")]
)
def test_robocorp_tasks_show_steps_unchanged(
    machine: Machine, robot: WriteRobot, task: str, code: int, state: str
) -> None:
    command = f"python -m robocorp.tasks run tasks.py -t {task}"
    run = machine.run(
        robot(
            {
                "robot.yaml": with_task(command, ROBOCORP_ENVIRONMENT),
                "tasks.py": ROBOCORP,
                "conda.yaml": CONDA,
            }
        )
    )
    assert run.exit_code == code, run.text
    assert run.steps()[0] == (task, "task", "started")
    assert run.steps()[-1] == (task, "task", state)
    assert ("add", "step", "passed") in run.steps()
    assert "geheim" not in json.dumps(run.messages)
    assert "log.html" in run.artifacts
    open_steps = {each["id"] for each in run.said("step")} - {
        each["id"] for each in run.said("step") if each["state"] != "started"
    }
    assert not open_steps


def test_so_many_robocorp_steps_are_cut_short(machine: Machine, robot: WriteRobot) -> None:
    source = "from robocorp.tasks import task\ndef f(n): return n\n@task\ndef many():\n    for n in range(1500): f(n)\n"
    command = "python -m robocorp.tasks run tasks.py"
    run = machine.run(
        robot(
            {
                "robot.yaml": with_task(command, ROBOCORP_ENVIRONMENT),
                "tasks.py": source,
                "conda.yaml": CONDA,
            }
        )
    )
    assert run.steps()[-1] == ("many", "task", "passed")
    assert len(run.steps()) == 2 + 2 * 1000 + 2
    assert [state for name, _type, state in run.steps() if name.startswith("Not every step")] == [
        "started",
        "skipped",
    ]


SUITE = """
*** Settings ***
Library    Probe.py

*** Variables ***
${customer}    nobody
${lines}       3

*** Tasks ***
Greet
    Log To Console    customer=${customer} lines=${lines} all=${PARAMS}[customer]
    FOR    ${n}    IN RANGE    2
        My Word    geheim
    END
    Probe

Break
    Fail    it is broken

*** Keywords ***
My Word
    [Arguments]    ${word}
    Log    ${word}
"""
PROBE = "import rpa\n\ndef probe():\n    with rpa.step('inside'):\n        pass\n"


@pytest.mark.parametrize("version", ["4.1.3", "6.1.1", "7.5"])
def test_suites_show_steps_unchanged(machine: Machine, robot: WriteRobot, version: str) -> None:
    files = {
        "robot.yaml": with_task("python -m robot -d output suite.robot"),
        "suite.robot": SUITE,
        "Probe.py": PROBE,
        "requirements.txt": f"robotframework=={version}",
    }
    run = machine.run(robot(files), {"customer": "Acme", "odd } name": 1})
    assert run.exit_code == 1, run.text
    assert "customer=Acme lines=3 all=Acme" in run.text
    ended = [step for step in run.steps() if step[2] != "started"]
    assert ended == [
        ("Log To Console", "keyword", "passed"),
        ("Log", "keyword", "passed"),
        ("My Word", "keyword", "passed"),
        ("Log", "keyword", "passed"),
        ("My Word", "keyword", "passed"),
        ("inside", "step", "passed"),
        ("Probe", "keyword", "passed"),
        ("Greet", "task", "passed"),
        ("Fail", "keyword", "failed"),
        ("Break", "task", "failed"),
        ("Suite", "suite", "failed"),
    ]
    ids = {each["id"]: each["name"] for each in run.said("step")}
    parents = {each["name"]: ids.get(each["parent"]) for each in run.said("step")}
    assert (parents["inside"], parents["Log"], parents["Greet"], parents["Suite"]) == (
        "Probe",
        "My Word",
        "Suite",
        None,
    )
    assert "geheim" not in json.dumps(run.messages)


def test_so_many_keywords_are_cut_short(machine: Machine, robot: WriteRobot) -> None:
    suite = "*** Test Cases ***\nMany\n    FOR    ${n}    IN RANGE    1500\n        No Operation\n    END\n"
    run = machine.run(robot({"many.robot": suite}))
    assert run.steps()[-2:] == [("Many", "test", "passed"), ("Many", "suite", "passed")]
    assert sum(name.startswith("Not every step") for name, _type, _state in run.steps()) == 2
    assert len(run.steps()) == 2 * 1000 + 6


def test_a_robots_own_module_named_rpa_does_not_matter(machine: Machine, robot: WriteRobot) -> None:
    own = "print('the own one')\n"
    suite = "*** Test Cases ***\nOne\n    No Operation\n"
    run = machine.run(
        robot(
            {
                "robot.yaml": with_task("python -m robot -d output x.robot", "PYTHONPATH: ['.']\n"),
                "rpa.py": own,
                "x.robot": suite,
            }
        )
    )
    assert run.exit_code == 0, run.text
    assert "the own one" not in run.text
    assert ("One", "test", "passed") in run.steps()


def test_the_hook_keeps_out_of_the_way(tmp_path: Path) -> None:
    """The environment's own sitecustomize still runs, and other imports are as they were."""
    (tmp_path / "sitecustomize.py").write_text("print('the next one')\n")
    env = {
        "PYTHONPATH": f"{robot_env.SUPPORT}{os.pathsep}{tmp_path}",
        "RPA_EXECUTION_ID": "x",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import site; site.main(); import json; print(json.dumps(1))"],
        env=env,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert (done.stdout, done.stderr) == ("the next one\n1\n", "")
