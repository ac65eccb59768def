"""kill -9 before each statement, and on either side of each commit, of a run's whole life."""

import json
import subprocess
import sys
from collections import Counter

import pytest

from executions import lifecycle, reaper
from executions.choices import TERMINAL, Status
from executions.events import head_of, read_page
from executions.models import Execution, Runner
from robots.models import Robot
from tests.executions.server import ROOT, check_end, environment
from tests.factories import make_execution

pytestmark = pytest.mark.django_db(transaction=True)

#: More than there are points at which to die.
MOST = 80
#: Each run's life in a process of its own, which dies at its point; the last one lives.
LIVES = """
import os, signal, sys
import django
django.setup()
from django.db import connection
from executions import lifecycle
from executions.choices import EventKind, PendingReason, Status
from executions.events import Draft, Source
from executions.models import Runner

def live(number, fatal):
    passed = 0

    def point():
        nonlocal passed
        passed += 1
        if passed == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def executing(execute, *arguments):
        point()
        return execute(*arguments)

    commit = connection._commit
    def committing():
        point()
        commit()
        point()

    connection._commit = committing
    with connection.execute_wrapper(executing):
        runner = Runner.objects.get()
        run, token = lifecycle.claim_next(runner, number)
        lifecycle.explain_wait(run, PendingReason.ENVIRONMENT, Source(token, 0, 1))
        lifecycle.start(run, Source(token, 1, 2))
        said = [
            Draft(EventKind.LOG, {"stream": "stdout"}, ("line",)),
            Draft(EventKind.PROGRESS, {"percent": 50.0, "message": "half"}),
        ]
        lifecycle.record(run.pk, said, Source(token, 2, 4))
        ending = lifecycle.Ending(Status.COMPLETED, exit_code=0)
        result = Draft(EventKind.RESULT, {"value": 3})
        lifecycle.finish(run.pk, ending, drafts=[result], source=Source(token, 4, 6))

died = 0
for fatal, number in enumerate(map(int, sys.argv[1:]), 1):
    child = os.fork()
    if not child:
        live(number, fatal)
        os._exit(0)
    if not os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        break
    died += 1
print(died)
"""


def check_fold(execution: Execution) -> str:
    """The row says what its events say, whatever was being done when it was cut off."""
    execution.refresh_from_db()
    events = [json.loads(each.text) for each in read_page(execution.pk, after=0)]
    head = head_of(execution.pk)
    assert [each["seq"] for each in events] == list(range(1, head.last_seq + 1))
    last = [each["data"] for each in events if each["kind"] == "status"][-1]
    assert execution.status == last["status"]
    assert execution.pending_reason == (last["reason"] if last["status"] == "PENDING" else "")
    assert head.closed == execution.is_terminal
    kinds = {each["kind"] for each in events}
    assert (execution.progress is not None) == ("progress" in kinds) == ("log" in kinds)
    completed = execution.status == Status.COMPLETED
    assert (execution.result is not None) == ("result" in kinds) == completed
    return str(execution.status)


def test_no_instant_is_one_at_which_a_death_breaks_a_run(robot: Robot) -> None:
    runner = Runner.objects.create(host="here", pid=1, slots=1)
    runs = [make_execution(robot) for _ in range(MOST)]
    lives = subprocess.run(
        [sys.executable, "-c", LIVES, *(str(each.pk) for each in runs)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert lives.returncode == 0, lives.stderr
    died = int(lives.stdout)
    assert 20 < died < MOST - 1
    met = Counter(check_fold(each) for each in runs[: died + 1])
    assert set(met) == {Status.PENDING, Status.RUNNING, Status.COMPLETED}
    assert runs[died].status == Status.COMPLETED
    reaper.bury(Runner.objects.filter(pk=runner.pk))
    for each in runs[:died]:
        if check_fold(each) in TERMINAL:
            check_end(each)
        else:
            assert (each.status, each.runner) == (Status.PENDING, None)
    # And whoever comes next can carry out what is left.
    successor = Runner.objects.create(host="there", pid=2, slots=1)
    free = {each.pk for each in runs if not each.is_terminal}
    while claimed := lifecycle.claim_next(successor):
        free.remove(claimed[0].pk)
        lifecycle.start(claimed[0], lifecycle.Source(claimed[1], 0, 1))
    assert not free
