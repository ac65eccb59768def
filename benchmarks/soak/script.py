"""What the soak's writers write: the draft of every number follows from the run's id, and from nothing else.

Whoever reads knows therefore what must come next, whoever wrote it, and however often it was tried.
"""

import hashlib
from functools import lru_cache
from typing import Any

from executions.choices import EventKind
from executions.events import Draft

_TEXT = 'Grüße,\t"Rechnung" \\ 发票 \u2028 '


def length(uid: str) -> int:
    """How many drafts the run's robot has to say, if nobody cancels it."""
    return 100 + int(hashlib.sha256(uid.encode()).hexdigest()[:4], 16) % 1500


@lru_cache(maxsize=50_000)
def draft(uid: str, number: int) -> Draft:
    """A few lines mostly; sometimes progress; now and then lines of many KiB."""
    seed = hashlib.sha256(f"{uid}:{number}".encode())
    dice, noise = seed.digest(), seed.hexdigest()
    if dice[0] < 12:
        progress = {"percent": dice[1] / 2.55, "message": f"{number} {noise}"}
        return Draft(EventKind.PROGRESS, progress)
    times = dice[4] * 20 if dice[3] < 2 else dice[4] % 4
    lines = [f"{number}.{line} {noise} {_TEXT * times}" for line in range(1 + dice[1] % 3)]
    return Draft(EventKind.LOG, {"stream": "stdout"}, lines)


def data_of(uid: str, number: int, line: int) -> dict[str, Any]:
    """The event's data as readers must get it, when `line` lines came before."""
    written = draft(uid, number)
    if not written.lines:
        return written.data
    return {"first_line": line + 1, **written.data, "lines": written.lines}


def probe(uid: str, number: int) -> str:
    """What an operator says in between, whom nobody's offsets bind."""
    return f"{number} {hashlib.sha256(f'probe {uid}:{number}'.encode()).hexdigest()}"
