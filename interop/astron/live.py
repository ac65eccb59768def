"""Reading the tables of a running AstronAgent database: one snapshot, and nothing is written."""

from collections.abc import Collection, Iterator
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from django.db import connection

from interop.astron.dump import DumpRefused

_BATCH = 1000
#: Which database it is, whatever address somebody has for it.
_WHICH = "SELECT @@hostname, @@port, DATABASE()"


class Live:
    """The wanted tables at mysql://user:password@host:3306/name. Use it as a context manager."""

    def __init__(self, url: str, wanted: Collection[str]) -> None:
        self._url = url
        self._wanted = sorted(wanted)
        self.tables: set[str] = set()

    def __enter__(self) -> Self:
        import MySQLdb  # only who has a MariaDB or MySQL to read needs its client

        self._error = MySQLdb.Error
        try:
            at = urlsplit(self._url)
            self._connection = MySQLdb.connect(
                host=at.hostname or "127.0.0.1",
                port=at.port or 3306,
                user=unquote(at.username or ""),
                password=unquote(at.password or ""),
                database=at.path.strip("/"),
                charset="utf8mb4",
                connect_timeout=10,
            )
        except (MySQLdb.Error, ValueError) as error:
            # Its text may hold everything but the password.
            raise DumpRefused(f"The database cannot be opened: {error}") from None
        cursor = self._connection.cursor()
        self._refuse_our_own(cursor)
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        cursor.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"
        )
        self.tables = {str(name) for (name,) in cursor.fetchall()} & set(self._wanted)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.rollback()
        self._connection.close()

    def _refuse_our_own(self, cursor: Any) -> None:
        if connection.vendor != "mysql":
            return
        cursor.execute(_WHICH)
        with connection.cursor() as ours:
            ours.execute(_WHICH)
            if ours.fetchone() == cursor.fetchone():
                self._connection.close()
                raise DumpRefused("It is this platform's own database.")

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        """The rows of a table by their keys, a few at a time in memory."""
        if table not in self.tables:
            return
        after = None
        while True:
            cursor = self._connection.cursor()
            where = "" if after is None else " WHERE id > %s"
            cursor.execute(
                f"SELECT * FROM `{table}`{where} ORDER BY id LIMIT {_BATCH}",  # noqa: S608 - of our own names
                [] if after is None else [after],
            )
            names = [each[0] for each in cursor.description]
            found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
            yield from found
            if len(found) < _BATCH:
                return
            after = found[-1]["id"]
