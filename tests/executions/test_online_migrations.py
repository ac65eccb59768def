"""Migrations of the executions' table on MariaDB: robots run on while an index is built."""

import re
import threading
import time
from collections.abc import Iterator

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from executions.choices import EventKind
from executions.events import Draft, append, head_of, writing
from executions.models import Execution

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "mysql", reason="about MariaDB and MySQL"),
]
BUILD = "CREATE INDEX probe ON executions_execution (tier, id)"


def ask(sql: str) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall() or ())


@pytest.fixture
def index() -> Iterator[threading.Thread]:
    """Builds one as a migration does, and gives up after two seconds of waiting for others."""

    def build() -> None:
        try:
            ask("SET innodb_lock_wait_timeout = 2")
            ask(BUILD)
        finally:
            connection.close()

    thread = threading.Thread(target=build)
    yield thread
    thread.join()
    ask("DROP INDEX IF EXISTS probe ON executions_execution")


def test_an_index_waits_for_a_writer_and_never_the_other_way_round(
    execution: Execution, index: threading.Thread
) -> None:
    """A writer locks its stream first. Were that all it had, the two would wait for each other."""
    waiting = f"SELECT 1 FROM information_schema.processlist WHERE info = '{BUILD}' AND state LIKE 'Waiting%'"
    with writing():
        append(execution.pk, [Draft(EventKind.LOG, {"stream": "stdout"}, ("a line",))])
        index.start()
        deadline = time.monotonic() + 30
        while not ask(waiting):
            assert time.monotonic() < deadline
        assert Execution.objects.filter(pk=execution.pk).update(progress=50.0) == 1
    index.join()
    assert head_of(execution.pk).last_seq == 2
    assert ask("SHOW INDEX FROM executions_execution WHERE key_name = 'probe'")


def test_migrations_copy_no_table_that_is_long() -> None:
    """A table that is copied takes no writes meanwhile; the server refuses to copy when it is told to.

    New tables are empty: what is added to them in the same breath copies nothing.
    """
    if not ask("SHOW VARIABLES LIKE 'alter_algorithm'"):
        pytest.skip("MariaDB before 11.5 can be told so")
    try:
        call_command("migrate", "executions", "0002", verbosity=0)
        ask("SET alter_algorithm = 'INPLACE'")
        call_command("migrate", "executions", "0005", verbosity=0)
        ask("SET alter_algorithm = 'DEFAULT'")
        with CaptureQueriesContext(connection) as queries:
            call_command("migrate", verbosity=0)
    finally:
        ask("SET alter_algorithm = 'DEFAULT'")
        call_command("migrate", verbosity=0)
    told = [each["sql"] for each in queries.captured_queries]
    new = {name for sql in told for name in re.findall(r"CREATE TABLE `(\w+)`", sql)}
    altered = {name for sql in told for name in re.findall(r"ALTER TABLE `(\w+)`", sql)}
    assert new
    # Of runners there are as many as machines.
    assert altered - new <= {"executions_runner"}
