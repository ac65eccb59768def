"""One event stream under every order of appends, repetitions, hand-overs and reads."""

import json
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from executions import hints, lifecycle, tickets
from executions.choices import EventKind, Status
from executions.events import (
    Draft,
    Fenced,
    Head,
    Source,
    StreamClosed,
    append,
    head_of,
    heads_of,
    read_newest,
    read_page,
)
from executions.lifecycle import Ending
from executions.models import Execution, ExecutionSegment, Runner
from executions.sealing import seal
from robots.models import Robot
from tests.factories import make_execution

pytestmark = pytest.mark.django_db(transaction=True)

TEXT = st.one_of(st.text(max_size=30), st.sampled_from(["", "\u2028", "x" * 3000, "张" * 900]))
LOG = st.builds(
    lambda stream, lines, at: Draft(EventKind.LOG, {"stream": stream}, tuple(lines), at),
    st.sampled_from(["stdout", "stderr"]),
    st.lists(TEXT, min_size=1, max_size=5),
    st.sampled_from([0, 1_700_000_000_123]),
)
OTHER = st.builds(
    lambda kind, text, at: Draft(kind, {"message": text}, at=at),
    st.sampled_from([EventKind.STEP, EventKind.NOTICE, EventKind.RESULT, EventKind.ARTIFACT]),
    TEXT,
    st.sampled_from([0, 1, 1_700_000_000_999]),
)
DRAFTS = st.lists(st.one_of(LOG, OTHER), min_size=1, max_size=4)


class Stream(RuleBasedStateMachine):
    """A stream with one writer at a time, some who were before it, and readers of every kind."""

    def __init__(self, robot: Robot) -> None:
        super().__init__()
        self.robot = robot
        self.wanted: list[tuple[str, dict[str, Any]]] = []
        self.lines = 0
        self.closed = False
        self.token = ""
        self.offset = 0
        self.stale: list[str] = []
        self.done: list[tuple[Source, list[Draft]]] = []
        self.texts: dict[int, str] = {}

    @initialize()
    def request(self) -> None:
        self.execution = make_execution(self.robot)
        self.runner = Runner.objects.create(host="here", pid=1, slots=1)
        self.expect([lifecycle.status_draft(Status.PENDING, "queued")])

    def expect(self, drafts: list[Draft]) -> None:
        for draft in drafts:
            data = dict(draft.data)
            if draft.lines:
                data |= {"first_line": self.lines + 1, "lines": list(draft.lines)}
            self.lines += len(draft.lines)
            self.wanted.append((draft.kind.label, data))

    @property
    def head(self) -> Head:
        return Head(len(self.wanted), self.closed)

    # Writers -------------------------------------------------------------------------------------

    @precondition(lambda self: not self.closed)
    @rule()
    def hand_over(self) -> None:
        """Another writer takes the stream; what the one before still says is refused."""
        if self.token:
            assert lifecycle.release(self.execution)
            self.expect([lifecycle.status_draft(Status.PENDING, "queued")])
            self.stale.append(self.token)
        claimed = lifecycle.claim_next(self.runner)
        assert claimed is not None
        self.execution, self.token = claimed
        self.offset = 0
        self.done.clear()

    @precondition(lambda self: self.token and not self.closed)
    @rule(drafts=DRAFTS, close=st.integers(0, 20).map(lambda number: number == 0))
    def write(self, drafts: list[Draft], *, close: bool) -> None:
        source = Source(self.token, self.offset, self.offset + len(drafts))
        self.expect(drafts)
        self.closed = close
        assert at(append(self.execution.pk, drafts, source=source, close=close)) == at(self.head)
        self.offset = source.end
        self.done.append((source, drafts))

    @precondition(lambda self: self.done)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """An append whose answer was lost adds nothing, however late it comes again."""
        source, drafts = data.draw(st.sampled_from(self.done))
        assert at(append(self.execution.pk, drafts, source=source)) == at(self.head)

    @precondition(lambda self: self.stale)
    @rule(data=st.data(), drafts=DRAFTS, start=st.integers(0, 5), close=st.booleans())
    def write_as_one_before(
        self, data: st.DataObject, drafts: list[Draft], start: int, *, close: bool
    ) -> None:
        source = Source(data.draw(st.sampled_from(self.stale)), start, start + len(drafts))
        with pytest.raises(StreamClosed if self.closed else Fenced):
            append(self.execution.pk, drafts, source=source, close=close)

    @precondition(lambda self: self.token)
    @rule(drafts=DRAFTS, ahead=st.integers(1, 3))
    def write_with_a_hole(self, drafts: list[Draft], ahead: int) -> None:
        start = self.offset + ahead
        source = Source(self.token, start, start + len(drafts))
        with pytest.raises(StreamClosed if self.closed else Fenced):
            append(self.execution.pk, drafts, source=source)

    @rule(drafts=DRAFTS, close=st.integers(0, 20).map(lambda number: number == 0))
    def write_as_the_platform(self, drafts: list[Draft], *, close: bool) -> None:
        if self.closed:
            with pytest.raises(StreamClosed):
                append(self.execution.pk, drafts, close=close)
            return
        self.expect(drafts)
        self.closed = close
        assert at(append(self.execution.pk, drafts, close=close)) == at(self.head)

    @precondition(lambda self: not self.closed)
    @rule(drafts=DRAFTS)
    def write_in_a_transaction_that_is_rolled_back(self, drafts: list[Draft]) -> None:
        with transaction.atomic():
            append(self.execution.pk, drafts)
            transaction.set_rollback(True)

    # Storage -------------------------------------------------------------------------------------

    @rule()
    def seal(self) -> None:
        """What has moved into storage is read as before; sealing again finds nothing."""
        sealed = ExecutionSegment.objects.filter(execution=self.execution)
        before = sum(each.last_seq - each.first_seq + 1 for each in sealed)
        assert seal(self.execution.pk) == len(self.wanted) - before
        assert seal(self.execution.pk) == 0

    # Readers -------------------------------------------------------------------------------------

    @rule(
        data=st.data(), size=st.sampled_from([1, 200, 65_536]), count=st.sampled_from([1, 3, 256])
    )
    def read(self, data: st.DataObject, size: int, count: int) -> None:
        after = data.draw(st.integers(0, len(self.wanted) + 2))
        up_to = data.draw(st.none() | st.integers(after, len(self.wanted) + 2))
        page = read_page(self.execution.pk, after=after, up_to=up_to, size=size, count=count)
        last = min(len(self.wanted), len(self.wanted) if up_to is None else up_to)
        assert [each.seq for each in page] == list(range(after + 1, after + 1 + len(page)))
        assert bool(page) == (after < last)
        assert len(page) <= count
        assert len(page) <= 1 or sum(len(each.text) for each in page) <= size
        assert not page or page[-1].seq <= last

    @invariant()
    def every_reader_gets_the_same_stream(self) -> None:
        if not self.wanted:
            return
        number = self.execution.pk
        assert at(head_of(number)) == at(heads_of([number])[number]) == at(self.head)
        frames = []
        while page := read_page(number, after=len(frames), size=5000, count=7):
            frames += page
        told = [json.loads(each.text) for each in frames]
        assert [each["seq"] for each in told] == list(range(1, len(self.wanted) + 1))
        assert [(each["kind"], each["data"]) for each in told] == self.wanted
        assert [each.kind for each in frames] == [kind for kind, _data in self.wanted]
        for each in frames:
            assert self.texts.setdefault(each.seq, each.text) == each.text

    def teardown(self) -> None:
        """Leave no run that waits: the next example claims its own."""
        if self.wanted and not self.closed:
            lifecycle.finish(self.execution.pk, Ending(Status.CANCELLED))
        elif self.wanted:
            tickets.leave(self.execution.pk)


