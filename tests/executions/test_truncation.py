"""Readers of streams whose events are sealed, gone, or of another epoch."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError
from rest_framework.test import APIClient

from accounts.models import User
from executions import retention, sealing, segments
from executions.choices import Status
from executions.events import Head, head_of
from executions.hub import hub
from executions.lifecycle import Ending, finish
from executions.live import Cursor, Delivery, End, Events, Reset, Truncated, follow
from executions.models import Execution, ExecutionSegment, ExecutionStream
from executions.wire import as_sse, as_text
from tests.executions.hubs import elsewhere, say

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
async def quiet(transactional_db: None) -> AsyncIterator[None]:
    """Ends the tails and threads of the test's event loop, as the end of a process does."""
    yield
    hub().close()


def ended(execution: Execution, lines: int) -> None:
    say(execution.pk, "x" * 900, times=lines)
    finish(execution.pk, Ending(Status.FAILED))


def sealed(execution: Execution, lines: int) -> None:
    ended(execution, lines)
    while sealing.seal(execution.pk):
        pass


def removed(execution: Execution) -> None:
    retention.remove(ExecutionStream.objects.get(pk=execution.pk))


async def all_of(execution: Execution, after: str = "") -> list[Delivery]:
    async with aclosing(follow(execution.pk, Cursor.parse(after))) as deliveries:
        return [each async for each in deliveries]


def numbers(deliveries: list[Delivery]) -> list[int]:
    return [frame.seq for each in deliveries if isinstance(each, Events) for frame in each.frames]


async def test_a_sealed_stream_is_followed_like_any(execution: Execution) -> None:
    await elsewhere(sealed, execution, 200)
    *deliveries, end = await all_of(execution, "17")
    assert numbers(deliveries) == list(range(18, 203))
    assert end == End("FAILED", 202)


async def test_sealing_in_the_middle_of_reading_is_not_noticed(execution: Execution) -> None:
    await elsewhere(ended, execution, 600)
    async with aclosing(follow(execution.pk, Cursor())) as deliveries:
        first = await anext(deliveries)
        await elsewhere(sealing.seal, execution.pk)
        rest = [each async for each in deliveries]
    assert numbers([first, *rest]) == list(range(1, 603))


@pytest.mark.parametrize("after", ["", "17"])
async def test_a_reader_of_what_is_gone_is_told_where_to_go_on(
    execution: Execution, after: str
) -> None:
    await elsewhere(sealed, execution, 30)
    await elsewhere(removed, execution)
    assert await all_of(execution, after) == [Truncated(33), End("FAILED", 32)]


async def test_removal_in_the_middle_of_reading_is_said(execution: Execution) -> None:
    await elsewhere(sealed, execution, 600)
    async with aclosing(follow(execution.pk, Cursor())) as deliveries:
        first = await anext(deliveries)
        await elsewhere(removed, execution)
        rest = [each async for each in deliveries]
    last = numbers([first, *rest])[-1]
    assert last < 602
    assert rest[-2:] == [Truncated(603), End("FAILED", 602)]


async def test_a_removal_that_stopped_half_way_is_said_too(
    execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The object is gone and its row is not: that is no fault to the reader."""
    await elsewhere(sealed, execution, 600)
    async with aclosing(follow(execution.pk, Cursor())) as deliveries:
        first = await anext(deliveries)
        segments._member.cache_clear()

        def died(_self: ExecutionSegment) -> None:
            raise OperationalError("away")

        monkeypatch.setattr(ExecutionSegment, "delete", died)
        with pytest.raises(OperationalError):
            await elsewhere(removed, execution)
        rest = [each async for each in deliveries]
    assert numbers([first, *rest])[-1] < 602
    assert rest[-2:] == [Truncated(603), End("FAILED", 602)]


async def test_a_sealer_that_is_late_leaves_nothing_behind(
    execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retention comes between the upload and the commit."""
    await elsewhere(ended, execution, 30)
    commit = sealing._commit

    def late(*arguments: object) -> None:
        removed(execution)
        commit(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(sealing, "_commit", late)
    await elsewhere(sealing.seal, execution.pk)
    assert not await elsewhere(execution.segments.exists)
    assert await all_of(execution) == [Truncated(33), End("FAILED", 32)]


async def test_after_a_restore_readers_of_before_start_anew(execution: Execution) -> None:
    await elsewhere(say, execution.pk, "line", times=3)
    out = StringIO()
    await elsewhere(call_command, "restored", stdout=out)
    assert out.getvalue() == "1 unfinished streams have a new epoch.\n"
    await elsewhere(finish, execution.pk, Ending(Status.FAILED))
    for stale in ("", "2", "1:2"):
        reset, *deliveries, end = await all_of(execution, stale)
        assert reset == Reset(epoch=2)
        assert numbers(deliveries) == [1, 2, 3, 4, 5]
        assert end == End("FAILED", 5)
    *deliveries, _end = await all_of(execution, "2:2")
    assert numbers(deliveries) == [3, 4, 5]


async def test_an_ended_stream_keeps_its_epoch(execution: Execution) -> None:
    await elsewhere(ended, execution, 3)
    await elsewhere(call_command, "restored", stdout=StringIO())
    *deliveries, _end = await all_of(execution, "1:2")
    assert numbers(deliveries) == [3, 4, 5]


def test_the_wire_names_the_cursor_with_its_epoch() -> None:
    assert as_sse(End("FAILED", 5), 1).startswith(b"event: end\nid: 5\n")
    assert as_sse(End("FAILED", 5), 2).startswith(b"event: end\nid: 2:5\n")
    assert (
        as_sse(Truncated(33), 2) == b'event: truncated\nid: 2:32\ndata: {"first_available": 33}\n\n'
    )
    assert as_text(Truncated(33)) == '{"type":"truncated","first_available":33}'


def test_a_page_that_is_removed_while_it_is_asked_for_says_what_is_left(
    execution: Execution, api: Callable[[User | None], APIClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed(execution, 20)

    def head_before_removal(execution_id: int, *, read: Any = head_of) -> Head:
        head: Head = read(execution_id)
        if not head.dropped_seq:
            removed(execution)
        return head

    monkeypatch.setattr("executions.api.head_of", head_before_removal)
    client = api(execution.requested_by)
    answer = client.get(f"/api/v1/executions/{execution.uid}/events/")
    assert answer.status_code == 200
    assert answer.json()["events"] == []
    assert answer.json()["first_available"] == answer.json()["last_seq"] + 1
