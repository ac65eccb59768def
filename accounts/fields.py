"""Column types that the shared tables fix and Django lacks."""

from typing import Any

from django.db import models

from audit.rows import Audited


class TinyIntegerField(models.SmallIntegerField):  # type: ignore[type-arg]
    """A one-byte code (`tinyint` on MySQL and MariaDB), as the reference system stores roles and states."""

    def db_type(self, connection: Any) -> str | None:
        return "tinyint" if connection.vendor == "mysql" else super().db_type(connection)


class Stamped(Audited):
    """Rows that know when they were made and last saved; the audit knows what else was changed."""

    create_time = models.DateTimeField(auto_now_add=True)
    update_time = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True
