"""Which run is next: priorities, fair shares, limits, pools and labels, retries, and how long one may wait."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from io import BytesIO
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from accounts.actors import Actor
from accounts.models import User
from accounts.refusals import Forbidden, Invalid
from enterprises.models import Enterprise
from executions import lifecycle, reaper, services, shares, tickets, waiting
from executions.choices import FailureReason, PendingReason, Status
from executions.events import Source, read_page
from executions.lifecycle import Ending, WrongMoment
from executions.limits import close_gates, leases
from executions.models import Execution, Pool, RunLimit, Runner, SpaceShare, Ticket
from executions.sweeper import Sweeper
from robots.models import Robot
from robots.services import publish_version
from spaces.models import Space, SpaceRole
from tests.executions.threads import succeed
from tests.factories import SCRIPT, make_execution, make_robot, make_space, owner_of

pytestmark = pytest.mark.django_db
racing = pytest.mark.django_db(transaction=True)


def runner(**more: Any) -> Runner:
    return Runner.objects.create(host="here", pid=1, slots=8, **more)


def said(words: str) -> str:
    return f'# /// script\n# [tool.rpa]\n# {words}\n# ///\nprint("hello")\n'


@pytest.fixture(autouse=True)
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Robots of other tests may have had the same numbers."""
    monkeypatch.setattr(shares, "_expected", {})


@pytest.fixture
def other(people: dict[str, User]) -> Robot:
    """A robot in another space, of charlie's."""
    return make_robot(make_space("Elsewhere", {people["charlie"]: SpaceRole.OWNER}), "other")


def claimed(own: Runner) -> Execution | None:
    found = lifecycle.claim_next(own)
    return found and found[0]


def order(own: Runner, count: int) -> list[int]:
    return [run.pk for _ in range(count) if (run := claimed(own))]


def end(
    run: Execution,
    status: Status = Status.FAILED,
    reason: FailureReason | None = FailureReason.KILLED,
) -> None:
    lifecycle.finish(run.pk, Ending(status, reason))


def reason_of(run: Execution) -> str:
    run.refresh_from_db()
    told = [
        json.loads(frame.text)["data"]["reason"]
        for frame in read_page(run.pk, after=0)
        if frame.kind == "status"
    ]
    assert told[-1] == run.pending_reason, "the row is what the stream says"
    return run.pending_reason


def wait_told(*runs: Execution) -> None:
    """As if these runs had waited long enough to be told why."""
    past = timezone.now() - timedelta(minutes=1)
    Ticket.objects.filter(pk__in=[run.pk for run in runs]).update(queued_at=past)
    Sweeper().sweep()


# Order -------------------------------------------------------------------------------------------


def test_the_oldest_of_one_space_is_first(robot: Robot) -> None:
    runs = [make_execution(robot).pk for _ in range(5)]
    assert order(runner(), 6) == runs


def test_a_higher_priority_is_first_and_a_lower_one_last(robot: Robot) -> None:
    low = make_execution(robot, priority=-1)
    usual = make_execution(robot)
    high = make_execution(robot, priority=100)
    assert order(runner(), 3) == [high.pk, usual.pk, low.pk]


def test_many_runs_of_one_space_do_not_delay_the_first_of_another(
    robot: Robot, other: Robot
) -> None:
    many = [make_execution(robot) for _ in range(60)]
    own = runner()
    assert order(own, 2) == [many[0].pk, many[1].pk]
    first = make_execution(other)
    assert first.pk in order(own, 2)


def test_two_spaces_take_turns(robot: Robot, other: Robot) -> None:
    for _ in range(20):
        make_execution(robot)
    for _ in range(20):
        make_execution(other)
    begun = Counter(Execution.objects.get(pk=pk).robot_id for pk in order(runner(), 20))
    assert begun == {robot.pk: 10, other.pk: 10}


