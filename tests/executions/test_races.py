"""Real races, on either database: appends against readers, claims, cancels, ends and reapers."""

import json
import random
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.actors import Actor
from executions import lifecycle, reaper, retries, services, tickets
from executions.choices import TERMINAL, EventKind, FailureReason, Status, TicketState
from executions.events import Draft, Source, StreamRefused, append, head_of, read_page
from executions.lifecycle import Ending, WrongMoment
from executions.models import Execution, ExecutionEvent, Runner, Ticket
from robots import services as robots
from robots.models import Robot
from spaces import services as spaces
from spaces.models import Space
from tests.executions.threads import succeed, together
from tests.factories import make_execution, make_robot

pytestmark = pytest.mark.django_db(transaction=True)
WRITERS, APPENDS = 4, 150


def runner() -> Runner:
    return Runner.objects.create(host="race", pid=1, slots=1)


# Appends against readers -------------------------------------------------------------------------


def test_what_can_be_seen_has_no_hole_while_four_write(execution: Execution) -> None:
    """Up to a head that was seen, all is there: by page and by one counting statement. A page has no hole beyond it."""
    writing = threading.Event()
    writing.set()
    left = threading.Semaphore(0)

    def write(number: int) -> None:
        try:
            for count in range(APPENDS):
                lines = (f"{number}/{count}",)
                drafts = [Draft(EventKind.LOG, {"stream": "stdout"}, lines)] * (1 + count % 3)
                append(execution.pk, drafts)
        finally:
            left.release()

    def end() -> None:
        for _writer in range(WRITERS):
            left.acquire()
        writing.clear()

    def poll_pages() -> list[str]:
        texts: list[str] = []
        while True:
            last_look = not writing.is_set()
            head = head_of(execution.pk).last_seq
            page = read_page(execution.pk, after=len(texts), count=50)
            assert [json.loads(each.text)["seq"] for each in page] == [
                len(texts) + 1 + index for index in range(len(page))
            ]
            assert len(page) == 50 or len(texts) + len(page) >= head
            texts += [each.text for each in page]
            if last_look and not page:
                return texts

    def poll_counts() -> int:
        looks = 0
        while writing.is_set():
            head = head_of(execution.pk).last_seq
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT COUNT(*), MIN(seq), MAX(seq) FROM executions_executionevent "
                    "WHERE execution_id = %s AND seq <= %s",
                    [execution.pk, head],
                )
                assert cursor.fetchone() == (head, 1, head)
            looks += 1
        return looks

    writers = [partial(write, number) for number in range(WRITERS)]
    *_none, one, other, looks = succeed(*writers, end, poll_pages, poll_pages, poll_counts)
    assert len(one) == 1 + WRITERS * APPENDS * 2
    assert one == other
    assert looks > 10, "the poller hardly ran: this proved nothing"
    events = [json.loads(text)["data"] for text in one[1:]]
    assert [each["first_line"] for each in events] == list(range(1, len(one)))
    for number in range(WRITERS):
        own = [each["lines"][0] for each in events if each["lines"][0].startswith(f"{number}/")]
        assert own == [
            f"{number}/{count}" for count in range(APPENDS) for _ in range(1 + count % 3)
        ]


def test_a_page_ends_before_an_append_that_cannot_be_seen_yet(execution: Execution) -> None:
    """On MariaDB a view may show what has followed it. Here it lies in nobody's view at all."""
    append(execution.pk, [Draft(EventKind.NOTICE, {"number": number}) for number in range(4)])
    ExecutionEvent.objects.filter(execution=execution, seq=4).delete()
    assert [frame.seq for frame in read_page(execution.pk, after=0)] == [1, 2, 3]
    assert [frame.seq for frame in read_page(execution.pk, after=2)] == [3]
    assert read_page(execution.pk, after=3) == []
    assert [frame.seq for frame in read_page(execution.pk, after=4)] == [5]


def test_one_append_sent_by_many_at_once_is_in_once(execution: Execution) -> None:
    claimed = lifecycle.claim_next(runner())
    assert claimed is not None
    _execution, token = claimed
    for number in range(30):
        source = Source(token, number, number + 1)
        succeed(
            *[partial(append, execution.pk, [Draft(EventKind.NOTICE)], source=source)] * WRITERS
        )
    assert head_of(execution.pk).last_seq == 31


# Claims ------------------------------------------------------------------------------------------


