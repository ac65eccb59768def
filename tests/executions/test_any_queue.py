"""The queue under every order of requests, claims, ends, hand-backs, cancels and changed limits."""

from io import BytesIO
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from accounts.models import User
from executions import lifecycle, tickets
from executions.choices import Scope, Status, TicketState
from executions.lifecycle import Ending
from executions.models import Execution, Pool, RunLimit, Runner, Ticket
from executions.sweeper import Sweeper
from robots import services
from robots.manifest import Manifest
from robots.models import Robot
from spaces.models import Space, SpaceRole
from tests.factories import make_execution, make_robot, make_space, owner_of

pytestmark = pytest.mark.django_db

MOST = st.sampled_from([0, 1, 2, 3, None])


def publish(robot: Robot, words: str) -> None:
    """One more version, which says this of itself."""
    said = f"# /// script\n# [tool.rpa]\n# {words}\n# ///\n"
    services.publish_version(
        robot=robot, file=BytesIO(said.encode()), file_name="robot.py", by=owner_of(robot.space)
    )


class Queue(RuleBasedStateMachine):
    """Four robots in two spaces, of which one belongs to an enterprise; and what a simple model says of them.

    Of each there are versions that bear any number of runs, one, and three.
    """

    def __init__(self, robots: list[Robot]) -> None:
        super().__init__()
        self.robots = robots
        self.versions = {each.pk: list(each.versions.order_by("number")) for each in robots}
        self.bears = {
            version.pk: Manifest.from_json(version.manifest).concurrency
            for versions in self.versions.values()
            for version in versions
        }
        self.runner = Runner.objects.create(host="here", pid=1, slots=9)
        self.waiting: dict[int, Execution] = {}
        self.leased: dict[int, Execution] = {}
        self.limits: dict[tuple[str, int], int] = {}

    def full(self, run: Execution) -> bool:
        robot = self.robot_of(run)
        same = sum(each.robot_id == robot.pk for each in self.leased.values())
        bears = self.bears[run.version_id]
        if bears is not None and same >= bears:
            return True
        pool = Pool.objects.get(name="default").pk
        mine = {"robot": robot.pk, "space": robot.space_id, "pool": pool}
        if robot.space.enterprise_id:
            mine["enterprise"] = robot.space.enterprise_id
        for (scope, key), most in self.limits.items():
            if mine.get(scope) != key:
                continue
            running = [
                each
                for each in self.leased.values()
                if scope == "pool" or self.key(each, scope) == key
            ]
            if len(running) >= most:
                return True
        return False

    def key(self, run: Execution, scope: str) -> int | None:
        robot = next(each for each in self.robots if each.pk == run.robot_id)
        keys = {
            "robot": robot.pk,
            "space": robot.space_id,
            "enterprise": robot.space.enterprise_id,
        }
        return keys[scope]

    @rule(
        which=st.integers(0, 3),
        version=st.sampled_from([0, 0, 1, 2]),
        priority=st.sampled_from([0, 0, 0, 5, -5]),
    )
    def request(self, which: int, version: int, priority: int) -> None:
        robot = self.robots[which]
        chosen = self.versions[robot.pk][version]
        run = make_execution(robot, version=chosen, priority=priority)
        self.waiting[run.pk] = run

    @rule()
    def claim(self) -> None:
        """Whoever may start is let in; nobody else is."""
        may = {pk for pk, run in self.waiting.items() if not self.full(run)}
        waiting = Ticket.objects.filter(state=TicketState.READY)
        ready = set(waiting.values_list("pk", flat=True))
        found = lifecycle.claim_next(self.runner)
        if found is None:
            assert not may, "room was left, and nobody was let in"
            return
        run = found[0]
        assert run.pk in may
        # Who is held back is called by an end, and one that was called before may come first.
        assert self.priority_of(run.pk) == max(map(self.priority_of, {run.pk, *(may & ready)}))
        self.leased[run.pk] = self.waiting.pop(run.pk)

    def robot_of(self, run: Execution) -> Robot:
        return next(each for each in self.robots if each.pk == run.robot_id)

    def priority_of(self, pk: int) -> int:
        return -Ticket.objects.get(pk=pk).precedence

    @precondition(lambda self: self.leased)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        pk = data.draw(st.sampled_from(sorted(self.leased)))
        lifecycle.finish(pk, Ending(Status.CANCELLED))
        del self.leased[pk]

    @precondition(lambda self: self.leased)
    @rule(data=st.data())
    def hand_back(self, data: st.DataObject) -> None:
        pk = data.draw(st.sampled_from(sorted(self.leased)))
        assert lifecycle.release(Execution.objects.get(pk=pk))
        self.waiting[pk] = self.leased.pop(pk)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        pk = data.draw(st.sampled_from(sorted(self.waiting)))
        lifecycle.finish(pk, Ending(Status.CANCELLED))
        del self.waiting[pk]

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), priority=st.integers(-3, 3))
    def move(self, data: st.DataObject, priority: int) -> None:
        pk = data.draw(st.sampled_from(sorted(self.waiting)))
        assert tickets.set_priority(pk, priority)

    @rule(
        scope=st.sampled_from(["robot", "space", "enterprise", "pool"]),
        which=st.integers(0, 3),
        most=MOST,
    )
    def limit(self, scope: str, which: int, most: int | None) -> None:
        """An operator changes a limit; the next sweep lets in what it allows."""
        robot = self.robots[which]
        thing: Any = {
            "robot": robot,
            "space": robot.space,
            "enterprise": robot.space.enterprise,
            "pool": Pool.objects.get(name="default"),
        }[scope]
        if thing is None:
            return
        RunLimit.objects.filter(**{scope: thing}).delete()
        self.limits.pop((scope, thing.pk), None)
        if most is not None:
            RunLimit.objects.create(**{scope: thing}, most=most)
            self.limits[(scope, thing.pk)] = most
        for _every_scope in range(len(Scope)):
            Sweeper().sweep()

    @invariant()
    def every_run_has_the_ticket_of_its_state(self) -> None:
        held = dict(Ticket.objects.values_list("pk", "state"))
        assert held.keys() == self.waiting.keys() | self.leased.keys()
        for pk in self.leased:
            assert held[pk] == TicketState.LEASED
        for pk in self.waiting:
            assert held[pk] in (TicketState.READY, TicketState.HELD)

    def teardown(self) -> None:
        Ticket.objects.all().delete()
        RunLimit.objects.all().delete()


# Hundreds of claims and sweeps; where it is ended early, Hypothesis takes that for a flaky example.
@pytest.mark.timeout(900)
def test_limits_hold_and_leave_no_room_unused(space: Space, people: dict[str, User]) -> None:
    own = make_space("Own", {people["alice"]: SpaceRole.OWNER})
    robots = [make_robot(room, name) for room in (space, own) for name in ("a", "b")]
    for robot in robots:
        for most in (1, 3):
            publish(robot, f"concurrency = {most}")
    run_state_machine_as_test(
        lambda: Queue(robots),
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