def test_a_space_of_three_times_the_weight_gets_three_times_as_much(
    robot: Robot, other: Robot
) -> None:
    SpaceShare.objects.create(space=other.space, weight=3)
    for _ in range(40):
        make_execution(robot)
    for _ in range(40):
        make_execution(other)
    begun = Counter(Execution.objects.get(pk=pk).robot_id for pk in order(runner(), 40))
    assert begun == {robot.pk: 10, other.pk: 30}


def test_who_takes_long_gets_fewer_turns(robot: Robot, other: Robot) -> None:
    """What is shared is time in slots: ten runs of a second against one of ten."""
    now = timezone.now()
    for each, seconds in ((robot, 1), (other, 10)):
        run = make_execution(each)
        end(run, Status.CANCELLED, None)
        Execution.objects.filter(pk=run.pk).update(
            status=Status.COMPLETED, started_at=now, finished_at=now + timedelta(seconds=seconds)
        )
    shares._expected.clear()
    for _ in range(30):
        make_execution(robot)
    for _ in range(30):
        make_execution(other)
    begun = Counter(Execution.objects.get(pk=pk).robot_id for pk in order(runner(), 22))
    assert begun == {robot.pk: 20, other.pk: 2}


def test_what_was_put_first_is_next(robot: Robot) -> None:
    make_execution(robot, priority=50)
    last = [make_execution(robot) for _ in range(3)][-1]
    services.run_next(last, by=owner_of(robot.space))
    assert order(runner(), 1) == [last.pk]


def test_a_priority_is_given_by_who_may_and_only_while_it_waits(
    robot: Robot, people: dict[str, User]
) -> None:
    first, second = make_execution(robot), make_execution(robot, by=people["bob"])
    with pytest.raises(Forbidden):
        services.set_priority(second, 5, by=Actor(people["bob"]))
    with pytest.raises(Forbidden):
        make_execution(robot, by=people["bob"], priority=1)
    with pytest.raises(Forbidden):
        services.run_next(second, by=Actor(people["bob"]))
    with pytest.raises(Invalid):
        services.set_priority(second, 101, by=owner_of(robot.space))
    services.set_priority(second, 5, by=owner_of(robot.space))
    own = runner()
    assert order(own, 2) == [second.pk, first.pk]
    for deed in (partial(services.set_priority, first, 1), partial(services.run_next, first)):
        with pytest.raises(WrongMoment):
            deed(by=owner_of(robot.space))


# Limits ------------------------------------------------------------------------------------------


def of_robot(robot: Robot) -> dict[str, Any]:
    return {"robot": robot}


def of_space(robot: Robot) -> dict[str, Any]:
    return {"space": robot.space}


def of_enterprise(robot: Robot) -> dict[str, Any]:
    return {"enterprise": Enterprise.objects.get(pk=robot.space.enterprise_id)}


def of_pool(_robot: Robot) -> dict[str, Any]:
    return {"pool": Pool.objects.get_or_create(name="default")[0]}


SCOPES = pytest.mark.parametrize(
    ("of", "reason"),
    [
        (of_robot, PendingReason.ROBOT_LIMIT),
        (of_space, PendingReason.SPACE_LIMIT),
        (of_enterprise, PendingReason.ENTERPRISE_LIMIT),
        (of_pool, PendingReason.POOL_LIMIT),
    ],
)


@SCOPES
def test_no_more_run_at_once_than_a_limit_allows(
    robot: Robot, of: Callable[[Robot], dict[str, Any]], reason: PendingReason
) -> None:
    RunLimit.objects.create(**of(robot), most=2)
    runs = [make_execution(robot) for _ in range(4)]
    own = runner()
    first, second = claimed(own), claimed(own)
    assert second is not None
    assert [first, second] == runs[:2]
    assert claimed(own) is None
    wait_told(*runs)
    assert reason_of(runs[2]) == reason_of(runs[3]) == reason
    end(runs[0])
    assert claimed(own) == runs[2]
    assert claimed(own) is None
    assert lifecycle.release(second)
    assert claimed(own) == runs[1], "what was handed back keeps its place"


