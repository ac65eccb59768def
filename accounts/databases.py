"""What a database's error means: it is not there, it has no time for us now, or we have made a mistake."""

from django.db import InterfaceError, OperationalError

#: MariaDB's and MySQL's number for it: of two who waited for each other, the server has sent us away.
DEADLOCK = 1213
_LOCK_WAIT = 1205
#: What MySQL's client says of a server that is not there: no address, no answer, starting, stopping, crowded, or that
#: it has cut us off.
_UNREACHABLE = frozenset({1040, 1053, 1927, 2002, 2003, 2005, 2006, 2013, 4031})
#: And of a connection that was closed before.
_CLOSED = 0
#: SQLite has words instead.
_SQLITE = ("database is locked", "unable to open database file")


def is_unreachable(error: BaseException | None) -> bool:
    """Whether the server is only not there: time gives nobody another password."""
    number = _number(error)
    if isinstance(error, InterfaceError):
        return number == _CLOSED
    return isinstance(error, OperationalError) and number in _UNREACHABLE


def is_away(error: BaseException | None) -> bool:
    """Whether the same may well succeed in a moment: the database is away, or others were in the way."""
    if is_unreachable(error) or is_in_the_way(error):
        return True
    return isinstance(error, OperationalError) and str(error).startswith(_SQLITE)


def is_in_the_way(error: BaseException | None) -> bool:
    """Whether others had locked what was wanted, for too long, or waited for us as we for them."""
    return isinstance(error, OperationalError) and _number(error) in {_LOCK_WAIT, DEADLOCK}


def _number(error: BaseException | None) -> object:
    return error.args[0] if error is not None and error.args else None
