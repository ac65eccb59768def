"""The hub: whatever is lost, late, slow, cancelled or gone, every watcher gets the stream."""

import asyncio
import random
import threading
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from django.db import OperationalError, connection
from prometheus_client import REGISTRY

from accounts.refusals import Unavailable
from executions import events, hints
from executions import hub as module
from executions.events import Frame, Head, head_of, read_page
from executions.hub import RING_BYTES, SLICE_BYTES, Hub, Subscription, Tail
from executions.models import Execution
from robots.models import Robot
from tests.executions.hubs import Reads, elsewhere, read_to_end, say
from tests.factories import make_execution

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def hub(execution: Execution) -> AsyncIterator[Hub]:
    made = Hub()
    yield made
    made.close()


@pytest.fixture
def quick_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    """A poll often enough that a test may lose every hint."""
    monkeypatch.setattr(module, "POLL_SECONDS", 0.02)


def lose_hints(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    """From now on, this share of all rings is heard by nobody."""
    ring, dice = hints.ring, random.Random(3)

    def maybe(execution_id: int, head: Head) -> None:
        if dice.random() >= share:
            ring(execution_id, head)

    monkeypatch.setattr(hints, "ring", maybe)


async def stream_of(execution: Execution) -> list[Frame]:
    return await elsewhere(read_page, execution.pk, after=0, size=2**40, count=10**6)


# Nothing is lost ---------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.usefixtures("quick_poll")
async def test_every_watcher_gets_all_whatever_is_lost(
    hub: Hub, execution: Execution, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    """Watchers join before, during and after; at any cursor; some give up a read and try again."""
    lose_hints(monkeypatch, share)
    dice = random.Random(11)

    async def watch(joins_at: int, after: int) -> list[Frame]:
        frames: list[Frame] = []
        while (await elsewhere(head_of, execution.pk)).last_seq < joins_at:
            await asyncio.sleep(0)
        async with hub.follow(execution.pk, after=after) as own:
            while True:
                reading = asyncio.create_task(own.next())
                if dice.random() < 0.5:
                    for _turn in range(dice.randrange(4)):
                        await asyncio.sleep(0)
                    reading.cancel()
                await asyncio.wait([reading])
                if reading.cancelled():
                    continue
                more = reading.result()
                if not more:
                    return frames
                assert sum(len(each.text) for each in more) <= SLICE_BYTES or len(more) == 1
                frames += more

    plans = [(joins_at, dice.randrange(joins_at + 1)) for joins_at in (0, 1, 1, 40, 150, 300, 301)]
    *seen, _written = await asyncio.gather(
        *(watch(*plan) for plan in plans),
        elsewhere(say, execution.pk, "line", times=300, close=True),
    )
    whole = await stream_of(execution)
    assert [each.seq for each in whole] == list(range(1, 302))
    for (_joins_at, after), frames in zip(plans, seen, strict=True):
        assert frames == whole[after:]


async def test_the_ring_makes_it_quick(hub: Hub, execution: Execution, monkeypatch: Any) -> None:
    """With hints, no poll is needed: the poll of this test never comes."""
    monkeypatch.setattr(module, "POLL_SECONDS", 3600.0)
    async with hub.follow(execution.pk, after=1) as watch:
        for number in range(20):
            await elsewhere(say, execution.pk, f"line {number}")
            assert [each.seq for each in await asyncio.wait_for(watch.next(), 10)] == [number + 2]
        await elsewhere(say, execution.pk, "last", close=True)
        assert len(await read_to_end(watch)) == 1
        assert await watch.next() == []


async def test_a_ring_between_listening_and_reading_is_heard(
    hub: Hub, execution: Execution, monkeypatch: Any
) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 3600.0)

    def late(execution_id: int) -> Head:
        head = head_of(execution_id)
        say(execution_id, "in between")
        return head

    monkeypatch.setattr(module, "head_of", late)
    async with hub.follow(execution.pk, after=1) as watch:
        assert [each.seq for each in await asyncio.wait_for(watch.next(), 10)] == [2]


async def test_joining_an_ended_stream_gives_what_is_left(hub: Hub, execution: Execution) -> None:
    await elsewhere(say, execution.pk, "line", times=3, close=True)
    whole = await stream_of(execution)
    for after in range(5):
        async with hub.follow(execution.pk, after=after) as watch:
            assert await read_to_end(watch) == whole[after:]
            assert await watch.next() == []


async def test_an_execution_without_a_stream_leaves_nothing_behind(
    hub: Hub, execution: Execution
) -> None:
    before = asyncio.all_tasks()
    for _attempt in range(3):
        with pytest.raises(LookupError):
            await hub.follow(execution.pk + 1).__aenter__()
    await settled(before)
    await elsewhere(say, execution.pk, "last", close=True)
    async with hub.follow(execution.pk) as watch:
        assert len(await read_to_end(watch)) == 2


async def test_two_who_join_at_once_both_know_how_far_the_stream_is(
    hub: Hub, execution: Execution, monkeypatch: Any
) -> None:
    """The second one waits for what the first one reads, and reads nothing itself."""
    reading, go_on = threading.Event(), threading.Event()

    def slow(execution_id: int) -> Head:
        reading.set()
        assert go_on.wait(30)
        return head_of(execution_id)

    monkeypatch.setattr(module, "head_of", slow)
    reads = Reads(monkeypatch)

    watches = [hub.follow(execution.pk, after=1) for _ in range(3)]

    async def join(watch: Subscription) -> Head:
        await watch.__aenter__()
        return watch.head

    joining = [asyncio.create_task(join(each)) for each in watches]
    await asyncio.to_thread(reading.wait, 30)
    go_on.set()
    assert await asyncio.gather(*joining) == [Head(1, closed=False)] * 3
    assert reads.made == Counter(head_of=1)
    for each in watches:
        await each.__aexit__()


async def test_a_hint_that_is_late_takes_nothing_back(
    hub: Hub, execution: Execution, monkeypatch: Any
) -> None:
    """It tells of a head before the end, when the end is known already and has not been read."""
    monkeypatch.setattr(module, "POLL_SECONDS", 3600.0)
    monkeypatch.setattr(module, "_LOOK_SECONDS", 3600.0)
    reading, go_on = threading.Event(), threading.Event()

    def slow(execution_id: int, **bounds: Any) -> list[Frame]:
        reading.set()
        assert go_on.wait(30)
        return read_page(execution_id, **bounds)

    monkeypatch.setattr(module, "read_page", slow)
    async with hub.follow(execution.pk, after=1) as watch:
        await elsewhere(say, execution.pk, "last", close=True)
        await asyncio.to_thread(reading.wait, 30)
        await elsewhere(hints.ring, execution.pk, Head(1, closed=False))
        go_on.set()
        assert [each.seq for each in await read_to_end(watch)] == [2]


# Watchers that go --------------------------------------------------------------------------------


async def settled(tasks: set[Any]) -> None:
    """Return once no task is left but those; the loop has as many turns as it needs."""
    async with asyncio.timeout(10):
        while asyncio.all_tasks() - tasks:
            await asyncio.sleep(0)


async def test_a_watcher_that_goes_while_it_joins_harms_nobody(
    hub: Hub, execution: Execution, monkeypatch: Any
) -> None:
    """Its read of the head is under way as it goes; the next one must be served nevertheless."""
    monkeypatch.setattr(module, "POLL_SECONDS", 3600.0)
    reading, go_on = threading.Event(), threading.Event()

    def slow(execution_id: int) -> Head:
        reading.set()
        assert go_on.wait(30)
        return head_of(execution_id)

    monkeypatch.setattr(module, "head_of", slow)
    before = asyncio.all_tasks()
    joining = asyncio.create_task(hub.follow(execution.pk).__aenter__())
    await asyncio.to_thread(reading.wait, 30)
    joining.cancel()
    await asyncio.wait([joining])
    go_on.set()
    async with hub.follow(execution.pk, after=1) as watch:
        for number in range(3):
            await elsewhere(say, execution.pk, "line")
            assert [each.seq for each in await asyncio.wait_for(watch.next(), 10)] == [number + 2]
    await settled(before)


async def test_a_watcher_whose_second_look_fails_leaves_nothing_behind(
    hub: Hub, execution: Execution, monkeypatch: Any
) -> None:
    """It knows of more than this process does, and the database is away when that is looked up."""
    before = asyncio.all_tasks()
    looks: list[int] = []

    def once(execution_id: int) -> Head:
        looks.append(execution_id)
        if len(looks) > 1:
            raise OperationalError("the database is away")
        return head_of(execution_id)

    monkeypatch.setattr(module, "head_of", once)
    with pytest.raises(OperationalError):
        await hub.follow(execution.pk, after=9).__aenter__()
    await settled(before)


def held(go_on: threading.Event, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, which does not answer before `go_on`."""

    def waiting(*arguments: Any, **named: Any) -> Any:
        assert go_on.wait(30)
        return function(*arguments, **named)

    return waiting


async def test_replays_that_were_given_up_leave_their_turns_to_others(
    hub: Hub, execution: Execution, monkeypatch: Any
) -> None:
    head = await written(execution, 2 * RING_BYTES)
    go_on = threading.Event()
    for name in ("read_page", "read_newest"):
        monkeypatch.setattr(module, name, held(go_on, getattr(module, name)))
    watches = [hub.follow(execution.pk) for _ in range(3 * module._REPLAY_READS)]
    for each in watches:
        await each.__aenter__()
    for _time in range(2):
        reading = [asyncio.create_task(each.next()) for each in watches]
        await asyncio.sleep(0)
        for task in reading:
            task.cancel()
        await asyncio.wait(reading)
        assert all(task.cancelled() for task in reading)
    go_on.set()
    # And what they were about to get is not lost to them.
    for each in (watches[0], watches[-1]):
        assert [frame.seq for frame in await drained(each, head)] == list(range(1, head + 1))
    for each in watches:
        await each.__aexit__()


async def test_a_watcher_that_goes_takes_nothing_from_the_others(
    hub: Hub, execution: Execution, monkeypatch: Any
) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 3600.0)
    async with hub.follow(execution.pk, after=1) as stays:
        waiting = asyncio.create_task(stays.next())
        for _visitor in range(5):
            async with hub.follow(execution.pk, after=1) as goes:
                gone = asyncio.create_task(goes.next())
                await asyncio.sleep(0)
                gone.cancel()
                await asyncio.wait([gone])
        assert not waiting.done()
        await elsewhere(say, execution.pk, "line")
        assert [each.seq for each in await asyncio.wait_for(waiting, 10)] == [2]


async def test_one_streams_last_watcher_may_go_while_another_stream_is_joined(
    hub: Hub, execution: Execution, robot: Robot, monkeypatch: Any
) -> None:
    """The hub must not rest, and with it stop listening, while somebody is on the way in."""
    monkeypatch.setattr(module, "POLL_SECONDS", 3600.0)
    other = await elsewhere(make_execution, robot)
    leaving = hub.follow(other.pk)
    await leaving.__aenter__()
    reading, go_on = threading.Event(), threading.Event()

    def slow(execution_id: int) -> Head:
        reading.set()
        assert go_on.wait(30)
        return head_of(execution_id)

    monkeypatch.setattr(module, "head_of", slow)
    watch = hub.follow(execution.pk, after=1)
    joining = asyncio.create_task(watch.__aenter__())
    await asyncio.to_thread(reading.wait, 30)
    await leaving.__aexit__()
    go_on.set()
    await joining
    await elsewhere(say, execution.pk, "line")
    assert [each.seq for each in await asyncio.wait_for(watch.next(), 10)] == [2]
    await watch.__aexit__()


async def test_nothing_is_left_of_watchers_that_have_gone(
    hub: Hub, execution: Execution, monkeypatch: Any, quick_poll: None
) -> None:
    before = asyncio.all_tasks()
    listen, listening = hints.listen, list[Any]()

    def noted(listener: Callable[[int, Head], None]) -> Callable[[], None]:
        stop = listen(listener)
        listening.append(listener)

        def stopped() -> None:
            listening.remove(listener)
            stop()

        return stopped

    monkeypatch.setattr(hints, "listen", noted)
    watches = [hub.follow(execution.pk) for _ in range(20)]
    for each in watches:
        await each.__aenter__()
    for each in watches:
        assert await each.next()
        await each.__aexit__()
    await settled(before)
    assert not listening
    reads = Reads(monkeypatch)
    await elsewhere(say, execution.pk, "line", times=5)
    for _turn in range(5):
        await asyncio.sleep(module.POLL_SECONDS)
    assert not reads.made


# What watching costs -----------------------------------------------------------------------------


def counted_reads() -> Counter[str]:
    kinds = ("head", "tail", "page", "poll")
    name = "rpa_hub_reads_total"
    return Counter({kind: REGISTRY.get_sample_value(name, {"kind": kind}) for kind in kinds})


async def test_many_watchers_cost_the_database_what_one_does(
    hub: Hub, execution: Execution, monkeypatch: Any
) -> None:
    """One tail reads each event once, and no thread belongs to a watcher."""
    monkeypatch.setattr(module, "POLL_SECONDS", 3600.0)
    monkeypatch.setattr(module, "_LOOK_SECONDS", 3600.0)
    watches = [hub.follow(execution.pk, after=1) for _ in range(200)]
    for each in watches:
        await each.__aenter__()
    reads = Reads(monkeypatch)
    before = counted_reads()
    reading = [asyncio.create_task(read_to_end(each)) for each in watches]
    for number in range(1, 31):
        await elsewhere(say, execution.pk, "line", close=number == 30)
    seen = await asyncio.gather(*reading)
    assert all(frames == seen[0] for frames in seen)
    assert [each.seq for each in seen[0]] == list(range(2, 32))
    # The very objects are shared: an event is decoded once.
    assert len({id(frames[7]) for frames in seen}) == 1
    assert reads.made["read_page"] <= 31
    assert set(reads.made) == {"read_page"}
    # Operators can see it: so do the figures at /metrics.
    assert counted_reads() - before == Counter(tail=reads.made["read_page"])
    assert len([each for each in threading.enumerate() if each.name.startswith("hub-")]) <= 3
    for each in watches:
        await each.__aexit__()


async def test_a_crowd_that_comes_back_costs_the_database_a_few_reads(
    hub: Hub, execution: Execution, monkeypatch: Any
) -> None:
    """What one of them has read is in the ring for the others, up to the ring's size."""
    head = await written(execution, RING_BYTES - SLICE_BYTES)
    filled = threading.Event()
    precede = Tail.precede

    def filling(tail: Tail, frames: list[Frame]) -> None:
        precede(tail, frames)
        filled.set()

    def slower(execution_id: int, **bounds: Any) -> list[Frame]:
        assert filled.wait(30)
        return read_page(execution_id, **bounds)

    monkeypatch.setattr(Tail, "precede", filling)
    monkeypatch.setattr(module, "read_page", slower)
    reads = Reads(monkeypatch)
    watches = [hub.follow(execution.pk, after=1) for _ in range(200)]
    for each in watches:
        await each.__aenter__()
    seen = await asyncio.gather(*(drained(each, head) for each in watches))
    assert all([each.seq for each in frames] == list(range(2, head + 1)) for frames in seen)
    # Those who read while the ring was filled.
    assert reads.made["read_newest"] == 1
    assert reads.made["read_page"] < module._REPLAY_READS
    for each in watches:
        await each.__aexit__()


async def test_what_was_read_for_one_stays_within_the_ring(hub: Hub, execution: Execution) -> None:
    """A page goes in front of the ring only where it ends at it, and only as much of it as fits."""
    tail = Tail(execution.pk)
    frames = [Frame(seq, "log", "x" * 1024) for seq in range(1, 2 * RING_BYTES // 1024)]
    tail.begin(Head(400, closed=False))
    tail.precede(frames[300:390])
    assert not tail.ring
    tail.precede(frames[350:400])
    tail.extend(frames[400:420])
    tail.precede(frames[300:340])
    assert [each.seq for each in tail.ring] == list(range(351, 421))
    tail.precede(frames[:350])
    assert [each.seq for each in tail.ring] == list(range(421 - RING_BYTES // 1024, 421))
    assert tail.ring_bytes == RING_BYTES


async def test_one_poll_asks_for_all_streams(
    hub: Hub, execution: Execution, robot: Robot, monkeypatch: Any, quick_poll: None
) -> None:
    lose_hints(monkeypatch, 1.0)
    runs = [execution, *[await elsewhere(make_execution, robot) for _ in range(9)]]
    watches = [hub.follow(each.pk, after=1) for each in runs]
    for each in watches:
        await each.__aenter__()
    reads = Reads(monkeypatch)
    for number in range(3):
        for each in runs:
            await elsewhere(say, each.pk, "line")
        for each in watches:
            assert (await asyncio.wait_for(each.next(), 10))[0].seq == number + 2
    assert set(reads.made) == {"heads_of", "read_page"}
    assert reads.made["read_page"] <= 3 * len(runs)
    for each in watches:
        await each.__aexit__()


async def test_a_reader_that_does_not_read_costs_next_to_nothing(
    hub: Hub, execution: Execution
) -> None:
    """4 MiB go past fifty watchers that do not read: the ring is all that is kept of them."""
    watches = [hub.follow(execution.pk, after=1) for _ in range(50)]
    for each in watches:
        await each.__aenter__()
    quick = hub.follow(execution.pk, after=1)
    await quick.__aenter__()
    before = await written(execution, 2**20)
    assert [each.seq for each in await drained(quick, before)] == list(range(2, before + 1))
    tracemalloc.start()
    try:
        head = await written(execution, 4 * 2**20)
        await drained(quick, head)
        kept, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 4 * RING_BYTES
    # Who is a little behind is served from memory, however much has gone past.
    async with hub.follow(execution.pk, after=head - RING_BYTES // 2 // 16384) as late:
        assert late.at_hand
    # They have fallen out of the ring, and still miss nothing.
    for slow in (watches[0], watches[-1]):
        assert [each.seq for each in await drained(slow, head)] == list(range(2, head + 1))
    for each in (*watches, quick):
        await each.__aexit__()


async def written(execution: Execution, size: int) -> int:
    """Append that many bytes in lines of 16 KiB; the sequence number of the last."""
    await elsewhere(say, execution.pk, "x" * 16384, times=size // 16384)
    return (await elsewhere(head_of, execution.pk)).last_seq


async def drained(watch: Any, last: int) -> list[Frame]:
    frames: list[Frame] = []
    while watch.cursor < last:
        more = await asyncio.wait_for(watch.next(), 10)
        assert sum(len(each.text) for each in more) <= SLICE_BYTES or len(more) == 1
        frames += more
    return frames


async def test_a_long_replay_does_not_delay_what_is_live(
    hub: Hub, execution: Execution, monkeypatch: Any
) -> None:
    """All replay threads are stuck; a watcher at the head gets its event at once."""
    monkeypatch.setattr(module, "POLL_SECONDS", 3600.0)
    await elsewhere(say, execution.pk, "x" * 8192, times=50)
    go_on = threading.Event()

    def stuck(execution_id: int, *, after: int, **named: Any) -> list[Frame]:
        if "up_to" in named:
            assert go_on.wait(30)
        return read_page(execution_id, after=after, **named)

    monkeypatch.setattr(module, "read_page", stuck)
    slow = [hub.follow(execution.pk) for _ in range(20)]
    for each in slow:
        await each.__aenter__()
    replays = [asyncio.create_task(drained(each, 51)) for each in slow]
    async with hub.follow(execution.pk, after=51) as live:
        await elsewhere(say, execution.pk, "live")
        assert [each.seq for each in await asyncio.wait_for(live.next(), 10)] == [52]
    assert not any(each.done() for each in replays)
    go_on.set()
    for frames in await asyncio.gather(*replays):
        assert [each.seq for each in frames] == list(range(1, len(frames) + 1))
    for each in slow:
        await each.__aexit__()


# Patience ----------------------------------------------------------------------------------------


async def test_patience_begins_anew_with_each_wait(hub: Hub, execution: Execution) -> None:
    clock = asyncio.get_running_loop().time
    async with hub.follow(execution.pk, after=1, patience=0.3) as watch:
        waiting = asyncio.create_task(read_something(watch))
        await elsewhere(say, execution.pk, "line")
        assert [each.seq for each in await waiting] == [2]
        for _beat in range(2):
            began = clock()
            with pytest.raises(TimeoutError):
                await watch.next()
            assert clock() - began >= 0.3


async def read_something(watch: Subscription) -> list[Frame]:
    """However long it takes."""
    while True:
        try:
            return await watch.next()
        except TimeoutError:
            continue


async def test_patience_ends_with_a_replay_that_hangs(
    hub: Hub, execution: Execution, monkeypatch: Any
) -> None:
    """Its reader beats meanwhile, and gets it when it is there."""
    head = await written(execution, RING_BYTES)
    go_on = threading.Event()
    for name in ("read_page", "read_newest"):
        monkeypatch.setattr(module, name, held(go_on, getattr(module, name)))
    async with hub.follow(execution.pk, patience=0.2) as watch:
        for _beat in range(2):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(10) as limit:
                    await watch.next()
            assert not limit.expired()
        go_on.set()
        frames: list[Frame] = []
        while watch.cursor < head:
            frames += await read_something(watch)
        assert [each.seq for each in frames] == list(range(1, head + 1))


# A database that is away -------------------------------------------------------------------------


def failing(times: int, error: Exception, function: Callable[..., Any]) -> Callable[..., Any]:
    left = [times]

    def maybe(*arguments: Any, **named: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise error
        return function(*arguments, **named)

    return maybe


@pytest.mark.usefixtures("quick_poll")
async def test_a_watcher_outlives_a_database_that_is_away(
    hub: Hub, execution: Execution, monkeypatch: Any
) -> None:
    lose_hints(monkeypatch, 1.0)
    async with hub.follow(execution.pk, after=1) as watch:
        for name in ("heads_of", "read_page"):
            away = OperationalError("the database is away")
            monkeypatch.setattr(module, name, failing(7, away, getattr(module, name)))
        await elsewhere(say, execution.pk, "line", times=5, close=True)
        assert [each.seq for each in await read_to_end(watch)] == [2, 3, 4, 5, 6]


@pytest.mark.usefixtures("quick_poll")
@pytest.mark.parametrize(
    "error", [Unavailable("the storage is away"), OSError("a bad disk")], ids=["away", "broken"]
)
async def test_a_watcher_outlives_a_storage_that_is_away(
    hub: Hub, execution: Execution, monkeypatch: Any, error: Exception
) -> None:
    """The newest events may be sealed before the tail has read them."""
    async with hub.follow(execution.pk, after=1) as watch:
        monkeypatch.setattr(module, "read_page", failing(3, error, read_page))
        await elsewhere(say, execution.pk, "line", times=5, close=True)
        assert [each.seq for each in await read_to_end(watch)] == [2, 3, 4, 5, 6]


async def test_a_connection_that_died_while_idle_is_made_anew(
    hub: Hub, execution: Execution, monkeypatch: Any
) -> None:
    """What a server does to connections that were idle for hours: nobody is refused because of it."""
    used: set[Any] = set()

    def noting(function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any, **named: Any) -> Any:
            answer = function(*arguments, **named)
            used.add(connection.connection)
            return answer

        return noted

    for name in ("head_of", "read_page"):
        monkeypatch.setattr(module, name, noting(getattr(module, name)))
    await elsewhere(say, execution.pk, "line", times=5)
    for _idle_time in range(3):
        async with hub.follow(execution.pk) as watch:
            assert len(await drained(watch, 6)) == 6
        assert used
        await elsewhere(kill, used)
        used.clear()


def kill(victims: set[Any]) -> None:
    """End these connections of other threads, as a server that lost its patience does."""
    with connection.cursor() as cursor:
        for victim in victims:
            if connection.vendor == "mysql":
                cursor.execute("KILL %s", [victim.thread_id()])
            else:
                victim.close()


@pytest.mark.usefixtures("quick_poll")
async def test_a_missing_event_is_never_stepped_over(
    hub: Hub, execution: Execution, monkeypatch: Any
) -> None:
    """The table does not show an event that the head counts: readers wait, or are told; none skips."""
    reads = Reads(monkeypatch)
    rows_of = events.read_rows
    hidden = {3}

    def holed(*arguments: Any, **named: Any) -> list[Frame]:
        return [each for each in rows_of(*arguments, **named) if each.seq not in hidden]

    monkeypatch.setattr(events, "read_rows", holed)
    async with hub.follow(execution.pk, after=1) as watch:
        await elsewhere(say, execution.pk, "line", times=4, close=True)
        frames = await asyncio.wait_for(watch.next(), 10)
        while frames[-1].seq < 2:
            frames += await asyncio.wait_for(watch.next(), 10)
        assert [each.seq for each in frames] == [2]
        reads.made.clear()
        for _turn in range(10):
            await asyncio.sleep(module.POLL_SECONDS)
        # It looks again now and then, not all the time.
        assert reads.made["read_page"] <= 15
        hidden.clear()
        assert [each.seq for each in await read_to_end(watch)] == [3, 4, 5]
