"""The processes of the soak: quickly forked, killed without warning, and gone when it ends."""

import ctypes
import importlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1


class Member:
    """One process, of which there may be a new one whenever it has died."""

    def __init__(self, crew: "Crew", name: str, part: str, *arguments: Any) -> None:
        self.name = name
        self.seed = 0
        self.expected_to_die = False
        self._crew = crew
        self._part = part
        self._arguments = arguments
        self.start()

    def start(self) -> None:
        """A new process, the old one being dead or given up."""
        self.seed = self._crew.next_seed()
        self.pipe, theirs = multiprocessing.Pipe()
        self.expected_to_die = False
        self.process = self._crew.context.Process(
            target=play,
            args=(self._part, theirs, str(self._crew.log), self._given()),
            name=self.name,
        )
        self.process.start()
        theirs.close()

    def _given(self) -> tuple[Any, ...]:
        return tuple(self.seed if each is SEED else each for each in self._arguments)

    def kill(self) -> None:
        """As a power cut."""
        self.expected_to_die = True
        self.process.kill()
        self.process.join()

    def send(self, number: signal.Signals) -> None:
        if self.process.pid is not None and self.process.exitcode is None:
            os.kill(self.process.pid, number)

    def told(self) -> Iterator[Any]:
        """What it has said since the last time, also with its last breath."""
        try:
            while self.pipe.poll():
                yield self.pipe.recv()
        except (EOFError, OSError):
            return


#: In the place of this argument, each process gets a number of its own.
SEED = object()


class Crew:
    """Starts members, as forks of one process that has loaded everything."""

    def __init__(self, log: Path, seed: int) -> None:
        self.log = log
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["benchmarks.soak.prelude"])
        self.members: list[Member] = []
        self._seed = seed * 1000

    def next_seed(self) -> int:
        self._seed += 1
        return self._seed

    def add(self, name: str, part: str, *arguments: Any) -> Member:
        member = Member(self, name, part, *arguments)
        self.members.append(member)
        return member

    def ask(self, part: str, *arguments: Any) -> Any:
        """What a process says that does one thing and ends."""
        member = Member(self, part, part, *arguments)
        try:
            answer = member.pipe.recv()
        except EOFError:
            raise RuntimeError(f"{part} died:\n{self.last_words()}") from None
        finally:
            member.process.join(10)
            member.kill()
        return answer

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""

    def end(self) -> None:
        for member in self.members:
            member.kill()
        self.members.clear()


def play(part: str, pipe: Connection, log: str, arguments: tuple[Any, ...]) -> None:
    """The whole life of a process: `part` is `module.function` of this package."""
    # Ctrl-C is for who started us; and when he dies, whatever of, so do we.
    os.setsid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    with open(log, "ab", buffering=0) as file:  # noqa: PTH123 - a descriptor is what is wanted
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    module, _dot, function = part.partition(".")
    try:
        getattr(importlib.import_module(f"benchmarks.soak.{module}"), function)(pipe, *arguments)
    except (BrokenPipeError, ConnectionResetError):
        sys.exit(0)
