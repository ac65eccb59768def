"""Somebody who runs robots all the while, and knows how long the database let him wait at worst."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


class Writer:
    """Takes runs of a robot from the request to the end, one after the other, until it is stopped."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._longest = 0.0
        self._writes = 0
        self._writing = ThreadPoolExecutor(1).submit(self._write)

    def stop(self) -> dict[str, Any]:
        """What it has done; its runs are removed, so that the history is what it was."""
        from executions.models import Artifact, Execution, ExecutionEvent, ExecutionStream

        self._stopping.set()
        self._writing.result()  # what was refused is raised
        for rows in (Artifact, ExecutionEvent, ExecutionStream):
            rows._base_manager.filter(execution_id__gt=self._before)._raw_delete("default")
        Execution.objects.filter(pk__gt=self._before)._raw_delete("default")
        return {"longest": self._longest, "writes": self._writes}

    def _write(self) -> None:
        from django.db import connection

        from accounts.actors import Actor
        from executions import lifecycle, services
        from executions.choices import EventKind, Origin, Status
        from executions.events import Draft, Source, append
        from executions.lifecycle import Ending
        from executions.models import Execution
        from robots.models import Robot

        self._before = Execution.objects.latest("pk").pk
        robot = Robot.objects.select_related(
            "space__enterprise", "enabled_version", "created_by"
        ).earliest("pk")
        line = Draft(EventKind.LOG, {"stream": "stdout"}, ("a line",))
        while not self._stopping.is_set():
            requested = self._timed(
                lambda: services.request_execution(
                    robot=robot, by=Actor(robot.created_by), origin=Origin.API
                )
            )
            run = requested.execution
            self._timed(lambda run=run: lifecycle.start(run, Source("", 0, 0)))
            for _line in range(5):
                self._timed(lambda run=run: append(run.pk, [line]))
            self._timed(lambda run=run: lifecycle.finish(run.pk, Ending(Status.COMPLETED)))
        connection.close()

    def _timed(self, deed: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        done = deed()
        self._longest = max(self._longest, time.perf_counter() - began)
        self._writes += 1
        return done
