"""Whole runs: a robot in its sandbox, from the request to the last event."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from accounts.actors import Actor
from executions import services
from executions.choices import FailureReason, Origin, Status
from executions.events import read_page
from executions.models import Execution
from robots.services import create_and_publish
from spaces.models import Space
from tests.factories import make_execution, make_robot, owner_of
from tests.robots.zips import ROBOT_YAML, packed

pytestmark = pytest.mark.django_db(transaction=True)
Finished = Callable[[Execution], Execution]


def events_of(execution: Execution, kind: str = "") -> list[dict[str, Any]]:
    frames = [
        json.loads(each.text) for each in read_page(execution.pk, after=0, size=2**30, count=10**6)
    ]
    return [each for each in frames if kind in ("", each["kind"])]


def lines_of(execution: Execution, stream: str = "stdout") -> list[str]:
    logs = [each["data"] for each in events_of(execution, "log")]
    return [line for data in logs if data["stream"] == stream for line in data["lines"]]


def run(space: Space, source: str, finished: Finished, **wanted: Any) -> Execution:
    return finished(make_execution(make_robot(space, source=source), **wanted))


def test_a_run_is_one_stream_from_pending_to_its_end(space: Space, finished: Finished) -> None:
    execution = run(space, 'print("one")\nprint("two")\n', finished)
    assert [each["seq"] for each in events_of(execution)] == [1, 2, 3, 4]
    statuses = [each["data"]["status"] for each in events_of(execution, "status")]
    assert statuses == ["PENDING", "RUNNING", "COMPLETED"]
    assert lines_of(execution) == ["one", "two"]
    assert (execution.status, execution.exit_code) == (Status.COMPLETED, 0)
    assert execution.started_at is not None
    assert execution.finished_at is not None


def test_every_line_arrives_once_and_in_order(space: Space, finished: Finished) -> None:
    execution = run(space, "for i in range(50_000): print(i)\n", finished)
    assert lines_of(execution) == [str(i) for i in range(50_000)]
    first_lines = [each["data"]["first_line"] for each in events_of(execution, "log")]
    assert first_lines[0] == 1
    assert first_lines == sorted(set(first_lines))


@pytest.mark.parametrize(
    ("source", "result"),
    [
        ("import rpa; rpa.result({'total': 3})", {"total": 3}),
        ("print('::result {\"total\": 4}')", {"total": 4}),
        ("open('result.json', 'w').write('{\"total\": 5}')", {"total": 5}),
        ("open('output/result.json', 'w').write('[6]')", [6]),
        ("import rpa; rpa.result(1); print('::result 2')", 1),
        ("import rpa; rpa.result(1); rpa.result('b' * 70_000)", "b" * 70_000),
        ("import rpa; rpa.result('b' * 70_000); rpa.result(2)", 2),
        (
            "import rpa; open('result.json', 'w').write('7'); rpa.result('b' * 70_000)",
            "b" * 70_000,
        ),
        ("print('::result {oops')", None),
        ("print('::result 1'); print('not last')", None),
        ("open('result.json', 'w').write('NaN')", None),
    ],
)
def test_a_result_comes_by_sdk_then_last_line_then_file(
    space: Space, finished: Finished, source: str, result: Any
) -> None:
    execution = run(space, source, finished)
    assert execution.status == Status.COMPLETED
    assert execution.result == result


@pytest.mark.parametrize(
    ("source", "result", "said"),
    [
        ("import json\nprint('::result ' + json.dumps({'x': 'a' * 20_000}))", 20_008 + 1, []),
        (
            "print('::result {nope}')",
            None,
            [
                "The last line of the output is not the result: It is not valid JSON (line 1, column 2)."
            ],
        ),
        (
            "print('::result \"' + 'a' * 2**20 + '\"')",
            None,
            ["The last line of the output is not the result: It has more than 1 MiB."],
        ),
        (
            "open('result.json', 'w').write('\"' + 'a' * 2**20 + '\"')",
            None,
            ["result.json is not the result: It has more than 1 MiB."],
        ),
        ("print('::result {nope}'); open('result.json', 'w').write('[5]')", 3, None),
    ],
)
def test_a_result_comes_whole_or_is_said_to_be_none(
    space: Space, finished: Finished, source: str, result: int | None, said: list[str] | None
) -> None:
    """`result` is how long it is as JSON."""
    execution = run(space, source, finished)
    given = execution.result
    assert (None if given is None else len(json.dumps(given))) == result
    notices = [each["data"] for each in events_of(execution, "notice")]
    assert {each["code"] for each in notices} <= {"bad_result"}
    if said is not None:
        assert [each["message"] for each in notices] == said


def test_parameters_reach_the_robot(space: Space, finished: Finished) -> None:
    source = "import rpa; rpa.result(rpa.params())"
    params = {"name": "Zoë 张", "count": 3, "nested": {"a": [1, None]}}
    assert run(space, source, finished, params=params).result == params


def test_an_error_is_told_with_its_last_words(space: Space, finished: Finished) -> None:
    execution = run(space, "raise ValueError('no invoice')", finished)
    assert (execution.status, execution.failure_reason) == (Status.FAILED, FailureReason.ERROR)
    assert execution.message == "ValueError: no invoice"
    assert execution.exit_code == 1


def test_progress_and_steps_keep_their_place_between_lines(
    space: Space, finished: Finished
) -> None:
    source = """
