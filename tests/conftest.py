"""The house of every test: alice owns a space, bob belongs to it, charlie and dora are strangers."""

import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.utils import translation
from pytest_django import DjangoDbBlocker
from rest_framework.test import APIClient

from accounts.models import User
from enterprises.models import EnterpriseRole
from executions import engine as engines
from executions import hints
from executions.events import Head, head_of
from executions.models import Execution
from robots.models import Robot
from spaces.models import Space, SpaceRole
from tests.factories import make_enterprise, make_execution, make_robot, make_space, make_user
from tests.flush import make_quick

#: What takes longest, in this order. Begun last, it would keep one worker while the others have nothing left to do.
LONG = (
    "tests/executions/test_fleet.py",
    "tests/executions/test_soak.py",
    "tests/browser/test_pages.py",
    "tests/executions/test_processes.py",
    "tests/platform/test_server.py",
    "tests/commands/test_celery.py",
    "tests/commands/test_migrate.py",
    "tests/commands/test_runner.py",
    "tests/executions/test_crash.py",
    "tests/executions/test_any_queue.py",
    "tests/executions/test_kill_points.py",
    "tests/executions/test_sealing.py",
    "tests/executions/test_stream.py",
    "tests/executions/test_lifecycle.py",
    "tests/access/test_route_walk.py",
    "tests/audit/test_every_write.py",
    "tests/platform/test_readme.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first; the others stay in their order."""
    ranks = {name: rank for rank, name in enumerate(LONG)}
    items.sort(key=lambda item: ranks.get(item.nodeid.partition("::")[0], len(LONG)))


# A shell starts what runs in the background deaf to Ctrl-C, and with it the servers that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def language() -> Iterator[None]:
    """Every test begins in the default language: a request leaves its own to its thread."""
    yield
    translation.deactivate()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    with django_db_blocker.unblock():
        make_quick()


@pytest.fixture
def permissions(db: None) -> None:
    """The default permission rows, which every migration adds and no flush of a test's data takes away."""


@pytest.fixture
def people(permissions: None) -> dict[str, User]:
    """alice owns, bob belongs, charlie has a space of his own, dora is of another enterprise."""
    return {name: make_user(name) for name in ("alice", "bob", "charlie", "dora")}


@pytest.fixture
def space(people: dict[str, User]) -> Space:
    alice, bob = people["alice"], people["bob"]
    enterprise = make_enterprise("Acme", {alice: EnterpriseRole.OFFICER, bob: EnterpriseRole.STAFF})
    make_space("Charlie's", {people["charlie"]: SpaceRole.OWNER})
    other = make_enterprise("Other", {people["dora"]: EnterpriseRole.OFFICER})
    make_space("Dora's", {people["dora"]: SpaceRole.OWNER}, other)
    return make_space("Orders", {alice: SpaceRole.OWNER, bob: SpaceRole.MEMBER}, enterprise)


@pytest.fixture
def robot(space: Space) -> Robot:
    return make_robot(space)


@pytest.fixture
def execution(robot: Robot) -> Execution:
    """A waiting run of alice's."""
    return make_execution(robot)


@pytest.fixture
def api() -> Callable[[User | None], APIClient]:
    """`api(user)` is a client of the REST API that this user is signed in with."""

    def client(user: User | None = None) -> APIClient:
        signed_in = APIClient()
        if user is not None:
            signed_in.force_login(user)
        return signed_in

    return client


@pytest.fixture
def engine(transactional_db: None) -> Iterator[engines.Engine]:
    """The embedded engine, running in this process. Use it with transactional tests only."""
    running = engines.start(slots=8)
    yield running
    engines.stop()


@pytest.fixture
def finished(engine: engines.Engine) -> Callable[[Execution], Execution]:
    """`finished(execution)` waits for its end and returns it, fresh."""
    return lambda execution: wait_for_end(execution)


def wait_for_end(execution: Execution, timeout: float = 60.0) -> Execution:
    """Return `execution` once it is terminal; fails the test if it is not in time."""
    ended = threading.Event()

    def hear(number: int, head: Head) -> None:
        if number == execution.pk and head.closed:
            ended.set()

    stop: Callable[[], Any] = hints.listen(hear)
    try:
        if not head_of(execution.pk).closed:
            assert ended.wait(timeout), f"Execution {execution.pk} did not end in {timeout} s."
    finally:
        stop()
    execution.refresh_from_db()
    return execution
