"""How long a caller waits, and how long an ended run is joined."""

from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from accounts.models import User
from executions import lifecycle, services
from executions.choices import Status
from executions.lifecycle import Ending
from executions.models import Execution, Runner
from robots.models import Robot
from spaces.models import SpacePermission
from tests.interop.runs import COMPLETED, called, count, end, ended_ago, finished, say, wanted
from tests.interop.wire import Call, answer_of, post

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quiet")]


async def test_a_timeout_answers_and_cancels(robot: Robot, token: str, settings: Any) -> None:
    settings.RPA_TIMEOUT = 0.05
    call, execution = await called(wanted(robot), token=token)
    answer = await finished(call)
    assert answer == {"code": 55003, "message": "Timeout error", "sid": "s1", "data": None}
    await execution.arefresh_from_db()
    assert execution.status == Status.CANCELLED


@pytest.mark.parametrize("runs", [False, True])
async def test_who_repeats_a_call_that_timed_out_is_told_so_again(
    robot: Robot, token: str, settings: Any, runs: bool
) -> None:
    """Nobody has cancelled the run but the platform, and that is what a caller hears."""
    settings.RPA_TIMEOUT = 1.2
    call, execution = await called(wanted(robot), token=token)
    beside = await Call(wanted(robot), token=token).open()
    if runs:
        await claimed(execution)
    assert (await finished(call))["code"] == 55003
    if runs:
        await stopped(execution)
    assert (await finished(beside))["code"] == 55003
    await execution.arefresh_from_db()
    assert execution.status == Status.CANCELLED
    again = answer_of(await post(wanted(robot), token=token))
    assert again == {"code": 55003, "message": "Timeout error", "sid": "s1", "data": None}
    assert await count() == 1


@sync_to_async
def claimed(execution: Execution) -> None:
    assert lifecycle.claim_next(Runner.objects.create(host="here", pid=1, slots=1)) is not None


@sync_to_async
def stopped(execution: Execution, message: str = "") -> None:
    lifecycle.finish(execution.pk, Ending(Status.CANCELLED, message=message))


@pytest.mark.parametrize("runs", [False, True])
async def test_what_somebody_cancelled_is_cancelled(
    robot: Robot, token: str, settings: Any, people: dict[str, User], runs: bool
) -> None:
    settings.RPA_TIMEOUT = 30
    call, execution = await called(wanted(robot), token=token)
    if runs:
        await claimed(execution)
    moved = execution.requested_at - timedelta(seconds=60)
    await Execution.objects.filter(pk=execution.pk).aupdate(requested_at=moved)
    bob = people["bob"]
    cancel = sync_to_async(lifecycle.request_cancel)
    await cancel(execution, by=bob, at=timezone.now())
    if runs:
        await stopped(execution, "Cancelled by bob.")
    assert (await finished(call))["message"] == "Query task error: cancelled"
    again = answer_of(await post(wanted(robot), token=token))
    assert (again["code"], again["message"]) == (55002, "Query task error: cancelled")


async def test_what_the_platform_ended_for_another_reason_is_cancelled(
    robot: Robot, token: str
) -> None:
    call, execution = await called(wanted(robot), token=token)
    await sync_to_async(services.abandon_execution)(execution)
    assert (await finished(call))["code"] == 55002


async def test_a_timeout_may_leave_the_run_alone(robot: Robot, token: str, settings: Any) -> None:
    settings.RPA_TIMEOUT, settings.RPA_TIMEOUT_CANCELS = 0.05, False
    call, execution = await called(wanted(robot), token=token)
    assert (await finished(call))["code"] == 55003
    await execution.arefresh_from_db()
    assert execution.status == Status.PENDING


async def test_an_ended_run_is_joined_for_ten_minutes(robot: Robot, token: str) -> None:
    call, execution = await called(wanted(robot), token=token)
    await end(execution, COMPLETED, {"n": 1})
    first = await finished(call)
    assert answer_of(await post(wanted(robot), token=token)) == first
    await ended_ago(execution, timedelta(minutes=9))
    assert answer_of(await post(wanted(robot), token=token)) == first
    assert await count() == 1
    await ended_ago(execution, timedelta(minutes=11))
    later, second = await called(wanted(robot), token=token)
    assert second.pk != execution.pk
    joined = await Call(wanted(robot), token=token).open()
    await end(second, COMPLETED, {"n": 2})
    assert (await finished(later))["data"] == (await finished(joined))["data"] == {"n": 2}
    assert await count() == 2


async def test_who_may_cancel_nothing_still_times_out(
    robot: Robot, token: str, settings: Any
) -> None:
    """It is the platform that gives up, whatever the caller may do."""
    deeds = SpacePermission.objects.filter(permission_key__startswith="execution.cancel")
    await sync_to_async(deeds.update)(owner=False)
    settings.RPA_TIMEOUT = 0.05
    call, execution = await called(wanted(robot), token=token)
    assert (await finished(call))["code"] == 55003
    await execution.arefresh_from_db()
    assert execution.status == Status.CANCELLED


@pytest.mark.parametrize("cancels", [True, False])
async def test_an_end_beyond_the_time_limit_is_the_answer_and_all_before_it(
    robot: Robot, token: str, settings: Any, cancels: bool
) -> None:
    """A caller that asks again late gets the events and the result, for the run has both."""
    settings.RPA_TIMEOUT_CANCELS = cancels
    call, execution = await called(wanted(robot), token=token)
    await say(execution, "one", "two")
    await end(execution, COMPLETED, {"n": 1})
    await finished(call)
    await ended_ago(execution, timedelta(minutes=9))
    again = await post(wanted(robot, progress=True), token=token)
    lines = b"".join(again.chunks).split(b"\r\n")
    ids = [line.removeprefix(b"id: ") for line in lines if line.startswith(b"id: ")]
    assert ids == [b"1", b"2", b"3", b"4", b"5", b"6"]
    assert b'"data":{"n":1}' in lines[-3]
