"""Whether the database is as the code needs it."""

from django.db import Error, connection
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor


def pending_migrations() -> list[tuple[Migration, bool]]:
    """Those that are not applied. Asks the database anew, and raises what it raises."""
    executor = MigrationExecutor(connection)
    return executor.migration_plan(executor.loader.graph.leaf_nodes())


def remedy_of_refusal() -> str:
    """What an operator is to do where the database has refused a command."""
    try:
        behind = pending_migrations()
    except Error:
        behind = []
    return "Run: manage.py migrate" if behind else "Look at: manage.py doctor"
