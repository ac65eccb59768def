"""`manage.py run`: what it refuses, what it requests, and what following a run shows."""

import zipfile
from io import BytesIO, StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.models import User
from executions.choices import Origin, Status
from executions.models import Execution
from robots import services
from robots.models import Robot
from spaces.models import Space, SpaceRole
from tests.commands.calling import called
from tests.factories import make_robot, make_space, owner_of

pytestmark = pytest.mark.django_db(transaction=True)

TALKATIVE = """
import pathlib, sys, rpa
print("to stdout")
print("to stderr", file=sys.stderr)
with rpa.step("Fetch"):
    rpa.progress(50, "half")
pathlib.Path("output/report.txt").write_text("fine")
rpa.result({"total": 3, "who": "张"})
"""


def requested(*arguments: str, user: str = "alice") -> Execution:
    return Execution.objects.get(uid=called("run", *arguments, "--user", user).strip())


def followed(name: str, *arguments: str) -> tuple[int, str, str]:
    """The exit code and both outputs of a run that this process carries out."""
    out, err = StringIO(), StringIO()
    with pytest.raises(SystemExit) as left:
        call_command("run", name, "--follow", "--user", "alice", *arguments, stdout=out, stderr=err)
    assert isinstance(left.value.code, int)
    return left.value.code, out.getvalue(), err.getvalue()


def packed(space: Space, name: str, manifest: str, **files: str) -> Robot:
    """A robot with a manifest of its own."""
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("robot.yaml", manifest)
        for stem, text in files.items():
            archive.writestr(f"{stem}.py", text)
    file.seek(0)
    robot, _version = services.create_and_publish(
        space=space, name=name, file=file, file_name=f"{name}.zip", by=owner_of(space)
    )
    return robot


@pytest.fixture
def strict(space: Space) -> Robot:
    """It has two tasks, and parameters that it insists on."""
    return packed(
        space,
        "strict",
        """
tasks:
  Add: {shell: python add.py}
  Fail: {shell: python fail.py}
artifactsDir: output
rpa:
  parameters:
    type: object
    required: [count]
    additionalProperties: false
    properties:
      count: {type: integer, minimum: 1}
      name: {type: string}
""",
        add="import rpa; print(rpa.params())",
        fail="raise SystemExit(7)",
    )


# Requests ----------------------------------------------------------------------------------------


def test_a_request_is_queued_for_the_user(robot: Robot) -> None:
    for name in (robot.name, str(robot.uid)):
        run = requested(name, "-p", "n=1", "-p", "text=one two", "-p", 'deep={"a": [1, null]}')
        assert run.robot == robot
        assert run.params == {"n": 1, "text": "one two", "deep": {"a": [1, None]}}
        assert (run.status, run.origin) == (Status.PENDING, Origin.COMMAND)
        assert run.requested_by.username == "alice"


def test_a_value_may_hold_anything(robot: Robot) -> None:
    run = requested(robot.name, "-p", "a=b=c", "-p", "empty=", "-p", 'quoted="3"', "-p", "a=last")
    assert run.params == {"a": "last", "empty": "", "quoted": "3"}


def test_a_task_and_a_time_limit_may_be_given(strict: Robot) -> None:
    run = requested("strict", "--task", "Fail", "--timeout", "60", "-p", "count=1")
    assert (run.task, run.timeout_seconds) == ("Fail", 60)


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        (["nobody's"], "alice sees no robot named nobody's."),
        (["00000000-0000-0000-0000-000000000000"], "alice sees no robot named 00000000"),
        (["strict", "-p", "count"], "-p count: write it as KEY=VALUE."),
        (["strict", "-p", "=1"], "-p =1: write it as KEY=VALUE."),
        (["strict", "--task", "Add"], "The parameters do not fit: .*count"),
        (["strict", "--task", "Add", "-p", "count=many"], "The parameters do not fit: count: "),
        (["strict", "--task", "Add", "-p", "count=0"], "The parameters do not fit: count: "),
        (["strict", "--task", "Add", "-p", "count=1", "-p", "x=1"], "do not fit: .*x"),
        (["strict", "--task", "Sing", "-p", "count=1"], "Sing"),
        (["strict", "--task", "Add", "-p", "count=1", "--timeout", "-5"], "1 to 86400 seconds"),
        (["strict", "--task", "Add", "-p", "count=1", "--timeout", "0"], "1 to 86400 seconds"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    strict: Robot, arguments: list[str], refusal: str
) -> None:
    with pytest.raises(CommandError, match=refusal):
        requested(*arguments)
    assert not Execution.objects.exists()


