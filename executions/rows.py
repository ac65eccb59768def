"""Reads one row as the ORM does, without building the statement anew: that takes ten times as long as the database."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

from django.db import connection, models

M = TypeVar("M", bound=models.Model)


def read_row(model: type[M], key: Any) -> M:
    """The row of `model` with this primary key, which is there."""
    statement, names, converters = _reading(model, connection.vendor)
    with connection.cursor() as cursor:
        cursor.execute(statement, [key])
        row = list(cursor.fetchone())
    for place, expression, convert in converters:
        row[place] = convert(row[place], expression, connection)
    return model.from_db(connection.alias, names, row)


@lru_cache
def _reading(
    model: type[models.Model], vendor: str
) -> tuple[str, tuple[str, ...], list[tuple[int, Any, Callable[..., Any]]]]:
    """The statement for this kind of database, the fields, and what makes their values of what it answers."""
    table = model._meta.db_table
    fields = model._meta.concrete_fields
    columns = ", ".join(field.column or "" for field in fields)
    converters = []
    for place, field in enumerate(fields):
        expression = field.get_col(table)
        found = [
            *connection.ops.get_db_converters(expression),
            *expression.get_db_converters(connection),
        ]
        converters += [(place, expression, convert) for convert in found]
    key = model._meta.pk.column
    statement = f"SELECT {columns} FROM {table} WHERE {key} = %s"  # noqa: S608 - names of columns
    return statement, tuple(field.attname for field in fields), converters
