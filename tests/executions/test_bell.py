"""Ringing at the fleet's door: nobody waits for a broker, and a broken one is left alone for a while."""

import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from redis import Redis

from executions import engine
from executions.engine import bell as bells
from executions.engine.bell import MOST_AT_ONCE, Bell
from tests.executions.test_redis_hints import RedisServer

PATIENCE = 20.0


class Broker:
    """Takes rings when it is let to, and says how they came."""

    def __init__(self) -> None:
        self.took: list[dict[str, int]] = []
        self.asked = threading.Semaphore(0)
        self.free = threading.Semaphore(0)
        self.broken = False

    def __call__(self, rings: Mapping[str, int]) -> None:
        self.asked.release()
        assert self.free.acquire(timeout=PATIENCE)
        if self.broken:
            raise OSError("It is away.")
        self.took.append(dict(rings))


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def bell(broker: Broker) -> Iterator[Bell]:
    found = Bell(broker)
    yield found
    broker.free.release(1000)
    found.close()


def test_rings_that_come_while_the_broker_is_busy_are_passed_on_together(
    bell: Bell, broker: Broker
) -> None:
    bell.ring("default")
    assert broker.asked.acquire(timeout=PATIENCE)
    for _ring in range(2 * MOST_AT_ONCE):
        bell.ring("default")
    bell.ring("browsers")
    broker.free.release(2)
    assert broker.asked.acquire(timeout=PATIENCE)
    broker.free.release(1)
    bell.close()
    assert broker.took == [{"default": 1}, {"default": MOST_AT_ONCE, "browsers": 1}]


def test_a_broken_broker_is_left_alone_and_rung_once_when_it_is_back(
    bell: Bell, broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bells, "_FIRST_PAUSE", 0.05)
    broker.broken = True
    bell.ring("default")
    assert broker.asked.acquire(timeout=PATIENCE)
    broker.free.release()
    bell.ring("default")
    assert broker.asked.acquire(timeout=PATIENCE)  # after its pause it is tried again
    for _ring in range(50):
        bell.ring("default")
    broker.free.release()
    assert broker.asked.acquire(timeout=PATIENCE)
    broker.broken = False
    broker.free.release()
    bell.close()
    assert broker.took == [{"default": 1}]
    assert [record.getMessage() for record in caplog.records] == [
        "The broker takes no rings, runs start later: It is away."
    ]


def test_the_end_of_a_process_does_not_wait_for_the_broker(
    bell: Bell, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bells, "_CLOSE_SECONDS", 0.05)
    bell.ring("default")
    assert broker.asked.acquire(timeout=PATIENCE)
    bell.close()
    assert broker.took == []


def test_a_run_is_told_to_the_fleet_where_this_process_carries_out_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    monkeypatch.setattr(engine, "_ring", None)
    engine.wake()  # to nobody
    engine.ring_by(told.append)
    engine.wake()
    engine.wake("browsers")
    assert told == ["default", "browsers"]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    running = RedisServer(tmp_path)
    running.start()
    yield running
    running.kill()


@pytest.fixture
def messages(redis: RedisServer) -> Iterator[object]:
    from executions.engine import messages as found

    before = found.app.conf.broker_url
    found.app.conf.broker_url = redis.url
    yield found
    found.app.conf.broker_url = before


def test_a_queue_holds_no_more_rings_than_can_be_of_use(
    messages: object, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from executions.engine.messages import Publisher, queue_of

    monkeypatch.setattr(messages, "MOST_RINGS", 5)
    publisher = Publisher()
    with Redis.from_url(redis.url) as client:
        publisher({"default": 3})
        assert client.llen(queue_of("default")) == 3
        publisher({"default": 3, "browsers": 1})
        assert client.llen(queue_of("default")) == 5
        assert client.llen(queue_of("browsers")) == 1
    publisher.close()


def test_a_publisher_comes_back_with_its_broker(messages: object, redis: RedisServer) -> None:
    from executions.engine.messages import Publisher, queue_of

    publisher = Publisher()
    publisher({"default": 1})
    redis.kill()
    with pytest.raises(Exception, match=r"refused|Connection|closed"):
        publisher({"default": 1})
    redis.start()
    publisher({"default": 2})
    with Redis.from_url(redis.url) as client:
        assert client.llen(queue_of("default")) == 2  # what it held before is gone with it
    publisher.close()


def test_a_broker_that_says_nothing_is_given_up(messages: object) -> None:
    from executions.engine.messages import Publisher, app

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        app.conf.broker_url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        publisher = Publisher()
        given_up = threading.Event()

        def ring() -> None:
            with pytest.raises(Exception, match=r"[Tt]ime"):
                publisher({"default": 1})
            given_up.set()

        threading.Thread(target=ring, daemon=True).start()
        assert given_up.wait(PATIENCE)
