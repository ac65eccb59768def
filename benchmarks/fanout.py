"""What watching costs the server: for each frame, each connection, and each event.

Both servers have the same class and the same number of clients; they take turns in speaking to them.
"""

from contextlib import ExitStack

from benchmarks.house import HOST, House, cpu_seconds, free_port, resident_bytes
from benchmarks.report import Figure, kibibytes, median, microseconds
from benchmarks.stage import Assistant

_BYTES = 1024
_WARM_UP = 50
#: Watchers, frames a second, frames in a round, rounds.
_SOME = (200, 10.0, 20, 3)
_MANY = (1000, 4.0, 8, 3)
_MOST_CPU = 1.4
_MOST_READS = 1.1
_MOST_KIB = 32


def measure(house: House) -> list[Figure]:
    """Raises Incorrect if any watcher lost, repeated or reordered an event."""
    figures: list[Figure] = []
    with ExitStack() as stack:
        house.restart(engine="none")
        appender = stack.enter_context(Assistant(house, "benchmarks.appender"))
        port = free_port()
        raw = stack.enter_context(Assistant(house, "benchmarks.raw_server", port=port))
        raw.hear()
        ours = stack.enter_context(_crowd(house, house.port))
        theirs = stack.enter_context(_crowd(house, port))
        run = appender.ask(do="new")
        for crowd, path in ((ours, run["path"]), (theirs, "/")):
            crowd.ask(do="connect", path=path, count=_WARM_UP, whole=crowd is ours)
            crowd.ask(do="leave")
        speakers = [
            _Speaker(appender, ours, house.pid, number=run["number"]),
            _Speaker(raw, theirs, raw.pid),
        ]
        alone = _reads_of(house, speakers[0], ours, run["path"])
        memory: list[float] = []
        for watchers, rate, times, rounds in (_SOME, _MANY):
            run = appender.ask(do="new")
            speakers[0].turn_to(number=run["number"])
            empty = [resident_bytes(each.pid) for each in speakers]
            for each, path in zip(speakers, (run["path"], "/"), strict=True):
                each.crowd.ask(do="connect", path=path, count=watchers, whole=each.crowd is ours)
            ours.ask(do="reach", seq=1)
            if watchers == _MANY[0]:
                memory = [
                    (resident_bytes(each.pid) - before) / watchers
                    for each, before in zip(speakers, empty, strict=True)
                ]
            reads = _reads(house)
            costs: list[list[float]] = [[], []]
            for _round in range(rounds):
                for each, cost in zip(speakers, costs, strict=True):
                    cost.append(each.speak(times, rate))
            reads = _reads(house) - reads
            figures.append(_cpu(watchers, median(costs[0]), median(costs[1])))
            if watchers == _SOME[0]:
                figures.append(_tails(watchers, reads / (times * rounds), alone))
            for crowd in (ours, theirs):
                crowd.ask(do="leave")
        figures.append(_memory(*memory))
    return figures


class _Speaker:
    """Whoever says something to a crowd, and the server that carries it."""

    def __init__(self, voice: Assistant, crowd: Assistant, pid: int, **where: int) -> None:
        self.crowd = crowd
        self.pid = pid
        self._voice = voice
        self._where = where

    def turn_to(self, **where: int) -> None:
        self._where = where

    def speak(self, times: int, rate: float) -> float:
        """Seconds of the server's processor time for each frame that arrived."""
        self.crowd.ask(do="forget")
        before = cpu_seconds(self.pid)
        said = self._voice.ask(do="say", times=times, rate=rate, size=_BYTES, **self._where)
        self.crowd.ask(do="reach", seq=said["seq"])
        return (cpu_seconds(self.pid) - before) / float(self.crowd.ask(do="tell")["frames"])


def _crowd(house: House, port: int) -> Assistant:
    return Assistant(house, "benchmarks.crowd", host=HOST, port=port, key=house.key)


def _reads(house: House) -> float:
    """How often events were read for watchers."""
    return sum(house.metric("rpa_hub_reads_total", f'kind="{kind}"') for kind in ("tail", "page"))


def _reads_of(house: House, speaker: _Speaker, crowd: Assistant, path: str) -> float:
    """Reads for each event that one single watcher is shown."""
    _watchers, rate, times, _rounds = _SOME
    crowd.ask(do="connect", path=path, count=1)
    before = _reads(house)
    speaker.speak(times, rate)
    reads = _reads(house) - before
    crowd.ask(do="leave")
    return reads / times


def _cpu(watchers: int, ours: float, theirs: float) -> Figure:
    return Figure(
        name=f"server's CPU a frame of 1 KiB, {watchers:,} websockets",
        measured=microseconds(ours),
        baseline=f"{microseconds(theirs)} raw ASGI broadcast",
        ratio=ours / theirs,
        goal=f"<= {_MOST_CPU}",
        met=ours / theirs <= _MOST_CPU,
    )


def _tails(watchers: int, many: float, one: float) -> Figure:
    """One watcher that is late now and then reads two events at once: no more than one an event is as good."""
    return Figure(
        name=f"reads of the database an event, {watchers:,} watchers",
        measured=f"{many:.2f}",
        baseline=f"{one:.2f} with 1 watcher",
        ratio=many / one,
        goal=f"one, or <= {_MOST_READS}",
        met=many <= 1 or many / one <= _MOST_READS,
    )


def _memory(ours: float, theirs: float) -> Figure:
    return Figure(
        name=f"memory an idle websocket, {_MANY[0]:,} of them",
        measured=kibibytes(ours),
        baseline=f"{kibibytes(theirs)} raw ASGI",
        ratio=ours / theirs,
        goal=f"<= {_MOST_KIB} KiB",
        met=ours <= _MOST_KIB * 1024,
    )