def test_two_robots_of_one_name_need_an_id(robot: Robot, people: dict[str, User]) -> None:
    twin = make_robot(make_space("Second", {people["alice"]: SpaceRole.OWNER}), robot.name)
    with pytest.raises(
        CommandError, match=r"Several robots are named greeter: use the id of one\."
    ):
        requested(robot.name)
    assert requested(str(twin.uid)).robot == twin


def test_a_stranger_sees_no_robot(robot: Robot) -> None:
    for name in (robot.name, str(robot.uid)):
        with pytest.raises(CommandError, match="charlie sees no robot named"):
            requested(name, user="charlie")


def test_a_robot_at_rest_is_not_run(robot: Robot) -> None:
    Robot.objects.update(enabled_version=None)
    with pytest.raises(CommandError, match="greeter has no enabled version"):
        requested(robot.name)


# Following ---------------------------------------------------------------------------------------


def test_following_shows_everything_where_it_belongs(space: Space) -> None:
    make_robot(space, "talkative", TALKATIVE)
    code, out, err = followed("talkative")
    assert (code, out) == (0, "to stdout\n")
    lines = err.splitlines()
    assert "to stderr" in lines
    assert "[step] Fetch: passed" in lines
    assert "[50 %] half" in lines
    assert "[artifact] report.txt (4 bytes)" in lines
    assert '[result] {"total": 3, "who": "张"}' in lines
    # Nothing is said of a run that went well.
    assert len(lines) == 5


@pytest.mark.parametrize(
    ("source", "code", "why"),
    [
        ("raise SystemExit(7)", 7, "Failed: The robot ended with exit code 7."),
        ("raise ValueError('no invoice')", 1, "Failed: ValueError: no invoice"),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
            139,
            "Failed: The robot was killed by SIGSEGV.",
        ),
    ],
)
def test_a_failed_run_gives_its_exit_code_and_its_reason(
    space: Space, source: str, code: int, why: str
) -> None:
    make_robot(space, "failing", source)
    ended, out, err = followed("failing")
    assert (ended, out) == (code, "")
    assert err.splitlines()[-1] == why


def test_a_run_out_of_time_is_a_failure(space: Space) -> None:
    make_robot(space, "slow", "import time; time.sleep(99)")
    code, _out, err = followed("slow", "--timeout", "1")
    assert code != 0
    assert err.splitlines()[-1] == "Failed: It ran longer than 1 seconds."


def test_the_chosen_task_is_the_one_that_runs(strict: Robot) -> None:
    assert followed("strict", "--task", "Fail", "-p", "count=1")[0] == 7
    code, out, _err = followed("strict", "--task", "Add", "-p", "count=2", "-p", "name=Zoë")
    assert (code, out) == (0, "{'count': 2, 'name': 'Zoë'}\n")


def test_many_lines_come_in_order(space: Space) -> None:
    make_robot(space, "counter", "for n in range(20_000): print(n)")
    code, out, _err = followed("counter")
    assert code == 0
    assert out.splitlines() == [str(number) for number in range(20_000)]


def test_a_refused_run_is_not_followed(strict: Robot) -> None:
    with pytest.raises(CommandError, match="The parameters do not fit"):
        called("run", "strict", "--follow", "--user", "alice", "--task", "Add")
    assert not Execution.objects.exists()