import rpa
print("before")
with rpa.step("Fetch"):
    print("inside")
    rpa.progress(50, "half")
print("after")
"""
    execution = run(space, source, finished)
    kinds = [
        each["data"].get("lines") or each["data"].get("state") or each["data"].get("percent")
        for each in events_of(execution)
        if each["kind"] in ("log", "step", "progress")
    ]
    assert kinds == [["before"], "started", ["inside"], 50.0, "passed", ["after"]]
    assert execution.progress == 50.0


def test_artifacts_are_kept_and_links_are_not(space: Space, finished: Finished) -> None:
    source = """
import os, pathlib
out = pathlib.Path("output")
(out / "report.txt").write_text("fine")
(out / "deep").mkdir()
(out / "deep" / "data.csv").write_text("a,b")
os.symlink("/etc/passwd", out / "stolen")
os.link(out / "report.txt", out / "twin")
"""
    execution = run(space, source, finished)
    assert execution.status == Status.COMPLETED, execution.message
    assert {each.name for each in execution.artifacts.all()} == {"deep/data.csv"}
    notices = [each["data"]["message"] for each in events_of(execution, "notice")]
    assert any("stolen was not kept: it is a link" in each for each in notices)
    assert any("twin was not kept: it has a second name" in each for each in notices)
    names = [each["data"]["name"] for each in events_of(execution, "artifact")]
    assert names == ["deep/data.csv"]


PACKAGED = {
    "result.json": b'{"stale": 1}',
    "output/old.txt": b"old",
    "output/again.txt": b"again",
    "output/kept.txt": b"kept",
    "output/result.json": b'{"stale": 2}',
}


@pytest.mark.parametrize(
    ("source", "result", "artifacts"),
    [
        ("print(1)", None, set()),
        ("open('output/again.txt', 'w').write('again')", None, {"again.txt"}),
        ("import rpa; rpa.artifact('output/kept.txt')", None, {"kept.txt"}),
        ("open('result.json', 'w').write('{\"stale\": 1}')", {"stale": 1}, set()),
        ("open('output/result.json', 'w').write('[3]')", [3], {"result.json"}),
        ("import rpa; rpa.result('b' * 70_000)", "b" * 70_000, {"result.json"}),
    ],
)
def test_what_the_package_brought_along_is_no_outcome_of_the_run(
    space: Space, finished: Finished, source: str, result: Any, artifacts: set[str]
) -> None:
    members = {"robot.yaml": ROBOT_YAML, "main.py": source.encode(), **PACKAGED}
    package = packed(*members.items())
    robot, _version = create_and_publish(
        space=space, name="old", file=package, file_name="old.zip", by=owner_of(space)
    )
    execution = finished(make_execution(robot))
    assert execution.status == Status.COMPLETED, execution.message
    assert execution.result == result
    assert {each.name for each in execution.artifacts.all()} == artifacts
    assert events_of(execution, "notice") == []


def test_a_program_runs_though_its_packer_knew_no_executable_bit(
    space: Space, finished: Finished
) -> None:
    document = b"tasks: {A: {shell: greet you}}\nartifactsDir: output\nPATH: [bin]\n"
    package = packed(("robot.yaml", document), ("bin/greet", b"#!/bin/sh\necho hello $1\n"))
    robot, _version = create_and_publish(
        space=space, name="greet", file=package, file_name="greet.zip", by=owner_of(space)
    )
    assert lines_of(finished(make_execution(robot))) == ["hello you"]


def test_a_run_over_its_time_limit_fails_as_timeout(space: Space, finished: Finished) -> None:
    source = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(99)"
    execution = run(space, source, finished, timeout_seconds=1)
    assert execution.failure_reason == FailureReason.TIMEOUT
    assert execution.message == "It ran longer than 1 seconds."


def test_cancelling_is_polite_first(space: Space, engine: Any) -> None:
    from tests.conftest import wait_for_end
    from tests.executions.waiting import wait_for_line

    source = """
