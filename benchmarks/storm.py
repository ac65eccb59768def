"""A thousand clients lose their connection and come back at once, while others watch."""

from contextlib import ExitStack

from benchmarks.house import HOST, House
from benchmarks.report import Figure, milliseconds
from benchmarks.stage import Assistant

_CLIENTS = 1000
_OTHERS = 50
_RATE = 10.0
_MISSED = 50
_SECONDS = 4.0
_MOST_SECONDS = 2.0
_MOST_P99 = 0.5


def measure(house: House) -> list[Figure]:
    """Raises Incorrect if anybody missed an event, or got one twice."""
    with ExitStack() as stack:
        house.restart(engine="none")
        speaker = stack.enter_context(Assistant(house, "benchmarks.appender"))
        writer = stack.enter_context(Assistant(house, "benchmarks.appender"))
        crowd, others = (
            stack.enter_context(
                Assistant(house, "benchmarks.crowd", host=HOST, port=house.port, key=house.key)
            )
            for _crowd in range(2)
        )
        run, watched = writer.ask(do="new"), writer.ask(do="new")
        crowd.ask(do="connect", path=run["path"], count=_CLIENTS)
        others.ask(do="connect", path=watched["path"], count=_OTHERS)
        for each in (crowd, others):
            each.ask(do="reach", seq=1)
        quiet = _p99(others, _speak(speaker, others, watched["number"]).hear()["seq"])
        crowd.ask(do="drop")
        head = writer.ask(do="say", number=run["number"], times=_MISSED, rate=1000, size=1024)
        speaking = _speak(speaker, others, watched["number"])
        cpu = -house.cpu_seconds()
        back = crowd.ask(do="return", seq=head["seq"])
        cpu += house.cpu_seconds()
        meanwhile = _p99(others, speaking.hear()["seq"])
    return [
        Figure(
            name=f"{_CLIENTS:,} websockets come back at once: accepted",
            measured=milliseconds(back["accepted"]),
            goal=f"<= {_MOST_SECONDS:.0f} s",
            met=back["accepted"] <= _MOST_SECONDS,
        ),
        Figure(
            name=f"  with the {_MISSED} events that each had missed",
            measured=milliseconds(back["caught_up"]),
        ),
        Figure(
            name="  server's CPU time for each of them",
            measured=milliseconds(cpu / _CLIENTS),
        ),
        Figure(
            name=f"  {_OTHERS} others meanwhile, append to client, p99",
            measured=milliseconds(meanwhile),
            baseline=f"{milliseconds(quiet)} before",
            ratio=meanwhile / quiet,
            goal=f"<= {milliseconds(_MOST_P99)}",
            met=meanwhile <= _MOST_P99,
        ),
    ]


def _speak(speaker: Assistant, others: Assistant, number: int) -> Assistant:
    others.ask(do="forget")
    speaker.tell(do="say", number=number, times=int(_SECONDS * _RATE), rate=_RATE, size=1024)
    return speaker


def _p99(others: Assistant, seq: int) -> float:
    others.ask(do="reach", seq=seq)
    return float(others.ask(do="tell")["p99"])
