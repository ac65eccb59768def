"""How long a hint takes by way of Redis from one process's append to another's hub, against bare pub/sub."""

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.house import House
from benchmarks.report import Figure, median, milliseconds, percentile
from benchmarks.soak.backing import Redis

_NAME = "hint by Redis, from append to hub"
_MOST_MORE = 0.005


def measure(house: House) -> list[Figure]:
    if shutil.which("redis-server") is None:
        return [Figure(name=_NAME, measured="not measured: there is no redis-server")]
    with TemporaryDirectory() as folder:
        redis = Redis(Path(folder) / "redis")
        redis.start()
        try:
            told = json.loads(house.run("benchmarks.hint_worker", {"url": redis.url}))
        finally:
            redis.kill()
    ours, bare = told["ours"], told["bare"]
    more = median(ours) - median(bare)
    return [
        Figure(
            name=f"{_NAME}, p50",
            measured=milliseconds(median(ours)),
            baseline=f"{milliseconds(median(bare))} bare pub/sub",
            ratio=median(ours) / median(bare),
            goal=f"<= {milliseconds(_MOST_MORE)} more",
            met=more <= _MOST_MORE,
        ),
        Figure(
            name=f"{_NAME}, p99",
            measured=milliseconds(percentile(ours, 99)),
            baseline=f"{milliseconds(percentile(bare, 99))} bare pub/sub",
            ratio=percentile(ours, 99) / percentile(bare, 99),
        ),
    ]
