"""How many refusals are written: whoever knocks all day must not fill the audit."""

import time

from django.core.cache import cache

#: In a minute, in each process.
OF_ONE = 20
OF_ALL = 300
_SECONDS = 60


def refusals_left(who: str) -> int:
    """How many refusals may still be written of `who` in this minute, this one included; 0 is none."""
    minute = int(time.time()) // _SECONDS
    own = OF_ONE + 1 - _count(f"audit:{minute}:{who}")
    if own <= 0:
        return 0
    return max(0, min(own, OF_ALL + 1 - _count(f"audit:{minute}")))


def _count(key: str) -> int:
    cache.add(key, 0, _SECONDS)
    try:
        return cache.incr(key)
    except ValueError:  # a full cache has thrown it out in between
        return 1
