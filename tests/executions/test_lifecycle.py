"""Every move that anybody may try, in any order: only the drawn arrows are ever taken."""

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from django.db import Error, IntegrityError, OperationalError, transaction
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from executions import lifecycle, reaper
from executions.choices import TERMINAL, EventKind, FailureReason, PendingReason, Status
from executions.events import Draft, Source, StreamRefused, head_of, read_page
from executions.lifecycle import Ending, WrongMoment
from executions.models import Execution, ExecutionStream, Runner
from executions.runner.writer import StreamWriter
from robots.models import Robot
from tests.factories import make_execution

pytestmark = pytest.mark.django_db(transaction=True)

ARROWS = {
    Status.PENDING: {Status.RUNNING, Status.CANCELLED, Status.FAILED},
    Status.RUNNING: set(TERMINAL),
}
ENDINGS = st.sampled_from(
    [
        Ending(Status.COMPLETED, exit_code=0, cpu_seconds=0.1, memory_peak=1),
        Ending(Status.FAILED, FailureReason.ERROR, "It broke.", 3),
        Ending(Status.CANCELLED, message="Cancelled by alice."),
    ]
)
SAID = st.sampled_from(
    [
        Draft(EventKind.LOG, {"stream": "stdout"}, ("a line",)),
        Draft(EventKind.PROGRESS, {"percent": 50.0, "message": "half"}),
        Draft(EventKind.PROGRESS, {"percent": 75.0, "message": ""}),
        Draft(EventKind.RESULT, {"value": {"total": 3}}),
    ]
)


class Life(RuleBasedStateMachine):
    """One run, at which a runner, its ghost, a person and a reaper pull."""

    def __init__(self, robot: Robot) -> None:
        super().__init__()
        self.robot = robot
        self.status = Status.PENDING
        self.execution: Execution
        self.runner: Runner | None = None
        self.source = Source("nobody", 0, 0)
        self.ghost = Source("nobody", 0, 0)
        self.cancelled = False
        self.final: Any = None

    @initialize()
    def request(self) -> None:
        self.execution = make_execution(self.robot)

    def ended(self) -> bool:
        return self.status in TERMINAL

    def everything(self) -> tuple[Any, ...]:
        number = self.execution.pk
        rows: Any = (Execution, ExecutionStream)
        frames = read_page(number, after=0, size=2**30, count=10_000)
        return (*(each.objects.filter(pk=number).values().get() for each in rows), frames)

    def attempt(self, deed: Callable[[], Any], *, legal: bool) -> bool:
        """Do it; if it is not legal it must say so and leave no trace."""
        before = self.everything()
        if legal:
            deed()
            return True
        with pytest.raises((WrongMoment, StreamRefused)):
            deed()
        assert self.everything() == before
        return False

    def signed(self, *, ghost: bool, events: int) -> Source:
        by = self.ghost if ghost else self.source
        return Source(by.token, by.end, by.end + events)

    def told(self, source: Source, *, ghost: bool) -> None:
        if not ghost:
            self.source = source

    # The runner ----------------------------------------------------------------------------------

    @rule()
    def claim(self) -> None:
        runner = Runner.objects.create(host="here", pid=1, slots=1)
        claimed = lifecycle.claim_next(runner)
        assert bool(claimed) == (self.status == Status.PENDING and self.runner is None)
        if claimed:
            self.execution, token = claimed
            self.runner, self.ghost, self.source = runner, self.source, Source(token, 0, 0)

    @rule(ghost=st.booleans())
    def start(self, *, ghost: bool) -> None:
        source = self.signed(ghost=ghost, events=1)
        legal = not ghost and self.status == Status.PENDING and self.runner is not None
        if self.attempt(lambda: lifecycle.start(self.execution, source), legal=legal):
            self.status = Status.RUNNING
            self.told(source, ghost=ghost)
            after = self.everything()
            lifecycle.start(self.execution, source)  # its answer was lost: it is sent again
            assert self.everything() == after

    @rule(ghost=st.booleans())
    def explain(self, *, ghost: bool) -> None:
        source = self.signed(ghost=ghost, events=1)
        legal = not ghost and self.status == Status.PENDING and self.runner is not None
        reason = PendingReason.ENVIRONMENT
        if self.attempt(
            lambda: lifecycle.explain_wait(self.execution, reason, source), legal=legal
        ):
            self.told(source, ghost=ghost)

    @rule(drafts=st.lists(SAID, min_size=1, max_size=3), ghost=st.booleans())
    def speak(self, drafts: list[Draft], *, ghost: bool) -> None:
        source = self.signed(ghost=ghost, events=len(drafts))
        legal = not ghost and self.runner is not None and not self.ended()
        number = self.execution.pk
        if self.attempt(lambda: lifecycle.record(number, drafts, source), legal=legal):
            self.told(source, ghost=ghost)

    @rule(
        ending=ENDINGS,
        drafts=st.lists(SAID, max_size=2),
        who=st.sampled_from(["own", "ghost", "platform"]),
    )
    def finish(self, ending: Ending, drafts: list[Draft], who: str) -> None:
        source = None
        if who != "platform":
            source = self.signed(ghost=who == "ghost", events=len(drafts) + 1)
        legal = ending.status in ARROWS.get(self.status, set())
        legal = legal and (who == "platform" or (who == "own" and self.runner is not None))
        number = self.execution.pk

        def end() -> object:
            return lifecycle.finish(number, ending, drafts=drafts, source=source)

        if self.attempt(end, legal=legal):
            self.status = ending.status
            if source is not None:
                self.source = source
                after = self.everything()
                end()
                assert self.everything() == after

    @rule()
    def hand_back(self) -> None:
        moved = lifecycle.release(self.execution)
        assert moved == (self.status == Status.PENDING and self.runner is not None)
        if moved:
            self.runner, self.ghost, self.source = None, self.source, Source("nobody", 0, 0)
            if self.cancelled:
                self.status = Status.CANCELLED

    # The person and the reaper -------------------------------------------------------------------

    @rule()
    def cancel(self) -> None:
        by = self.execution.requested_by
        if self.attempt(
            lambda: lifecycle.request_cancel(self.execution, by=by, at=timezone.now()),
            legal=not self.ended(),
        ):
            self.cancelled = True
            if self.runner is None:
                self.status = Status.CANCELLED

    @rule()
    def runner_dies(self) -> None:
        if self.runner is None:
            return
        settled = reaper.bury(Runner.objects.filter(pk=self.runner.pk))
        assert settled == (not self.ended())
        if self.ended():
            return
        if self.cancelled:
            self.status = Status.CANCELLED
        elif self.status == Status.PENDING:
            self.runner, self.ghost, self.source = None, self.source, Source("nobody", 0, 0)
        else:
            self.status = Status.FAILED

    # What always holds ---------------------------------------------------------------------------

    @invariant()
    def the_row_is_the_fold_of_its_events(self) -> None:
        if not hasattr(self, "execution"):
            return
        row, stream, frames = self.everything()
        events = [json.loads(each.text) for each in frames]
        statuses = [each["data"] for each in events if each["kind"] == "status"]
        path = [Status(each["status"]) for each in statuses]
        assert row["status"] == self.status == path[-1]
        for before, after in pairwise(path):
            assert after in ARROWS[before] or before == after == Status.PENDING
        assert (row["pending_reason"] or row["failure_reason"]) == statuses[-1]["reason"]
        assert row["message"] == statuses[-1]["message"]
        assert row["exit_code"] == statuses[-1].get("exit_code")
        assert stream["closed"] == (row["finished_at"] is not None) == self.ended()
        assert (row["started_at"] is not None) == (Status.RUNNING in path)
        assert not self.ended() or events[-1]["data"] == statuses[-1]
        folded: dict[str, Any] = {"progress": None, "progress_message": "", "result": None}
        for each in events:
            if each["kind"] == "progress":
                folded["progress"] = each["data"]["percent"]
                folded["progress_message"] = each["data"]["message"]
            elif each["kind"] == "result":
                folded["result"] = each["data"]["value"]
        assert {name: row[name] for name in folded} == folded

    @invariant()
    def an_end_is_for_ever(self) -> None:
        if hasattr(self, "execution") and self.ended():
            self.final = self.final or self.everything()
            assert self.everything() == self.final

    def teardown(self) -> None:
        if hasattr(self, "execution") and not self.ended():
            lifecycle.finish(self.execution.pk, Ending(Status.CANCELLED))