def at(head: Head) -> tuple[int, bool, int]:
    return head.last_seq, head.closed, head.epoch


def test_any_reader_of_any_stream_gets_each_event_once_and_in_order(robot: Robot) -> None:
    run_state_machine_as_test(
        lambda: Stream(robot),
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_an_execution_without_a_stream_is_an_error(execution: Execution) -> None:
    with pytest.raises(LookupError):
        append(execution.pk + 1, [Draft(EventKind.NOTICE)])
    with pytest.raises(LookupError):
        head_of(execution.pk + 1)
    assert heads_of([execution.pk + 1]) == {}


def test_an_events_time_is_when_it_happened(execution: Execution) -> None:
    append(execution.pk, [Draft(EventKind.NOTICE, at=1_700_000_000_007)])
    append(execution.pk, [Draft(EventKind.NOTICE)])
    first, second = (json.loads(each.text)["at"] for each in read_page(execution.pk, after=1))
    assert first == "2023-11-14T22:13:20.007Z"
    assert second > execution.requested_at.isoformat()[:23]


def test_a_hint_that_nobody_can_take_harms_no_append(
    execution: Execution, caplog: pytest.LogCaptureFixture
) -> None:
    """What is appended is committed by then, and whoever else listens is told of it."""
    told: list[Head] = []

    def fail(*_heard: object) -> None:
        raise RuntimeError("a broken listener")

    # The order of listeners is nobody's business: some of these come after a broken one.
    listeners = [fail, *[lambda _number, head: told.append(head) for _ in range(8)]]
    stops = [hints.listen(each) for each in listeners] + [hints.listen_to_moves(fail)]
    try:
        assert append(execution.pk, [Draft(EventKind.NOTICE)]).last_seq == 2
        lifecycle.finish(execution.pk, Ending(Status.CANCELLED))
    finally:
        for stop in stops:
            stop()
    assert [head.last_seq for head in told] == [2] * 8 + [3] * 8
    assert head_of(execution.pk).closed
    assert caplog.text.count("a broken listener") >= 3


def test_the_newest_events_are_as_many_as_fit(execution: Execution) -> None:
    for text in ("a" * 100, "b" * 100, "c" * 100):
        append(execution.pk, [Draft(EventKind.NOTICE, {"message": text})])
    *_older, third, last = (len(each.text) for each in read_page(execution.pk, after=0))
    for size, wanted in (
        (last - 1, []),
        (last, [4]),
        (last + third - 1, [4]),
        (last + third, [3, 4]),
    ):
        newest = read_newest(execution.pk, up_to=4, size=size)
        assert [each.seq for each in newest] == wanted
    assert [each.seq for each in read_newest(execution.pk, up_to=3, size=2**20, count=2)] == [2, 3]
