"""The database's time, by which runners are judged: the machines of a fleet need not agree on theirs.

It is measured against a clock of this machine that nobody can set, so that a step of the wall clock
changes nothing. On SQLite the database has no clock but this machine's.
"""

import time
from datetime import UTC, datetime, timedelta

from django.db import connection
from django.utils import timezone

#: By then quartz has drifted by milliseconds.
_FRESH_SECONDS = 60.0

#: What the database said, and when by our own ticks.
_measured: tuple[datetime, float] | None = None


def now() -> datetime:
    """The database's time; asks it once a minute at most. Raises Error where it does not answer then."""
    if connection.vendor == "sqlite":
        return timezone.now()
    if _measured is None or ticks() - _measured[1] > _FRESH_SECONDS:
        return measure()
    at, then = _measured
    return at + timedelta(seconds=ticks() - then)


def measure() -> datetime:
    """Ask the database now: a heartbeat does so anyway. Raises Error where it does not answer."""
    global _measured
    if connection.vendor == "sqlite":
        return timezone.now()
    connection.ensure_connection()  # that is not the answer's time
    with connection.cursor() as cursor:
        asked = ticks()
        cursor.execute("SELECT UTC_TIMESTAMP(6)")
        (found,) = cursor.fetchone()
    # Somewhere on the way it was this late: the middle is wrong by half of the way at most.
    _measured = (found.replace(tzinfo=UTC), (asked + ticks()) / 2)
    return now()


def ticks() -> float:
    """Seconds by a clock that nobody sets, and that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
