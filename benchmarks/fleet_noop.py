"""Celery as a runner uses it, with a task that only counts that it was done."""

import os

from celery import Celery
from redis import Redis

DONE = "noop:done"
_URL = os.environ.get("FLEET_NOOP_BROKER", "")

app = Celery("noop", broker=_URL, fixups=())
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=1, worker_disable_prefetch=True)
_redis = Redis.from_url(_URL) if _URL else None


@app.task(name="noop.nothing")
def nothing() -> None:
    if _redis is not None:
        _redis.incr(DONE)
