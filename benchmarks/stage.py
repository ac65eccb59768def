"""Processes that the parts about streams share: they are told what to do line by line, in JSON."""

import json
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from benchmarks.client import Incorrect
from benchmarks.house import House


class Assistant:
    """`python -m module` on the house's data. Use it as a context manager."""

    def __init__(self, house: House, module: str, **given: Any) -> None:
        self._module = module
        self._process = house.popen(module)
        self.tell(**given)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            with suppress(BrokenPipeError):  # it died before it had read everything
                pipe.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, **command: Any) -> None:
        """Have it begin; `hear` says when it is done."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()

    def hear(self) -> Any:
        """Its next answer. Raises Incorrect if there is none, or if it has found a fault."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise Incorrect(f"{self._module} died.")
        answer = json.loads(line)
        if answer.get("faults"):
            some = "\n".join(answer["faults"][:10])
            raise Incorrect(f"{len(answer['faults'])} faults of the streams, such as:\n{some}")
        return answer

    def ask(self, **command: Any) -> Any:
        self.tell(**command)
        return self.hear()
