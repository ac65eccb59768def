"""What the processes of a fleet say to each other by Celery: doorbells, never letters.

A message says that something may wait in a pool, and nothing else. Whoever takes it claims whatever is
next in the database: one too many is harmless, and one too few is made up for by those who look.
"""

from collections.abc import Mapping
from typing import Any

from celery import Celery, Task, signals
from django.conf import settings
from django.db import connection
from kombu import Connection

from executions import engine
from executions.choices import TicketState
from executions.engine.bell import Bell
from executions.models import DEFAULT_POOL, Pool, Runner, Ticket

#: So many rings in a queue are enough. Where they stay there nobody is idle, and whoever answers one goes on until
#: nothing waits; each that is of no use would cost as much as a tenth of a run.
MOST_RINGS = 64
#: The queue that the runners of every pool read: a fleet is swept for as long as any of them lives. No pool's is
#: called so.
SWEEPS = "rpa-sweep"
_SWEEP_SECONDS = 1.0
_TIMEOUT_SECONDS = 1.0


def queue_of(pool: str) -> str:
    """The queue by which the runners of a pool are rung."""
    return f"rpa.{pool}"


def _options(url: str) -> dict[str, Any]:
    """Nobody waits for a broker that does not answer."""
    if _is_redis(url):
        return {"socket_connect_timeout": _TIMEOUT_SECONDS, "socket_keepalive": True}
    return {"read_timeout": 5 * _TIMEOUT_SECONDS, "write_timeout": _TIMEOUT_SECONDS}


def _is_redis(url: str) -> bool:
    return not url.startswith("amqp")


# Without its fixups: the threads that work here look after their connections to the database themselves.
app = Celery("rpa_platform", fixups=())
app.conf.update(
    broker_url=settings.RPA_BROKER_URL,
    broker_transport_options=_options(settings.RPA_BROKER_URL),
    broker_connection_timeout=_TIMEOUT_SECONDS,
    broker_connection_max_retries=None,
    broker_connection_retry_on_startup=True,
    broker_heartbeat=10,
    task_default_queue=queue_of(DEFAULT_POOL),
    task_default_delivery_mode="transient",
    task_ignore_result=True,
    task_serializer="json",
    accept_content=["json"],
    worker_prefetch_multiplier=1,
    # By Redis, a runner that is busy leaves the rings to others. RabbitMQ hands it as many as it has slots.
    worker_disable_prefetch=_is_redis(settings.RPA_BROKER_URL),
    worker_enable_remote_control=False,
    worker_hijack_root_logger=False,
    worker_pool="threads",
    task_routes={"executions.sweep": {"queue": SWEEPS}},
    beat_schedule={"sweep": {"task": "executions.sweep", "schedule": _SWEEP_SECONDS}},
    beat_schedule_filename=str(settings.RPA_DATA_DIR / "beat-schedule"),
)


@signals.worker_init.connect
def _read_sweeps(**_told: Any) -> None:
    """Whatever else a worker was told to read."""
    app.amqp.queues.select_add(app.amqp.queues[SWEEPS])


@app.task(name="executions.ring")
def ring() -> None:
    """Somebody has rung: carry out what waits, one run after the other, in this thread."""
    engine.work()


class Sweep(Task):
    """What beat sends on and on, whether or not anybody is there to take it: one that waits is enough."""

    def apply_async(self, *arguments: Any, producer: Any = None, **options: Any) -> Any:
        if producer is not None and _length(producer, SWEEPS) > 0:
            return None
        return super().apply_async(*arguments, producer=producer, **options)


@app.task(name="executions.sweep", base=Sweep, expires=2 * _SWEEP_SECONDS)
def sweep() -> None:
    """Ring once more for runs that wait while slots are idle: their own rings may have been lost with the broker."""
    for pool in Pool.objects.all():
        waiting = Ticket.objects.filter(pool=pool, state=TicketState.READY)
        for _ticket in waiting.values_list("pk")[: min(_idle(pool), MOST_RINGS)]:
            bell.ring(pool.name)
    connection.close()


def _idle(pool: Pool) -> int:
    """How many slots of the pool's runners have nothing to do."""
    ready = Runner.objects.alive().filter(pool=pool, draining_at=None)
    slots = sum(ready.values_list("slots", flat=True))
    leased = Ticket.objects.filter(runner__in=ready, state=TicketState.LEASED).count()
    return max(0, slots - leased)


class Publisher:
    """Puts rings into the queues, over one connection. Whatever goes wrong is raised, and the next call connects anew."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._producer: Any = None

    def __call__(self, rings: Mapping[str, int]) -> None:
        """Ring so often in each pool, as far as its queue is not full of rings already."""
        try:
            if self._connection is None:
                # Nobody here would answer heartbeats, nor wait for long: a consumer does both.
                patience = {"socket_timeout": _TIMEOUT_SECONDS}
                self._connection = app.connection_for_write(
                    heartbeat=0,
                    transport_options=patience if _is_redis(app.conf.broker_url) else {},
                )
                self._producer = app.amqp.Producer(self._connection.channel(), auto_declare=False)
            for pool, count in rings.items():
                name = queue_of(pool)
                for _ring in range(min(count, MOST_RINGS - _length(self._producer, name))):
                    ring.apply_async(queue=name, producer=self._producer, retry=False)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        broken, self._connection = self._connection, None
        if broken is not None:
            broken.collect(socket_timeout=_TIMEOUT_SECONDS)


def _length(producer: Any, name: str) -> int:
    """How many messages wait in this queue."""
    queue = app.amqp.queues[name].bind(producer.channel)
    return int(queue.queue_declare().message_count)


bell = Bell(Publisher())
