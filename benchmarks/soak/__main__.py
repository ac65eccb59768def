"""The command: start everything, kill at random, count, and judge."""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType

from benchmarks.soak.backing import MariaDB, Redis, free_port, listens, wait_until
from benchmarks.soak.crew import SEED, Crew, Member

ROOT = Path(__file__).resolve().parents[2]
#: The exit code of `benchmarks.soak.writers.FENCED`, which cannot be imported without a database.
_FENCED = 17
_DRAIN_SECONDS = 150.0
_SAY_SECONDS = 10.0


class Soak:
    """One run of the soak. Its counts and faults grow while it goes on."""

    def __init__(self, options: argparse.Namespace, folder: Path, stack: ExitStack) -> None:
        self.counts: Counter[str] = Counter()
        self.kills: Counter[str] = Counter()
        self.faults: list[str] = []
        self._options = options
        self._dice = random.Random(options.seed)
        self._digests: set[tuple[int, int, str]] = set()
        self._redis = Redis(folder / "redis") if options.redis else None
        self._mariadb = MariaDB(folder / "mariadb") if options.database == "mariadb" else None
        for backing in (self._redis, self._mariadb):
            if backing is not None:
                stack.callback(backing.kill)
                backing.start()
        if self._mariadb is not None:
            self._mariadb.create()
        self._set_environment(folder)
        self._crew = Crew(folder / "log", options.seed)
        stack.callback(self._crew.end)
        self._zombies: list[tuple[float, Member]] = []
        #: Until when a zombie may have robbed the writer of this name.
        self._haunted: dict[str, float] = {}
        #: What is down, and when it is started again.
        self._down: dict[str, float] = {}

    def _set_environment(self, folder: Path) -> None:
        """Nothing of a platform that the caller may have is used."""
        for name in [name for name in os.environ if name.startswith("RPA_")]:
            del os.environ[name]
        os.environ.update(
            DJANGO_SETTINGS_MODULE="rpa_platform.settings",
            RPA_DATA_DIR=str(folder),
            RPA_DATABASE_URL=self._mariadb.url if self._mariadb else "",
            RPA_REDIS_URL=self._redis.url if self._redis else "",
            RPA_ENGINE="none",
            RPA_ARCHIVE_AFTER="1",
            RPA_API_RATE="1000000000/min",
        )

    def run(self) -> None:
        key, port, crew = self._crew.ask("house.furnish"), free_port(), self._crew
        self._server = crew.add("server", "house.serve", port)
        wait_until(lambda: listens(port), "The server")
        each = self._options.readers
        self._writers = [
            crew.add(f"writer {number}", "readers.write", SEED, f"writer {number}", 2)
            for number in range(2)
        ]
        self._sealers = [crew.add(f"sealer {n}", "keepers.seal", SEED) for n in range(2)]
        operator = crew.add("operator", "keepers.operate", SEED)
        self._readers = [
            crew.add("readers", "readers.read", SEED, port, key, each),
            crew.add("deaf readers", "readers.read_deaf", SEED, max(each // 2, 1)),
        ]
        self._go_on()
        self._make_peace()
        self._end(self._writers)
        operator.kill()
        self._end(self._readers)
        for member in (*self._sealers, self._server):
            member.kill()
        digests, faults, segments = crew.ask("audit.audit")
        self.faults += faults
        self.counts["runs"] = len(digests)
        self.counts["segments"] = segments
        read = {(number, seq, digest) for number, (seq, digest) in digests.items()}
        self.faults += [
            f"Run {number}: a reader got other bytes than what is stored ({seq} events)."
            for number, seq, _digest in self._digests - read
        ]

    def _go_on(self) -> None:
        """Kill and count until enough was delivered, or the time is up."""
        began = said = time.monotonic()
        until = began + self._options.minutes * 60
        next_kill = began + 1
        while self.counts["deliveries"] < self._options.deliveries and not self.faults:
            now = time.monotonic()
            if now > until:
                return
            time.sleep(0.05)
            self._listen()
            self._start_again(now)
            if now > next_kill:
                self._harm(now)
                next_kill = now + self._dice.expovariate(1 / self._options.pause)
            if now > said + _SAY_SECONDS:
                said = now
                print(f"{now - began:.0f} s: {self.summary()}", file=sys.stderr, flush=True)

    def _harm(self, now: float) -> None:
        writer = self._dice.choice(self._writers)
        deeds = [self._kill] * 5 + [self._stop]
        deed = self._dice.choice(deeds)
        victims = [writer, writer, self._dice.choice(self._sealers), self._server]
        if deed == self._stop:
            self._stop(self._dice.choice([writer, *self._sealers]), now)
            return
        backings = [("redis", self._redis, 2.0), ("database", self._mariadb, 0.5)]
        for name, backing, longest in backings:
            if backing is not None and name not in self._down and self._dice.random() < 0.15:
                backing.kill()
                self.kills[name] += 1
                self._down[name] = now + self._dice.random() * longest
                return
        self._kill(self._dice.choice(victims), now)

    def _kill(self, member: Member, _now: float) -> None:
        member.kill()
        self.kills[member.name.split(" ")[0]] += 1
        self._hear(member)
        member.start()

    def _stop(self, member: Member, now: float) -> None:
        """Taken for dead, replaced, and then it wakes up: it must change nothing any more."""
        member.send(signal.SIGSTOP)
        self.kills[f"{member.name.split(' ')[0]} taken for dead"] += 1
        zombie = Member.__new__(Member)
        zombie.__dict__.update(member.__dict__)
        zombie.expected_to_die = True
        self._zombies.append((now + self._dice.random(), zombie))
        member.start()

    def _start_again(self, now: float) -> None:
        for at, zombie in [*self._zombies]:
            if now > at:
                zombie.send(signal.SIGCONT)
            if now > at + 3:
                # A sealer, or a writer whose runs had all ended: it lives on, and need not.
                zombie.kill()
            self._haunted[zombie.name] = now + 5
            if zombie.process.exitcode is not None:
                self._hear(zombie)
                self.counts["fenced"] += zombie.process.exitcode == _FENCED
                self._zombies.remove((at, zombie))
        for name, backing in (("redis", self._redis), ("database", self._mariadb)):
            if backing is not None and self._down.get(name, now) < now:
                del self._down[name]
                backing.start()

    def _make_peace(self) -> None:
        for _at, zombie in self._zombies:
            zombie.kill()
            self._hear(zombie)
        self._zombies.clear()
        self._start_again(time.monotonic() + 1e9)

    def _end(self, members: list[Member]) -> None:
        """Tell them that it is enough, and wait until they have finished what they had begun."""
        for member in members:
            with suppress(OSError):  # it is dead already, which is a fault of its own
                member.pipe.send("enough")
        deadline = time.monotonic() + _DRAIN_SECONDS
        while any(member.process.exitcode is None for member in members):
            if time.monotonic() > deadline:
                names = [m.name for m in members if m.process.exitcode is None]
                self.faults.append(f"{', '.join(names)} did not come to an end.")
                return
            time.sleep(0.05)
            self._listen()
        self._listen()

    def _listen(self) -> None:
        for member in self._crew.members:
            self._hear(member)
            if member.process.exitcode not in (None, 0) and not member.expected_to_die:
                self._judge_death(member)

    def _judge_death(self, member: Member) -> None:
        """Nobody dies by himself, but for a writer whom a zombie robbed of a run before it found out."""
        code = member.process.exitcode
        if code == _FENCED and time.monotonic() < self._haunted.get(member.name, 0):
            self.counts["fenced"] += 1
            member.start()
            return
        member.expected_to_die = True
        self.faults.append(f"{member.name} ended with {code} by itself.")

    def _hear(self, member: Member) -> None:
        for counts, faults, read in member.told():
            self.counts.update(counts)
            self.faults += faults
            self._digests.update(read)

    def last_words(self) -> str:
        return self._crew.last_words()

    def summary(self) -> str:
        counts = self.counts
        return (
            f"{counts['deliveries']:,} deliveries, {counts['readings']:,} streams read to the end, "
            f"{counts['reconnects']:,} reconnects, {self.kills.total():,} kills, "
            f"gaps={counts['gaps']}, duplicates={counts['duplicates']}, wrong={counts['wrongs']}"
        )


def main() -> int:
    """0 if everything that was delivered was right, else 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--deliveries", type=int, default=1_000_000, help="stop after so many")
    parser.add_argument("--minutes", type=float, default=20, help="stop after this time anyway")
    parser.add_argument("--database", choices=("sqlite", "mariadb"), default="sqlite")
    parser.add_argument("--no-redis", dest="redis", action="store_false", help="hints by no Redis")
    parser.add_argument("--readers", type=int, default=12, help="so many for each door")
    parser.add_argument(
        "--pause", type=float, default=0.5, help="seconds between kills, on average"
    )
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the dice")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    os.chdir(ROOT)
    began = time.monotonic()
    print(f"{options.database}, seed {options.seed}, load {os.getloadavg()[0]:.1f}", flush=True)
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="rpa-soak-"))
        folder.chmod(0o711)
        stack.callback(shutil.rmtree, folder)
        soak = Soak(options, folder, stack)
        try:
            soak.run()
        except KeyboardInterrupt:
            soak.faults.append("Interrupted.")
        words = soak.last_words() if soak.faults else ""
    print(soak.summary())
    for title, counted in (("kills", soak.kills), ("counts", soak.counts)):
        print(f"{title}: " + ", ".join(f"{name} {counted[name]:,}" for name in sorted(counted)))
    print(f"{time.monotonic() - began:.0f} s")
    for fault in soak.faults[:20]:
        print(f"FAULT: {fault}", file=sys.stderr)
    if words:
        print(f"The last words of its processes:\n{words}", file=sys.stderr)
    return 1 if soak.faults else 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
