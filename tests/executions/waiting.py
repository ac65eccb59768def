"""Waiting for what a running robot does, without sleeping."""

import threading
from collections.abc import Callable

from executions import hints
from executions.events import Head, read_page
from executions.frames import Frame
from executions.models import Execution


def wait_for_event(
    execution: Execution, wanted: Callable[[Frame], bool], timeout: float = 30.0
) -> Frame:
    """The first event that `wanted` accepts, past or to come."""
    rung = threading.Event()

    def hear(number: int, _head: Head) -> None:
        if number == execution.pk:
            rung.set()

    stop = hints.listen(hear)
    try:
        after = 0
        while True:
            rung.clear()
            for frame in read_page(execution.pk, after=after, size=2**30, count=10**6):
                after = frame.seq
                if wanted(frame):
                    return frame
            assert rung.wait(timeout), "The event did not come in time."
    finally:
        stop()


def wait_for_line(execution: Execution, line: str) -> Frame:
    return wait_for_event(
        execution, lambda frame: frame.kind == "log" and f'"{line}"' in frame.text
    )