def test_runners_that_want_the_same_runs_get_each_once(robot: Robot) -> None:
    runs = {make_execution(robot).pk for _ in range(40)}

    def claim(own: Runner) -> list[int]:
        got: list[int] = []
        while claimed := lifecycle.claim_next(own):
            execution, token = claimed
            # The claim is worth something: its holder may write, whoever else tried.
            lifecycle.start(execution, Source(token, 0, 1))
            got.append(execution.pk)
        return got

    everybody = succeed(*[partial(claim, runner()) for _ in range(WRITERS)])
    counted = Counter(number for got in everybody for number in got)
    # A runner looks at the oldest few only, and may find them all taken: another look finds the rest.
    counted.update(claim(runner()))
    assert counted == Counter(runs)


def test_a_runner_that_is_taken_for_dead_while_it_claims_keeps_nothing(
    robot: Robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever buries it comes after the claim, and settles that as well; or is first, and it claims nothing."""
    make_execution(robot)
    own, lease = runner(), tickets.lease

    def bury() -> None:
        while not Runner.objects.filter(pk=own.pk, stopped_at__isnull=False).exists():
            reaper.bury(Runner.objects.filter(pk=own.pk))
        connection.close()

    buried = threading.Thread(target=bury)

    def slow_lease(*arguments: Any) -> bool:
        buried.start()
        buried.join(1)  # it cannot end before we do
        assert buried.is_alive()
        return lease(*arguments)

    monkeypatch.setattr(tickets, "lease", slow_lease)
    assert lifecycle.claim_next(own) is not None
    buried.join(60)
    monkeypatch.undo()
    assert not Ticket.objects.filter(state=TicketState.LEASED).exists()
    assert lifecycle.claim_next(own) is None
    assert lifecycle.claim_next(runner()) is not None, "It waits for somebody else."


# Cancel, end, death ------------------------------------------------------------------------------


def statuses(execution: Execution) -> list[str]:
    frames = read_page(execution.pk, after=0, size=2**30, count=10_000)
    return [json.loads(each.text)["data"]["status"] for each in frames if each.kind == "status"]


def watch_the_fold(number: int, stop: threading.Event) -> int:
    """Look at the row and its last status event in one statement, until told to stop."""
    looks = 0
    while True:
        last_look = stop.is_set()
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT execution.status, event.payload, stream.closed, stream.last_seq, event.seq "
                "FROM executions_execution execution "
                "JOIN executions_executionstream stream ON stream.execution_id = execution.id "
                "JOIN executions_executionevent event ON event.execution_id = execution.id "
                "WHERE execution.id = %s AND event.kind = %s ORDER BY event.seq DESC LIMIT 1",
                [number, EventKind.STATUS],
            )
            status, payload, closed, last, seq = cursor.fetchone()
        assert json.loads(payload)["status"] == status
        assert bool(closed) == (status in TERMINAL)
        assert not closed or seq == last
        looks += 1
        if last_look:
            return looks


def refused(deed: Callable[[], Any]) -> bool:
    try:
        deed()
    except (WrongMoment, StreamRefused):
        return True
    return False


@pytest.mark.parametrize("started", [False, True], ids=["waiting", "running"])
def test_cancel_end_and_reaper_at_once_end_a_run_once(robot: Robot, *, started: bool) -> None:
    dice = random.Random(7)
    winners: Counter[str] = Counter()
    looks = 0
    for _round in range(25):
        execution = make_execution(robot)
        own = runner()
        claimed = lifecycle.claim_next(own)
        assert claimed is not None
        run, token = claimed
        if started:
            lifecycle.start(run, Source(token, 0, 1))
        stop = threading.Event()
        busy = threading.Semaphore(0)

        def carry_out(run: Execution = run, token: str = token) -> None:
            offset = 1
            if not started:
                lifecycle.start(run, Source(token, 0, 1))
            for line in range(4):
                said = [Draft(EventKind.LOG, {"stream": "stdout"}, (f"line {line}",))]
                lifecycle.record(run.pk, said, Source(token, offset, offset + 1))
                offset += 1
            ending = Ending(Status.COMPLETED, exit_code=0)
            lifecycle.finish(run.pk, ending, source=Source(token, offset, offset + 1))

        def cancel(execution: Execution = execution) -> None:
            by = Actor(execution.requested_by)
            services.cancel_execution(Execution.objects.get(pk=execution.pk), by=by)

        def die(own: Runner = own) -> None:
            reaper.bury(Runner.objects.filter(pk=own.pk))

        def lose(run: Execution = run) -> None:
            lifecycle.finish(run.pk, Ending(Status.FAILED, FailureReason.LOST))

        others = [cancel, die, die, lose]
        deeds = [carry_out, cancel, *dice.sample(others, dice.randrange(len(others)))]
        dice.shuffle(deeds)

        def do(deed: Callable[[], Any], busy: threading.Semaphore = busy) -> bool:
            try:
                return refused(deed)
            finally:
                busy.release()

        def end(
            deeds: list[Any] = deeds,
            stop: threading.Event = stop,
            busy: threading.Semaphore = busy,
        ) -> None:
            for _deed in deeds:
                busy.acquire()
            stop.set()

        *_answers, _ended, seen = succeed(
            *[partial(do, deed) for deed in deeds], end, partial(watch_the_fold, run.pk, stop)
        )
        looks += seen
        execution.refresh_from_db()
        told = statuses(execution)
        assert execution.is_terminal
        assert told[-1] == execution.status
        assert sum(status in TERMINAL for status in told) == 1
        assert head_of(execution.pk).closed
        winners[f"{execution.status} {execution.failure_reason}"] += 1
        assert read_page(execution.pk, after=head_of(execution.pk).last_seq - 1)[0].kind == "status"
    assert looks > 25 * 2
    assert len(winners) > 1, f"one of them always won ({winners}): this was no race"


def test_a_run_that_is_cancelled_while_it_is_handed_back_does_not_wait_for_ever(
    robot: Robot,
) -> None:
    """Its runner leaves and a person cancels: whoever comes first, the run ends."""
    for _round in range(25):
        execution = make_execution(robot)
        claimed = lifecycle.claim_next(runner())
        assert claimed is not None
        run, _token = claimed
        by = execution.requested_by
        succeed(
            lambda run=run: lifecycle.release(run),
            lambda execution=execution, by=by: lifecycle.request_cancel(
                execution, by=by, at=timezone.now()
            ),
        )
        execution.refresh_from_db()
        assert execution.status == Status.CANCELLED
        assert execution.message == f"Cancelled by {by}."
        assert statuses(execution)[-1] == Status.CANCELLED


def test_two_cancels_at_once_are_one(robot: Robot) -> None:
    for _round in range(10):
        execution = make_execution(robot)
        by = Actor(execution.requested_by)
        own = [Execution.objects.get(pk=execution.pk) for _ in range(WRITERS)]
        answers = together(*[partial(services.cancel_execution, each, by=by) for each in own])
        assert sum(answer is True for answer in answers) == 1
        assert sum(isinstance(answer, WrongMoment) for answer in answers) == WRITERS - 1
        assert statuses(execution) == [Status.PENDING, Status.CANCELLED]


def test_a_request_repeated_at_once_with_one_key_is_one_run(robot: Robot) -> None:
    by = robot.created_by
    answers = succeed(*[lambda: make_execution(robot, by, idempotency_key="k")] * WRITERS)
    assert len({answer.pk for answer in answers}) == 1
    assert Execution.objects.count() == 1
    assert head_of(answers[0].pk).last_seq == 1


@pytest.mark.parametrize("hide", ["robot", "space"])
def test_a_deletion_waits_for_a_run_that_is_to_be_tried_again(
    space: Space, hide: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failed run's stream is locked, its successor not added yet: the deletion, begun now, ends after it."""
    source = "# /// script\n# [tool.rpa]\n# retry = {max_attempts = 3, on = ['error']}\n# ///\n"
    robot = make_robot(space, source=source)
    run = make_execution(robot)
    Execution.objects.filter(pk=run.pk).update(status=Status.RUNNING)
    answers: list[Any] = []

    def delete() -> None:
        robots.hide_robot(robot) if hide == "robot" else spaces.hide_space(space)

    deletion = threading.Thread(target=lambda: answers.extend(succeed(delete)))
    original = retries._may_run

    def begin_deletion(failed: Execution) -> bool:
        allowed = original(failed)
        deletion.start()
        deletion.join(0.5)
        return allowed

    monkeypatch.setattr(retries, "_may_run", begin_deletion)
    lifecycle.finish(run.pk, Ending(Status.FAILED, FailureReason.ERROR, "No luck."))
    deletion.join(60)
    assert answers == [None]
    assert Execution.objects.get(retry__failed=run).status == Status.CANCELLED
