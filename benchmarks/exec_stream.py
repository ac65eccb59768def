"""How long a workflow waits that calls a robot by `POST /rpa/v1/exec`."""

import time

from benchmarks.client import Connection, Incorrect
from benchmarks.house import HOST, House
from benchmarks.report import Figure, median, milliseconds, percentile

_CALLS = 40
#: The services that this door replaces look every ten seconds whether a run has ended.
_POLL_SECONDS = 10.0


async def measure(house: House) -> list[Figure]:
    taken = []
    for _call in range(_CALLS):
        began = time.perf_counter()
        # A connection for each call, as those workflows make it.
        async with Connection(HOST, house.port, house.key) as connection:
            answer = await connection.final_answer(house.robot("noop"))
        taken.append(time.perf_counter() - began)
        if answer["code"] != 0:
            raise Incorrect(f"/rpa/v1/exec answered {answer}")
    p50 = median(taken)
    return [
        Figure(
            name="/rpa/v1/exec of an instant robot, p50",
            measured=milliseconds(p50),
            baseline=f"{_POLL_SECONDS:.0f} s poll",
            ratio=_POLL_SECONDS / p50,
            goal="<= 250 ms",
            met=p50 <= 0.25,
        ),
        Figure(
            name="/rpa/v1/exec of an instant robot, p99",
            measured=milliseconds(percentile(taken, 99)),
        ),
    ]
