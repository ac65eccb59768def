"""Sends hints and bare messages through Redis in turn, and prints how long each took. Reads {url} from stdin."""

import asyncio
import json
import sys
import time
from typing import Any

import django

_TIMES = 60
#: Longer than the publisher's own pause between two hints: what is measured is not the pause.
_PAUSE_SECONDS = 0.06


def main() -> None:
    django.setup()
    told = asyncio.run(_measure(json.load(sys.stdin)["url"]))
    sys.stdout.write(json.dumps(told))


async def _measure(url: str) -> dict[str, list[float]]:
    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis

    from executions.events import Head
    from executions.redis_hints import Ear, Publisher, channel_of

    arrived: asyncio.Queue[float] = asyncio.Queue()

    def heard(*_what: Any) -> None:
        arrived.put_nowait(time.perf_counter())

    publisher, ear = Publisher(url), Ear(url, heard)
    await ear.listen(1)
    sender = Redis.from_url(url)
    times: dict[str, list[float]] = {"ours": [], "bare": []}
    async with (
        AsyncRedis.from_url(url) as redis,
        redis.pubsub(ignore_subscribe_messages=True) as bell,
    ):
        await bell.subscribe("bare")

        async def listen() -> None:
            async for _message in bell.listen():
                heard()

        listening = asyncio.create_task(listen())
        while not sender.pubsub_numsub(channel_of(1))[0][1]:
            await asyncio.sleep(0.01)
        for number in range(_TIMES):
            for name in times:
                await asyncio.sleep(_PAUSE_SECONDS)
                began = time.perf_counter()
                if name == "ours":
                    publisher.hear(1, Head(number + 1, closed=False))
                else:
                    await asyncio.to_thread(sender.publish, "bare", number)
                times[name].append(await asyncio.wait_for(arrived.get(), 5) - began)
        listening.cancel()
    ear.close()
    publisher.close()
    sender.close()
    return {name: taken[_TIMES // 10 :] for name, taken in times.items()}


if __name__ == "__main__":
    main()