import signal, sys, time
def leave(*_):
    print("leaving")
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
print("ready")
time.sleep(99)
"""
    execution = make_execution(make_robot(space, source=source))
    wait_for_line(execution, "ready")
    ended = services.cancel_execution(execution, by=Actor(execution.requested_by))
    assert not ended
    execution = wait_for_end(execution)
    assert execution.status == Status.CANCELLED
    assert lines_of(execution) == ["ready", "leaving"]
    assert execution.message == "Cancelled by alice."


def test_a_waiting_run_is_cancelled_at_once(execution: Execution) -> None:
    assert services.cancel_execution(execution, by=Actor(execution.requested_by))
    assert execution.status == Status.CANCELLED
    with pytest.raises(services.lifecycle.WrongMoment):
        services.cancel_execution(execution, by=Actor(execution.requested_by))


def test_a_rerun_repeats_the_parameters_or_changes_them(space: Space, finished: Finished) -> None:
    source = "import rpa; rpa.result(rpa.params())"
    first = run(space, source, finished, params={"n": 1})
    by = Actor(first.requested_by)
    again = services.rerun_execution(first, by=by, origin=Origin.API).execution
    other = services.rerun_execution(first, by=by, origin=Origin.API, params={"n": 2}).execution
    assert finished(again).result == {"n": 1}
    assert finished(other).result == {"n": 2}
    assert again.rerun_of == first


def test_memory_beyond_the_limit_ends_the_run_as_such(space: Space, finished: Finished) -> None:
    execution = run(space, "x = bytearray(3 * 2**30)\nx[::4096] = b'1' * len(x[::4096])", finished)
    assert execution.status == Status.FAILED
    assert execution.failure_reason == FailureReason.OUT_OF_MEMORY


def test_output_over_the_limit_is_counted_not_kept(
    space: Space, finished: Finished, settings: Any
) -> None:
    settings.RPA_LOG_LIMIT_MIB = 1
    source = "for i in range(3000): print(str(i).zfill(1000))"
    execution = run(space, source, finished)
    kept = len(lines_of(execution))
    notices = [each["data"] for each in events_of(execution, "notice")]
    assert [each["code"] for each in notices] == ["log_limited", "log_limited"]
    assert notices[1]["lines"] == 3000 - kept
    assert 1000 < kept < 1100
    assert execution.status == Status.COMPLETED


def test_a_killed_robot_says_by_which_signal(space: Space, finished: Finished) -> None:
    execution = run(space, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", finished)
    assert execution.failure_reason == FailureReason.KILLED
    assert "SIGSEGV" in execution.message
