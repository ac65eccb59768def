"""Prints what a place in a long queue costs, and how fair it is. Told on stdin how many spaces and runs there are.

The queue keeps its length: who has ended is followed by another.
"""

import json
import sys
import time
from collections import Counter
from random import Random

import django

_CYCLES = 2000
_ALL_RUN = 10
#: How many steps of SQLite's machine are counted as one call.
_STEPS = 100


def main() -> None:
    django.setup()
    from django.core.management import call_command

    told = json.load(sys.stdin)
    call_command("migrate", verbosity=0)
    queue = _Queue(told["spaces"], told["runs"])
    began = _looked_at()
    seconds = queue.cycle()
    spent = _looked_at() - began
    sys.stdout.write(
        json.dumps(
            {
                "seconds": seconds,
                "work": spent / _CYCLES,
                "fairness": queue.fairness(),
                "behind": queue.newcomer(),
            }
        )
    )


_steps = 0


def _looked_at() -> int:
    """How much this connection has looked at so far: rows on MariaDB, steps of its machine on SQLite."""
    from django.db import connection

    if connection.vendor == "sqlite":
        if not _steps:
            connection.ensure_connection()
            connection.connection.set_progress_handler(_step, _STEPS)
        return _steps
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT SUM(variable_value) FROM information_schema.session_status "
            "WHERE variable_name LIKE 'Handler_read%'"
        )
        return int(cursor.fetchone()[0])


def _step() -> None:
    global _steps
    _steps += _STEPS


class _Queue:
    def __init__(self, spaces: int, runs: int) -> None:
        from benchmarks.admission_fill import fill
        from executions.lifecycle import Request
        from executions.models import Runner

        self.filled = fill(spaces, runs)
        self.weights = self.filled.weights
        self.free = [each.pk for each in self.filled.spaces[::2]]
        self.request = Request(self.filled.manifest)
        self.runner = Runner.objects.create(host="here", pid=1, slots=256)
        self.dice = Random(3)
        self.starts: Counter[int] = Counter()

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
            following = self.filled.run(2 * self.dice.randrange(len(self.free)))
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

        space = self.filled.spaces[1]
        Ticket.objects.filter(space=space).delete()
        RunLimit.objects.filter(space=space).delete()
        mine = self.filled.run(1)
        lifecycle.enqueue(mine, self.request)
        turn = Ticket.objects.get(pk=mine.pk).turn
        earlier = Q(turn__lt=turn) | Q(turn=turn, pk__lt=mine.pk)
        return Ticket.objects.filter(earlier, state=TicketState.READY).count()


if __name__ == "__main__":
    main()
