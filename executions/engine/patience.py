"""For how long the threads of a runner wait for a lock, and how long one of theirs may be waited for, on MariaDB and MySQL.

A process that is stopped, or whose machine has lost the network, keeps its transactions open and what they have
locked. MariaDB ends such a one as soon as the runner is taken for dead; MySQL cannot, until the connection is lost.
"""

import threading
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

_LOCK_SECONDS = 5
#: The comment is MariaDB's way to say what others shall not read.
_HURRY = "SET SESSION innodb_lock_wait_timeout = %s /*M!100300 , SESSION idle_transaction_timeout = %s */"


class _Here(threading.local):
    hurries = False


_here = _Here()


def hurry() -> None:
    """From now on, with every connection of the calling thread. Not for requests: they may store files meanwhile."""
    if not _here.hurries:
        _here.hurries = True
        if connection.connection is not None:
            _tell(connection)


def _tell(connection: BaseDatabaseWrapper, **_of_signal: Any) -> None:
    if _here.hurries and connection.vendor == "mysql":
        idle = 2 * settings.RPA_HEARTBEAT_SECONDS + 1
        with connection.cursor() as cursor:
            cursor.execute(_HURRY, [_LOCK_SECONDS, idle])


connection_created.connect(_tell)
