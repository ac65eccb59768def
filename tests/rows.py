"""The rows of tables, as they lie there: for walks that look at all of them after each of thousands of requests."""

from collections.abc import Iterable
from typing import Any

from django.db import connection
from django.db.models import Model


def rows_of(model: type[Model], columns: Iterable[str] = ("*",)) -> list[tuple[Any, ...]]:
    """Every row, in the order of the primary key."""
    order = model._meta.pk.column
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(columns)} FROM {model._meta.db_table} ORDER BY {order}")
        return list(cursor.fetchall())
