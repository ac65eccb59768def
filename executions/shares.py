"""Fair shares: in which order the runs of several spaces get their turns.

Each lane has a clock of its own, which counts time in slots. A run that waits gets the stretch of that clock
that it is expected to need, divided by the weight of its space: behind the last stretch of the same space, and
not before what is being run now. Whoever's stretch begins first is next. A space that has asked for ten
thousand runs therefore stands ten thousand stretches far into the future, and another one's first run before
nearly all of them. (Start-time fair queueing: Goyal, Vin and Cheng, 1996.)

Nothing is counted: the clock is what the tickets say, so that it cannot be wrong after a crash.
"""

import time
from dataclasses import dataclass

from django.db import connection

from executions.choices import Status, TicketState
from executions.models import Execution

#: What a robot is taken to need until it has run; what the others are taken to need at least and at most.
_UNKNOWN_MS, _LEAST_MS, _MOST_MS = 10_000, 100, 3_600_000
_LOOK_AT = 10
_KNOWN_SECONDS = 60.0

_CLOCK = """
    SELECT
        (SELECT MAX(turn) FROM executions_ticket WHERE lane_id = %s AND state = %s AND precedence = %s),
        (SELECT MIN(turn) FROM executions_ticket WHERE lane_id = %s AND state = %s AND precedence = %s),
        (SELECT MAX(turn_end) FROM executions_ticket WHERE lane_id = %s AND precedence = %s AND space_id = %s),
        (SELECT weight FROM executions_spaceshare WHERE space_id = %s)
"""


@dataclass(frozen=True)
class Turn:
    """A stretch of a lane's clock, in milliseconds of one slot."""

    begin: int
    end: int


def next_turn(*, lane_id: int, precedence: int, space_id: int, robot_id: int) -> Turn:
    """The turn of one more run of a robot, among those of the same lane and precedence."""
    with connection.cursor() as cursor:
        cursor.execute(
            _CLOCK,
            [
                *(lane_id, TicketState.LEASED, precedence),
                *(lane_id, TicketState.READY, precedence),
                *(lane_id, precedence, space_id),
                space_id,
            ],
        )
        running, waiting, own, weight = cursor.fetchone()
    now = running if running is not None else waiting or 0
    begin = max(now, own or 0)
    needed = expected_milliseconds(robot_id) // (weight or 1)
    return Turn(begin, begin + max(needed, 1))


_expected: dict[int, tuple[float, int]] = {}


def expected_milliseconds(robot_id: int) -> int:
    """What a run of the robot is likely to take: the mean of its last completed ones, asked once a minute."""
    known = _expected.get(robot_id)
    if known is not None and time.monotonic() - known[0] < _KNOWN_SECONDS:
        return known[1]
    last = Execution.objects.filter(robot=robot_id, status=Status.COMPLETED).order_by("-id")
    took = [
        (finished - started).total_seconds() * 1000
        for started, finished in last.values_list("started_at", "finished_at")[:_LOOK_AT]
        if started is not None and finished is not None
    ]
    mean = round(sum(took) / len(took)) if took else _UNKNOWN_MS
    expected = min(max(mean, _LEAST_MS), _MOST_MS)
    if len(_expected) >= 10_000:
        _expected.clear()
    _expected[robot_id] = (time.monotonic(), expected)
    return expected
