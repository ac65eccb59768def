"""The database's time: what this machine believes does not matter."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from executions import clock

pytestmark = pytest.mark.django_db
LONG_AGO = datetime(2020, 2, 29, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_measured", None)


@pytest.fixture
def slow_database() -> Iterator[None]:
    """One whose clock says that it is long ago."""
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has no clock of its own.")
    with connection.cursor() as cursor:
        cursor.execute("SET timestamp = %s", [LONG_AGO.timestamp()])
        yield
        cursor.execute("SET timestamp = DEFAULT")


def test_it_is_this_machines_time_where_the_database_has_no_other() -> None:
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=2)


def test_it_is_the_databases_time(slow_database: None) -> None:
    assert timedelta(0) <= clock.now() - LONG_AGO < timedelta(seconds=2)


def test_the_database_is_asked_once_a_minute(
    slow_database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = 1000.0
    monkeypatch.setattr(clock, "ticks", lambda: ticks)
    clock.measure()
    with CaptureQueriesContext(connection) as queries:
        ticks += 59
        assert clock.now() - LONG_AGO == timedelta(seconds=59)  # by our ticks
        assert len(queries) == 0
        ticks += 2
        assert clock.now() == LONG_AGO  # it has stood still, and says so
        assert len(queries) == 1
