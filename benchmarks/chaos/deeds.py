"""What is done to a fleet. Each deed begins a moment after the runs were requested, and leaves the fleet whole."""

import asyncio
import signal
from collections.abc import Awaitable, Callable

from benchmarks.chaos.house import LEASE_SECONDS, House


async def kill_web(house: House) -> None:
    """kill -9 of the server; clients come again."""
    house.fleet.web.kill()
    house.fleet.web.start()
    await asyncio.to_thread(house.fleet.wait_for_web)


async def kill_worker(house: House) -> None:
    """kill -9 of a runner with its slots full. What ran there is lost, what had not begun is done elsewhere."""
    house.fleet.runners[0].kill()
    await asyncio.sleep(LEASE_SECONDS)
    house.fleet.runners[0].start()


async def kill_beat(house: House) -> None:
    """kill -9 of beat."""
    house.fleet.beat.kill()
    await asyncio.sleep(1)
    house.fleet.beat.start()


async def stop_worker(house: House) -> None:
    """A runner stands still for longer than its lease, and wakes up as one that was taken for dead."""
    runner = house.fleet.runners[-1]
    runner.send(signal.SIGSTOP)
    await asyncio.sleep(2 * LEASE_SECONDS)
    runner.send(signal.SIGCONT)


async def kill_broker(house: House) -> None:
    """The broker dies, and comes back having forgotten everything."""
    await asyncio.to_thread(house.broker.kill)
    await asyncio.sleep(2)
    await asyncio.to_thread(house.broker.start)


async def flush_broker(house: House) -> None:
    """Every ring is lost, and the queue with it."""
    if house.rabbit is not None:
        await asyncio.to_thread(house.rabbit.purge)
        return
    from redis import Redis

    with Redis.from_url(house.redis.url) as client:
        client.flushall()


async def restart_database(house: House) -> None:
    """kill -9 of MariaDB, which stays away for longer than a lease."""
    await asyncio.to_thread(house.database.kill)
    await asyncio.sleep(LEASE_SECONDS + 1)
    await asyncio.to_thread(house.database.start)


async def break_storage(house: House, seconds: float) -> None:
    """The bucket answers 500 to everything."""
    if house.storage is None:
        raise RuntimeError("There is no bucket.")
    house.storage.door.fail(failing=True)
    await asyncio.sleep(seconds)
    house.storage.door.fail(failing=False)


async def skew_clocks(house: House) -> None:
    """Two runners are started anew whose clocks are an hour off, one ahead and one behind."""
    for runner, by in zip(house.fleet.runners, (3600, -3600), strict=False):
        runner.stop()
        await asyncio.to_thread(runner.wait)
        house.skew(runner, by)
        runner.start()


Deed = Callable[[House], Awaitable[None]]


def deeds(storage_seconds: float) -> dict[str, Deed]:
    async def storage(house: House) -> None:
        await break_storage(house, storage_seconds)

    storage.__doc__ = break_storage.__doc__
    return {
        "web": kill_web,
        "worker": kill_worker,
        "beat": kill_beat,
        "stop": stop_worker,
        "broker": kill_broker,
        "flush": flush_broker,
        "database": restart_database,
        "storage": storage,
        "skew": skew_clocks,
    }


#: Done before the runs are requested, which then go on for long enough for one to take another for dead.
EARLY = {"skew"}
#: These may cost the runs that one runner had in hand; with all others, every run has to complete.
COSTLY = {"worker", "stop"}
