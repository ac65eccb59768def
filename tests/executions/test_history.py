"""Histories against the plain queries that they stand for."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.db.models import QuerySet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import User
from executions import history as module
from executions.choices import ALIVE, TERMINAL, FailureReason, Origin, Status
from executions.history import History
from executions.models import Execution
from robots.models import Robot
from spaces.models import Space
from tests.factories import make_robot

pytestmark = pytest.mark.django_db
START = datetime(2026, 11, 1, tzinfo=UTC)
#: Where the oldest run is, and the youngest.
LONGEST = timedelta(hours=40)

#: What a run is: whose robot's, whose own, and of which kind; and by how many minutes its clock is wrong.
KINDS = [
    *((status, "") for status in (*Status.values,)),
    *((Status.FAILED, reason) for reason in (FailureReason.ERROR, FailureReason.QUOTA)),
]
RUNS = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.sampled_from(["alice", "bob"]),
        st.sampled_from(KINDS),
        st.sampled_from([Origin.API, Origin.PAGE]),
        st.sampled_from([0, 0, 1, -29, 29]),
    ),
    max_size=40,
)
MOMENTS = st.none() | st.integers(-1, 41).map(lambda hours: START + timedelta(hours=hours))
#: What no robots, everybody's and each of the filters is asked for by.
KIND_ASKED = st.fixed_dictionaries(
    {},
    optional={
        "statuses": st.lists(st.sampled_from(Status.values), max_size=3),
        "failure_reason": st.sampled_from(["", *FailureReason.values]),
        "origin": st.sampled_from(Origin.values),
    },
)
OWN_ASKED = st.fixed_dictionaries(
    {"requested_by": st.sampled_from(["alice", "bob"])},
    optional={"statuses": st.lists(st.sampled_from(Status.values), max_size=3)},
)
SOME_ROBOTS = st.lists(st.integers(0, 5), max_size=6)
ASKED = st.one_of(st.tuples(st.none() | SOME_ROBOTS, KIND_ASKED), st.tuples(SOME_ROBOTS, OWN_ASKED))
WALKS = st.tuples(st.integers(0, 12), st.none() | st.integers(-1, 41))


@pytest.fixture
def robots(space: Space) -> list[Robot]:
    """Five whose runs are drawn, and one that never ran; the second is deleted."""
    made = [make_robot(space, name=f"robot {number}") for number in range(6)]
    Robot.objects.filter(pk=made[1].pk).update(deleted=True)
    return made


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few at a time that a few runs take many statements."""
    for name, few in (("_LOOKS", 3), ("_PARTS", 2), ("_ROWS", 4), ("_FEW", 1), ("_TIMES", 2)):
        monkeypatch.setattr(module, name, few)


def plain(asked: dict[str, Any]) -> QuerySet[Execution]:
    """The query that a history stands for."""
    found = Execution.objects.all()
    if asked["robots"] is not None:
        found = found.filter(robot__in=asked["robots"])
    if asked.get("statuses"):
        found = found.filter(status__in=asked["statuses"])
    for name in ("requested_by", "failure_reason", "origin"):
        if name in asked:
            found = found.filter(**{name: asked[name]})
    if asked["since"]:
        found = found.filter(requested_at__gte=asked["since"])
    if asked["until"]:
        found = found.filter(requested_at__lt=asked["until"])
    return found


@pytest.mark.usefixtures("small_steps")
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    drawn=RUNS, every=st.lists(st.tuples(ASKED, MOMENTS, MOMENTS, WALKS), min_size=8, max_size=8)
)
def test_a_history_is_the_plain_query_cut(
    robots: list[Robot], people: dict[str, User], drawn: list[Any], every: list[Any]
) -> None:
    with transaction.atomic():
        first = make(robots, people, drawn)
        for (which, filters), since, until, (count, place) in every:
            asked = {**filters, "since": since, "until": until}
            asked["robots"] = None if which is None else [robots[number].pk for number in which]
            if "requested_by" in asked:
                asked["requested_by"] = people[asked["requested_by"]]
            history, found = History(rows=Execution.objects.all(), **asked), plain(asked)
            key = None if place is None else place + first
            older = found if key is None else found.filter(pk__lt=key)
            assert history.newest(count, before=key) == list(older.order_by("-pk")[:count])
            newer = found.filter(pk__gt=key or 0).order_by("pk")
            assert history.oldest(count, after=key or 0) == list(newer[:count])
            if which is not None:
                latest = {run.robot_id: run for run in found.order_by("pk")}
                assert history.latest_of_each_robot() == latest
            statuses = sorted(set(asked.get("statuses", ()))) or list(TERMINAL)
            of_each = Counter(found.filter(status__in=statuses).values_list("status", flat=True))
            _lists, tally = history.glance([], [(statuses, None)], count)
            assert +tally == +Counter({each: min(n, count) for each, n in of_each.items()})
            at_once = History(rows=Execution.objects.all(), robots=asked["robots"])
            check_glance(at_once, plain({"robots": asked["robots"], **NO_FILTERS}), count, since)
        transaction.set_rollback(True)