@racing
@SCOPES
def test_claims_that_race_never_pass_a_limit(
    robot: Robot, of: Callable[[Robot], dict[str, Any]], reason: PendingReason
) -> None:
    RunLimit.objects.create(**of(robot), most=3)
    runs = {make_execution(robot).pk for _ in range(24)}
    facts = tickets.next_for(runner())[0]
    (place,) = [limit.place for limit in facts.limits()]

    def running() -> int:
        """While nobody claims or ends: one statement may else see a claim, and not the end that it had waited for."""
        with transaction.atomic():
            close_gates([place])
            return leases(place)

    def work() -> list[int]:
        own, done = runner(), []
        while run := claimed(own):
            assert running() <= 3
            done.append(run.pk)
            end(run)
        return done

    done: list[int] = []
    while len(done) < len(runs):
        got = [pk for each in succeed(*[work] * 4) for pk in each]
        assert got, "room was left, and nobody was let in"
        done += got
    assert sorted(done) == sorted(runs)
    assert not Ticket.objects.exists()


def told_running(run: Execution) -> int:
    run.refresh_from_db()
    wait = waiting.wait_of(run)
    assert wait is not None
    assert wait.blocked_by is not None
    return wait.blocked_by.running


def test_more_than_a_limit_allows_is_told_only_where_it_is_so(
    robot: Robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = RunLimit.objects.create(robot=robot, most=2)
    runs = [make_execution(robot) for _ in range(3)]
    assert len(order(runner(), 3)) == 2
    some, looks = waiting._some, []

    def one_more_at_first(found: Any) -> int:
        looks.append(found)
        return some(found) + (len(looks) == 1)

    monkeypatch.setattr(waiting, "_some", one_more_at_first)
    assert told_running(runs[2]) == 2
    RunLimit.objects.filter(pk=limit.pk).update(most=1)
    assert told_running(runs[2]) == 2


def test_a_robot_may_ask_for_one_run_at_a_time(space: Space) -> None:
    single = make_robot(space, "single", said("concurrency = 1"))
    free = make_robot(space, "free")
    runs = [make_execution(single), make_execution(single), make_execution(free)]
    own = runner()
    assert order(own, 3) == [runs[0].pk, runs[2].pk]
    wait_told(runs[1])
    assert reason_of(runs[1]) == PendingReason.ROBOT_LIMIT
    end(runs[0])
    assert order(own, 3) == [runs[1].pk]


def test_a_version_that_bears_more_runs_is_not_held_back_by_one_that_bears_fewer(
    space: Space,
) -> None:
    robot = make_robot(space, "older", said("concurrency = 1"))
    older = robot.enabled_version
    newer = publish_version(
        robot=robot, file=BytesIO(SCRIPT.encode()), file_name="robot.py", by=owner_of(space)
    )
    robot.refresh_from_db()
    own = runner()
    running = make_execution(robot, version=newer)
    assert order(own, 9) == [running.pk]
    waiting = [make_execution(robot, version=older) for _ in range(2)]
    free = [make_execution(robot) for _ in range(3)]
    assert order(own, 9) == [run.pk for run in free]
    for run in free:
        end(run)
        assert order(own, 9) == []
    end(running)
    assert order(own, 9) == [waiting[0].pk]
    assert lifecycle.release(Execution.objects.get(pk=waiting[0].pk))
    assert order(own, 9) == [waiting[0].pk]


def test_a_sweep_calls_the_versions_that_bear_one_more(space: Space) -> None:
    robot = make_robot(space, "older", said("concurrency = 1"))
    older = robot.enabled_version
    newer = publish_version(
        robot=robot,
        file=BytesIO(said("concurrency = 3").encode()),
        file_name="robot.py",
        by=owner_of(space),
    )
    robot.refresh_from_db()
    limit = RunLimit.objects.create(robot=robot, most=0)
    waiting = [make_execution(robot, version=older) for _ in range(2)]
    more = [make_execution(robot, version=newer) for _ in range(4)]
    own = runner()
    assert order(own, 9) == []
    limit.delete()
    Sweeper().sweep()
    assert order(own, 9) == [waiting[0].pk, more[0].pk, more[1].pk]


@pytest.mark.parametrize(("most", "begun"), [(5, 2), (2, 2), (1, 1), (0, 0)])
def test_an_operator_allows_no_more_than_the_robot_and_may_allow_less(
    space: Space, most: int, begun: int
) -> None:
    robot = make_robot(space, "careful", said("concurrency = 2"))
    RunLimit.objects.create(robot=robot, most=most)
    runs = [make_execution(robot) for _ in range(4)]
    assert order(runner(), 9) == [run.pk for run in runs[:begun]]


def test_what_waits_for_a_full_robot_leaves_the_room_of_its_space_to_others(space: Space) -> None:
    """Two limits: who is held back by the one does not hold back those whom only the other one had held."""
    busy, free = make_robot(space, "busy"), make_robot(space, "free")
    RunLimit.objects.create(space=space, most=2)
    RunLimit.objects.create(robot=busy, most=1)
    own = runner()
    running, free_one = make_execution(busy), make_execution(free)
    waiting = [make_execution(busy) for _ in range(3)]
    last = make_execution(free)
    assert order(own, 9) == [running.pk, free_one.pk]
    end(free_one)
    assert order(own, 9) == [last.pk]
    end(running)
    assert order(own, 9) == [waiting[0].pk]


def test_a_limit_that_is_raised_or_deleted_lets_runs_start(robot: Robot) -> None:
    limit = RunLimit.objects.create(space=robot.space, most=0)
    runs = [make_execution(robot) for _ in range(3)]
    own = runner()
    assert claimed(own) is None
    wait_told(*runs)
    assert reason_of(runs[0]) == PendingReason.SPACE_LIMIT
    RunLimit.objects.filter(pk=limit.pk).update(most=1)
    Sweeper().sweep()
    assert order(own, 3) == [runs[0].pk]
    limit.delete()
    Sweeper().sweep()
    assert order(own, 3) == [runs[1].pk, runs[2].pk]
    assert reason_of(runs[1]) == PendingReason.QUEUED


def test_the_settings_limit_every_space_that_has_no_limit_of_its_own(
    robot: Robot, other: Robot, settings: Any
) -> None:
    settings.RPA_SPACE_RUNS = 1
    RunLimit.objects.create(space=other.space, most=2)
    mine = [make_execution(robot) for _ in range(3)]
    theirs = [make_execution(other) for _ in range(3)]
    assert sorted(order(runner(), 6)) == sorted([mine[0].pk, theirs[0].pk, theirs[1].pk])


def test_what_is_held_back_can_be_cancelled(robot: Robot) -> None:
    RunLimit.objects.create(robot=robot, most=1)
    first, second, third = (make_execution(robot) for _ in range(3))
    own = runner()
    assert order(own, 3) == [first.pk]
    assert services.cancel_execution(second, by=owner_of(robot.space))
    end(first)
    assert order(own, 3) == [third.pk]


# Pools and labels --------------------------------------------------------------------------------


def test_a_run_goes_to_a_runner_of_its_pool_that_has_its_labels(space: Space) -> None:
    robot = make_robot(space, "picky", said('pool = "eu"\n# labels = ["gpu", "chromium"]'))
    with pytest.raises(Invalid, match="eu"):
        make_execution(robot)
    eu = Pool.objects.create(name="eu")
    run = make_execution(robot)
    for unfit in (runner(), runner(pool=eu, labels=["gpu"]), runner(labels=["chromium", "gpu"])):
        assert claimed(unfit) is None
    assert claimed(runner(pool=eu, labels=["a", "chromium", "gpu"])) == run


def test_who_asks_may_choose_another_pool_than_the_robot(space: Space) -> None:
    robot = make_robot(space, "picky", said('labels = ["gpu"]'))
    pool = Pool.objects.create(name="eu")
    run = make_execution(robot, pool="eu", idempotency_key="k")
    assert claimed(runner(labels=["gpu"])) is None
    assert claimed(runner(pool=pool)) is None
    assert claimed(runner(pool=pool, labels=["gpu"])) == run
    assert make_execution(robot, pool="eu", idempotency_key="k") == run
    with pytest.raises(services.KeyReused):
        make_execution(robot, idempotency_key="k")
    with pytest.raises(tickets.UnknownPool):
        make_execution(robot, pool="moon")


def test_a_run_that_no_runner_may_take_says_so_until_one_comes(space: Space) -> None:
    run = make_execution(make_robot(space, "picky", said('labels = ["gpu"]')))
    usual = make_execution(make_robot(space, "usual"))
    runner()
    wait_told(run, usual)
    assert (reason_of(run), reason_of(usual)) == (PendingReason.NO_RUNNER, PendingReason.QUEUED)
    runner(labels=["gpu"])
    wait_told(run)
    assert reason_of(run) == PendingReason.QUEUED


def test_a_pool_has_so_many_sets_of_labels_and_no_more(
    space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tickets, "MOST_LANES", 3)
    robots = [make_robot(space, f"of {n}", said(f'labels = ["l{n}"]')) for n in range(3)]
    make_execution(robots[0])
    make_execution(robots[1])
    with pytest.raises(Invalid, match="3 sets"):
        make_execution(robots[2])
    make_execution(robots[1])


# How long one waits, and what is tried again ------------------------------------------------------


def test_what_has_waited_too_long_fails_and_what_runs_does_not(space: Space) -> None:
    robot = make_robot(space, "hasty", said("queue_timeout = 60"))
    running, waiting = make_execution(robot), make_execution(robot)
    own = runner()
    assert claimed(own) == running
    Sweeper().sweep()
    waiting.refresh_from_db()
    assert waiting.status == Status.PENDING
    Ticket.objects.update(expires_at=timezone.now())
    Sweeper().sweep()
    for run in (running, waiting):
        run.refresh_from_db()
    assert (waiting.status, waiting.failure_reason) == (Status.FAILED, FailureReason.EXPIRED)
    assert running.status == Status.PENDING
    assert running.runner == own


@pytest.mark.parametrize(
    ("words", "patience"), [("queue_timeout = 60", 60), ('description = "patient"', 100), ("", 0)]
)
def test_what_is_handed_back_waits_anew(
    space: Space, settings: Any, words: str, patience: int
) -> None:
    """Its package or its environment may have taken longer than it was to wait."""
    settings.RPA_QUEUE_TIMEOUT = 100 if words else 0
    run = make_execution(make_robot(space, "hasty", said(words)))
    assert claimed(runner()) == run
    Ticket.objects.filter(expires_at__isnull=False).update(expires_at=timezone.now())
    assert lifecycle.release(Execution.objects.get(pk=run.pk))
    Sweeper().sweep()
    run.refresh_from_db()
    assert run.status == Status.PENDING
    expires_at = Ticket.objects.get(pk=run.pk).expires_at
    if not patience:
        assert expires_at is None
        return
    assert expires_at is not None
    assert patience - 5 < (expires_at - timezone.now()).total_seconds() <= patience


RETRYING = 'retry = {max_attempts = 3, backoff = 10, on = ["lost", "error"]}'


def failed_again(run: Execution, reason: FailureReason) -> Execution | None:
    end(run, Status.FAILED, reason)
    return Execution.objects.filter(retry__failed=run).first()


def test_a_run_is_tried_as_often_as_its_robot_says_and_no_more(space: Space) -> None:
    run = make_execution(make_robot(space, "again", said(RETRYING)), params={"a": 1}, task="")
    second = failed_again(run, FailureReason.LOST)
    assert second is not None
    assert (second.params, second.version, second.requested_by) == (
        run.params,
        run.version,
        run.requested_by,
    )
    last = json.loads(read_page(run.pk, after=0)[-1].text)["data"]
    assert last["retried_as"] == str(second.uid)
    assert reason_of(second) == PendingReason.RETRY
    own = runner()
    assert claimed(own) is None, "it waits for its backoff"
    waits = Ticket.objects.get(pk=second.pk).ready_at
    assert waits is not None
    assert timedelta(seconds=8) < waits - timezone.now() <= timedelta(seconds=10)
    Ticket.objects.update(ready_at=timezone.now() - timedelta(seconds=1))
    Sweeper().sweep()
    assert claimed(own) == second
    third = failed_again(second, FailureReason.ERROR)
    assert third is not None
    waits = Ticket.objects.get(pk=third.pk).ready_at
    assert waits is not None
    assert timedelta(seconds=18) < waits - timezone.now() <= timedelta(seconds=20)
    assert failed_again(third, FailureReason.LOST) is None


def test_who_is_put_first_waits_for_no_pause(space: Space) -> None:
    second = failed_again(
        make_execution(make_robot(space, "again", said(RETRYING))), FailureReason.LOST
    )
    assert second is not None
    own = runner()
    assert claimed(own) is None
    services.run_next(second, by=owner_of(space))
    assert claimed(own) == second


@pytest.mark.parametrize("reason", [FailureReason.TIMEOUT, FailureReason.OUT_OF_MEMORY])
def test_only_what_the_robot_names_is_tried_again(space: Space, reason: FailureReason) -> None:
    run = make_execution(make_robot(space, "again", said(RETRYING)))
    assert failed_again(run, reason) is None


def test_without_a_policy_nothing_is_tried_again(robot: Robot) -> None:
    assert failed_again(make_execution(robot), FailureReason.LOST) is None


def test_what_was_to_be_cancelled_is_not_tried_again(space: Space) -> None:
    robot = make_robot(space, "again", said(RETRYING))
    run = make_execution(robot)
    assert claimed(runner()) == run
    assert not services.cancel_execution(run, by=owner_of(space))
    assert failed_again(run, FailureReason.ERROR) is None


def test_a_robot_that_is_gone_is_not_tried_again(space: Space) -> None:
    robot = make_robot(space, "again", said(RETRYING))
    run = make_execution(robot)
    Robot.objects.filter(pk=robot.pk).update(deleted=True)
    assert failed_again(run, FailureReason.LOST) is None


def test_an_end_that_is_told_twice_is_followed_by_one_attempt(space: Space) -> None:
    run = make_execution(make_robot(space, "again", said(RETRYING)))
    found = lifecycle.claim_next(runner())
    assert found is not None
    _run, token = found
    lifecycle.start(run, Source(token, 0, 1))
    for _answer_got_lost in range(2):
        ending = Ending(Status.FAILED, FailureReason.ERROR)
        lifecycle.finish(run.pk, ending, source=Source(token, 1, 2))
    assert Execution.objects.filter(robot=run.robot_id).count() == 2


@racing
def test_a_dead_runner_s_run_is_tried_again_once(space: Space) -> None:
    run = make_execution(make_robot(space, "again", said(RETRYING)))
    own = runner()
    found = lifecycle.claim_next(own)
    assert found is not None
    lifecycle.start(run, Source(found[1], 0, 1))
    succeed(*[lambda: reaper.bury(Runner.objects.filter(pk=own.pk))] * 3)
    run.refresh_from_db()
    assert (run.status, run.failure_reason) == (Status.FAILED, FailureReason.LOST)
    assert Execution.objects.filter(retry__failed=run).count() == 1
