"""Runs that were asked for over the stream, and what becomes of them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from asgiref.sync import sync_to_async

from executions import hints, lifecycle
from executions.choices import EventKind, Status
from executions.events import Draft, Source, append
from executions.lifecycle import Ending
from executions.models import Execution
from robots.models import Robot
from tests.interop.wire import Call, answer_of

NO_RESULT = object()


def wanted(robot: Robot, **more: Any) -> dict[str, Any]:
    return {"project_id": str(robot.uid), "sid": "s1", **more}


@sync_to_async
def newest() -> Execution:
    return Execution.objects.latest("pk")


@sync_to_async
def end(execution: Execution, ending: Ending, result: Any = NO_RESULT) -> None:
    """What a runner does: start it unless it has started, and finish it."""
    execution.refresh_from_db()
    if execution.status == Status.PENDING:
        lifecycle.start(execution, Source("", 0, 0))
    drafts = [] if result is NO_RESULT else [Draft(EventKind.RESULT, {"value": result})]
    lifecycle.finish(execution.pk, ending, drafts=drafts)


@sync_to_async
def say(execution: Execution, *lines: str) -> None:
    append(execution.pk, [Draft(EventKind.LOG, {"stream": "stdout"}, [each]) for each in lines])


@sync_to_async
def count() -> int:
    return Execution.objects.count()


@contextmanager
def birth() -> Iterator[asyncio.Future[None]]:
    """Done once a run has been requested, by whichever thread."""
    loop = asyncio.get_running_loop()
    born: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not born.done():
            born.set_result(None)

    stop = hints.listen(lambda _number, _head: loop.call_soon_threadsafe(tell))
    try:
        yield born
    finally:
        stop()


async def called(body: dict[str, Any], **more: Any) -> tuple[Call, Execution]:
    """A call whose run, a new one, exists."""
    with birth() as born:
        call = await Call(body, **more).open()
        await asyncio.wait_for(born, 10)
    return call, await newest()


async def finished(call: Call) -> dict[str, Any]:
    await call.rest()
    return answer_of(call)


COMPLETED = Ending(Status.COMPLETED, exit_code=0)


async def ended_ago(execution: Execution, age: timedelta) -> None:
    await execution.arefresh_from_db()
    assert execution.finished_at is not None
    moved = execution.finished_at - age
    await Execution.objects.filter(pk=execution.pk).aupdate(
        requested_at=moved, started_at=moved, finished_at=moved
    )
    await execution.arefresh_from_db()
    execution.finished_at += age
