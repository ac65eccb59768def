"""Several things at once, each in a thread with a database connection of its own."""

import threading
from collections.abc import Callable
from typing import Any

from django.db import connection


def together(*deeds: Callable[[], Any], timeout: float = 60.0) -> list[Any]:
    """Do all of `deeds` at the same moment: what each returned, or the exception that it raised."""
    answers: list[Any] = [AssertionError("It did not end in time.")] * len(deeds)
    line = threading.Barrier(len(deeds))

    def run(place: int, deed: Callable[[], Any]) -> None:
        try:
            connection.ensure_connection()
            line.wait(timeout)
            answers[place] = deed()
        except BaseException as error:  # noqa: BLE001 - it is the caller's to judge
            answers[place] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=each, daemon=True) for each in enumerate(deeds)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout)
    return answers


def succeed(*deeds: Callable[[], Any], timeout: float = 60.0) -> list[Any]:
    """As `together`, where nothing may go wrong."""
    answers = together(*deeds, timeout=timeout)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers
