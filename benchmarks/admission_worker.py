"""Prints what a place in a long queue costs, and how fair it is. Told on stdin how many spaces and runs there are.

Every second space is at its limit of one run from the beginning, so that what waits there is held back; every
tenth of the others has three times the weight. The queue keeps its length: who has ended is followed by another.
"""

import json
import sys
import time
from collections import Counter
from random import Random
from typing import Any

import django

_CYCLES = 2000
_SLICE = 5000
_ALL_RUN = 10


def main() -> None:
    django.setup()
    from django.core.management import call_command

    told = json.load(sys.stdin)
    call_command("migrate", verbosity=0)
    queue = _Queue(told["spaces"], told["runs"])
    seconds = queue.cycle()
    sys.stdout.write(
        json.dumps({"seconds": seconds, "fairness": queue.fairness(), "behind": queue.newcomer()})
    )


class _Queue:
    def __init__(self, spaces: int, runs: int) -> None:
        from accounts.models import User
        from executions.lifecycle import Request
        from executions.models import Runner, SpaceShare
        from executions.tickets import lane_of
        from robots.manifest import Kind, Manifest
        from robots.models import Robot, RobotVersion
        from spaces.models import Space

        self.user = User.objects.create_user("clock")
        Space.objects.bulk_create(
            [Space(name=f"space {n}", creator=self.user) for n in range(spaces)], _SLICE
        )
        self.spaces = list(Space.objects.order_by("pk"))
        Robot.objects.bulk_create(
            [Robot(space=each, name="robot", created_by=self.user) for each in self.spaces], _SLICE
        )
        self.robots = list(Robot.objects.order_by("pk"))
        script = Manifest(Kind.SCRIPT, "robot.py", {"main": ("python", "robot.py")}).to_json()
        version: dict[str, Any] = {"number": 1, "kind": "script", "manifest": script, "size": 1}
        RobotVersion.objects.bulk_create(
            [RobotVersion(robot=each, created_by=self.user, **version) for each in self.robots],
            _SLICE,
        )
        self.versions = list(RobotVersion.objects.order_by("pk"))
        self.weights = {each.pk: 3 if n % 20 == 0 else 1 for n, each in enumerate(self.spaces)}
        SpaceShare.objects.bulk_create(
            [SpaceShare(space_id=pk, weight=3) for pk, weight in self.weights.items() if weight > 1]
        )
        self.free = [each.pk for each in self.spaces[::2]]
        self.request = Request(Manifest.from_json(script))
        self.runner = Runner.objects.create(host="here", pid=1, slots=256)
        self.lane = lane_of("", ())
        self.dice = Random(3)
        self.starts: Counter[int] = Counter()
        self._fill(runs)

    def _fill(self, runs: int) -> None:
        """As requests would have filled it: the turns of each space lie one behind the other."""
        from executions.choices import Scope, TicketState
        from executions.models import Execution, ExecutionStream, RunLimit, Ticket

        busy = set(range(1, len(self.spaces), 2))
        RunLimit.objects.bulk_create([RunLimit(space=self.spaces[n], most=0) for n in busy], _SLICE)
        Execution.objects.bulk_create(
            [self._execution(n % len(self.robots)) for n in range(runs)], _SLICE
        )
        turns: Counter[int] = Counter()
        tickets, streams = [], []
        for n, execution in enumerate(Execution.objects.order_by("pk").iterator(_SLICE)):
            held = n % len(self.robots) in busy
            begin = turns[execution.space_id]
            turns[execution.space_id] += 10_000 // self.weights[execution.space_id]
            tickets.append(
                Ticket(
                    execution=execution,
                    lane=self.lane,
                    pool=self.lane.pool,
                    robot_id=execution.robot_id,
                    space_id=execution.space_id,
                    state=TicketState.HELD if held else TicketState.READY,
                    held_scope=Scope.SPACE if held else None,
                    held_by=execution.space_id if held else None,
                    turn=begin,
                    turn_end=turns[execution.space_id],
                )
            )
            streams.append(ExecutionStream(execution=execution))
        Ticket.objects.bulk_create(tickets, _SLICE)
        ExecutionStream.objects.bulk_create(streams, _SLICE)

    def _execution(self, robot: int) -> Any:
        from executions.choices import Origin, PendingReason
        from executions.models import Execution

        return Execution(
            robot=self.robots[robot],
            version=self.versions[robot],
            space=self.spaces[robot],
            requested_by=self.user,
            origin=Origin.API,
            timeout_seconds=60,
            pending_reason=PendingReason.QUEUED,
        )

    def cycle(self) -> float:
        """The mean of the seconds in which one run is requested, another is claimed, and one ends."""
        from executions import lifecycle
        from executions.choices import Status
        from executions.lifecycle import Ending

        running: list[int] = []
        spent = 0.0
        for _cycle in range(_CYCLES):
            began = time.perf_counter()
            claimed = lifecycle.claim_next(self.runner)
            spent += time.perf_counter() - began
            assert claimed is not None
            execution = claimed[0]
            self.starts[execution.space_id] += 1
            running.append(execution.pk)
            following = self._execution(2 * self.dice.randrange(len(self.robots) // 2))
            began = time.perf_counter()
            lifecycle.enqueue(following, self.request)
            if len(running) > _ALL_RUN:
                number = running.pop(self.dice.randrange(len(running)))
                lifecycle.finish(number, Ending(Status.CANCELLED))
            spent += time.perf_counter() - began
        return spent / _CYCLES

    def fairness(self) -> float:
        """Jain's index of the starts, each divided by its space's weight; 1 is as fair as can be."""
        shares = [self.starts[space] / self.weights[space] for space in self.free]
        return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))

    def newcomer(self) -> int:
        """How many of those that wait start before the first run of a space that had none."""
        from django.db.models import Q

        from executions import lifecycle
        from executions.choices import TicketState
        from executions.models import RunLimit, Ticket

        space = self.spaces[1]
        Ticket.objects.filter(space=space).delete()
        RunLimit.objects.filter(space=space).delete()
        mine = self._execution(1)
        lifecycle.enqueue(mine, self.request)
        turn = Ticket.objects.get(pk=mine.pk).turn
        earlier = Q(turn__lt=turn) | Q(turn=turn, pk__lt=mine.pk)
        return Ticket.objects.filter(earlier, state=TicketState.READY).count()


if __name__ == "__main__":
    main()