#: What lists at a glance are not asked by.
NO_FILTERS: dict[str, Any] = {"since": None, "until": None}


def check_glance(
    history: History, found: QuerySet[Execution], count: int, since: datetime | None
) -> None:
    """Lists and tallies that are read together are what each of them is by itself."""
    lists, counts = history.glance(
        [(ALIVE, count), (TERMINAL, 3)], [(ALIVE, None), ([Status.FAILED], since)], count
    )
    assert lists[0] == list(found.filter(status__in=ALIVE).order_by("-pk")[:count])
    assert lists[1] == list(found.filter(status__in=TERMINAL).order_by("-pk")[:3])
    lately = found if since is None else found.filter(requested_at__gte=since)
    runs = [*found.filter(status__in=ALIVE), *lately.filter(status=Status.FAILED)]
    of_each = Counter(run.status for run in runs)
    assert +counts == +Counter({each: min(n, count) for each, n in of_each.items()})


def make(robots: list[Robot], people: dict[str, User], drawn: list[Any]) -> int:
    """The runs that were drawn, an hour apart, by clocks that are wrong. Returns the first one's key."""
    runs = []
    for hour, (robot, by, (status, reason), origin, minutes) in enumerate(drawn):
        asked = START + timedelta(hours=hour, minutes=minutes)
        runs.append(
            Execution(
                robot=robots[robot],
                version_id=robots[robot].enabled_version_id,
                space_id=robots[robot].space_id,
                requested_by=people[by],
                origin=origin,
                status=status,
                failure_reason=reason,
                timeout_seconds=1,
                requested_at=asked,
                finished_at=asked if status in TERMINAL else None,
            )
        )
    Execution.objects.bulk_create(runs)
    return Execution.objects.order_by("pk").values_list("pk", flat=True).first() or 1


def test_what_no_index_knows_is_said() -> None:
    """Rather than read all of history for it."""
    everybody = History(rows=Execution.objects.all(), requested_by=User(pk=1))
    for history in (everybody, everybody.but(robots=[1], origin=Origin.API)):
        with pytest.raises(LookupError):
            history.newest(1)


def moving(monkeypatch: pytest.MonkeyPatch, move: Callable[[], object]) -> None:
    """Have `move` done once, between the look for the heads and the reading of the parts."""
    look, moves = module._Reading.look, [move]

    def late(self: Any, *arguments: Any) -> Any:
        if moves:
            moves.pop()()
        return look(self, *arguments)

    monkeypatch.setattr(module._Reading, "look", late)


def test_a_run_that_moves_meanwhile_cuts_no_list_short(
    robots: list[Robot], people: dict[str, User], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = ("alice", (Status.RUNNING, ""), Origin.API, 0)
    make(robots, people, [(number, *kind) for number in (0, 0, 2)])
    running = History(
        rows=Execution.objects.all(),
        robots=[robot.pk for robot in robots],
        statuses=[Status.RUNNING],
    )
    newest, *others = running.newest(3)
    ended = {"status": Status.COMPLETED, "finished_at": START}
    moving(monkeypatch, lambda: Execution.objects.filter(pk=newest.pk).update(**ended))
    assert running.newest(2) == others
    newest = others[0]
    moving(monkeypatch, lambda: Execution.objects.filter(pk=newest.pk).update(**ended))
    lists, _counts = running.but(statuses=()).glance([([Status.RUNNING], 1)], [], 1)
    assert lists == [others[1:]]


def test_a_run_that_is_met_in_two_parts_is_shown_once(
    robots: list[Robot], people: dict[str, User], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PARTS", 1)
    monkeypatch.setattr(module, "_LOOKS", 1)
    make(
        robots,
        people,
        [
            (0, "alice", (Status.RUNNING, ""), Origin.API, 0),
            (0, "alice", (Status.COMPLETED, ""), Origin.API, 0),
        ],
    )
    twice = [Status.RUNNING, Status.COMPLETED, Status.RUNNING]
    history = History(rows=Execution.objects.all(), robots=[robots[0].pk] * 2, statuses=twice)
    assert history.newest(5) == list(Execution.objects.order_by("-pk"))
