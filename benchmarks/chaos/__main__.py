"""The command: one deed after the other, each with runs in flight, and what came of every run."""

import argparse
import asyncio
import os
import signal
import sys
import time
from collections import Counter
from types import FrameType
from typing import Any

from benchmarks.chaos.client import Client
from benchmarks.chaos.deeds import COSTLY, EARLY, Deed, deeds
from benchmarks.chaos.house import House
from benchmarks.chaos.judge import TERMINAL, Starts, faults

_SETTLE_SECONDS = 180.0
_WIDTH_SECONDS = 30.0
_LOOK_SECONDS = 0.2


class Chaos:
    """Its rounds, and the faults that they have brought to light."""

    def __init__(self, house: House, client: Client, options: argparse.Namespace) -> None:
        self.faults: list[str] = []
        self._house = house
        self._client = client
        self._options = options
        self._starts = Starts()

    async def run(self) -> None:
        self._starts.start()
        await self._round("nothing", None)
        for name, deed in deeds(self._options.storage_seconds).items():
            if name in self._options.only:
                await self._round(name, deed)
        self._starts.close()

    async def _round(self, name: str, deed: Deed | None) -> None:
        began = time.monotonic()
        if deed is not None and name in EARLY:
            await deed(self._house)
            deed = None
        keys = [f"{name}-{number}" for number in range(self._options.runs)]
        first = len(keys) // 2
        runs = await self._request("counter", keys[:first])
        seen: dict[str, list[dict[str, Any]]] = {uid: [] for uid in runs[: self._options.watched]}
        watching = [asyncio.create_task(self._client.watch(uid, seen[uid])) for uid in seen]
        await self._until_begun(runs)
        doing = asyncio.create_task(deed(self._house)) if deed else None
        # While it is done, more is requested.
        runs += await self._request("counter", keys[first:])
        if doing is not None:
            await doing
        try:
            ended = await self._ended(runs)
            async with asyncio.timeout(_SETTLE_SECONDS):
                await asyncio.gather(*watching)
        except TimeoutError:
            left = [uid for uid in runs if (await self._client.run(uid))["status"] not in TERMINAL]
            self.faults.append(f"{name}: these runs or their watchers came to no end: {left}")
            return
        outcomes = await self._judge(name, ended, seen)
        width = await self._width(name)
        print(
            f"{name:<9} {dict(outcomes)}, full width again in {width:.1f} s, "
            f"{time.monotonic() - began:.0f} s in all",
            flush=True,
        )

    async def _request(self, robot: str, keys: list[str]) -> list[str]:
        limit = asyncio.Semaphore(8)

        async def one(key: str) -> str:
            async with limit:
                return await self._client.request(self._house.robot(robot), key)

        runs = list(await asyncio.gather(*(one(key) for key in keys)))
        if len(set(runs)) != len(keys):
            self.faults.append("Two requests with keys of their own got one run.")
        return runs

    async def _until_begun(self, runs: list[str]) -> None:
        async with asyncio.timeout(_WIDTH_SECONDS):
            while not any(
                [(await self._client.run(uid))["status"] != "PENDING" for uid in runs[:8]]
            ):
                await asyncio.sleep(_LOOK_SECONDS)

    async def _ended(self, runs: list[str]) -> list[dict[str, Any]]:
        found = []
        async with asyncio.timeout(_SETTLE_SECONDS):
            for uid in runs:
                while (run := await self._client.run(uid))["status"] not in TERMINAL:
                    await asyncio.sleep(_LOOK_SECONDS)
                found.append(run)
        return found

    async def _judge(
        self, name: str, runs: list[dict[str, Any]], seen: dict[str, list[dict[str, Any]]]
    ) -> Counter[str]:
        outcomes: Counter[str] = Counter()
        for run in runs:
            uid = run["id"]
            outcome = run["failure_reason"] or run["status"].lower()
            outcomes[outcome] += 1
            events = await self._client.events(uid)
            delivered = seen.get(uid, [])
            found = list(faults(run, events, delivered, self._starts.of(uid)))
            if uid in seen and len(delivered) != len(events):
                found.append(f"{uid}: its watcher was told of {len(delivered)} of {len(events)}")
            if outcome not in {"completed", "lost"}:
                found.append(f"{uid}: {outcome}: {run['message']}")
            if outcome == "completed" and await self._client.artifacts(uid) != ["end.txt"]:
                found.append(f"{uid}: its artifact was not kept")
            self.faults += [f"{name}: {each}" for each in found]
        if outcomes["lost"] > (self._options.slots if name in COSTLY else 0):
            self.faults.append(f"{name}: {outcomes['lost']} runs were lost")
        return outcomes

    async def _width(self, name: str) -> float:
        """How long it takes until as many robots run at once as there are slots: none has leaked."""
        began = time.monotonic()
        width = self._options.runners * self._options.slots
        runs = await self._request("holder", [f"{name}-width-{number}" for number in range(width)])
        try:
            async with asyncio.timeout(_WIDTH_SECONDS):
                while any([(await self._client.run(uid))["status"] != "RUNNING" for uid in runs]):
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            self.faults.append(f"{name}: {width} robots did not run at once in {_WIDTH_SECONDS} s")
        took = time.monotonic() - began
        for uid in runs:
            await self._client.cancel(uid)
        await self._ended(runs)
        return took


async def _run(house: House, options: argparse.Namespace) -> list[str]:
    client = Client(house.fleet.address, str(house.seed["api_key"]))
    chaos = Chaos(house, client, options)
    try:
        await chaos.run()
    finally:
        await client.close()
    return chaos.faults


def main() -> int:
    """0 if nothing was wrong, else 1."""
    every = list(deeds(0))
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="in flight at each deed")
    parser.add_argument("--watched", type=int, default=60, help="of them followed live")
    parser.add_argument("--runners", type=int, default=3)
    parser.add_argument("--slots", type=int, default=8, help="of each runner")
    parser.add_argument("--broker", choices=("redis", "rabbitmq"), default="redis")
    parser.add_argument("--storage-seconds", type=float, default=60, help="of a broken bucket")
    parser.add_argument(
        "--only", nargs="+", choices=every, default=every, metavar="DEED", help=", ".join(every)
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    print(
        f"{options.broker}, {options.runs} runs a deed, load {os.getloadavg()[0]:.1f}", flush=True
    )
    began = time.monotonic()
    words = ""
    with House(
        broker=options.broker,
        runners=options.runners,
        slots=options.slots,
        bucket="storage" in options.only,
    ) as house:
        try:
            found = asyncio.run(_run(house, options))
        except KeyboardInterrupt:
            found = ["Interrupted."]
        except BaseException:
            print(house.last_words(), file=sys.stderr)
            raise
        if found:
            words = house.last_words()
    for fault in found[:40]:
        print(f"FAULT: {fault}", file=sys.stderr)
    if words:
        print(f"The last words of its processes:\n{words}", file=sys.stderr)
    print(f"{len(found)} faults, {time.monotonic() - began:.0f} s")
    return 1 if found else 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