def test_only_the_drawn_arrows_are_taken(robot: Robot) -> None:
    run_state_machine_as_test(
        lambda: Life(robot),
        settings=settings(
            max_examples=40,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("to", [Status.PENDING, Status.RUNNING])
def test_an_end_that_is_none_is_refused(execution: Execution, to: Status) -> None:
    with pytest.raises((WrongMoment, IntegrityError)):
        lifecycle.finish(execution.pk, Ending(to))
    execution.refresh_from_db()
    assert execution.status == Status.PENDING
    assert head_of(execution.pk).last_seq == 1


@pytest.mark.parametrize("at", ["start", "line", "end"])
@pytest.mark.parametrize("done", [False, True], ids=["undone", "done"])
def test_a_commit_that_the_database_did_not_answer_is_repeated_without_harm(
    execution: Execution, at: str, *, done: bool
) -> None:
    """Whether the database has it or not, the connection is gone: the writer says it again, and goes on."""
    claimed = lifecycle.claim_next(Runner.objects.create(host="here", pid=1, slots=1))
    assert claimed is not None
    run, token = claimed
    lost: list[str] = []

    def losing(name: str, deed: Callable[[Source], object]) -> Callable[[Source], object]:
        def do(source: Source) -> object:
            answer = deed(source) if done or lost or name != at else None
            if name == at and not lost:
                lost.append(name)
                raise OperationalError("the connection was lost")
            return answer

        return do

    writer = StreamWriter(run.pk, token, log_limit=1000)
    line = Draft(EventKind.LOG, {"stream": "stdout"}, ("hello",))
    writer.commit(1, losing("start", lambda source: lifecycle.start(run, source)))
    writer.commit(1, losing("line", lambda source: lifecycle.record(run.pk, [line], source)))
    ending = Ending(Status.COMPLETED, exit_code=0)
    writer.commit(1, losing("end", lambda source: lifecycle.finish(run.pk, ending, source=source)))
    assert lost == [at]
    execution.refresh_from_db()
    assert execution.status == Status.COMPLETED
    kinds = [each.kind for each in read_page(run.pk, after=0)]
    assert kinds == ["status", "status", "log", "status"]


def test_what_fails_half_way_leaves_nothing(execution: Execution, monkeypatch: Any) -> None:
    """The event and the row are one commit: an error between the two takes both back."""

    def fail(*_arguments: object, **_fields: object) -> None:
        raise OperationalError("away")

    monkeypatch.setattr(lifecycle, "_move", fail)
    with pytest.raises(Error), transaction.atomic():
        lifecycle.finish(execution.pk, Ending(Status.FAILED, FailureReason.ERROR))
    execution.refresh_from_db()
    assert execution.status == Status.PENDING
    assert head_of(execution.pk) == lifecycle.Head(1, closed=False)
