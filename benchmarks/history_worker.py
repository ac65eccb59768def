"""One platform with a history, asked for its pages. Reads a JSON object a line, answers with one a line.

{"fill": RUNS} makes the tables and fills them; {"user": NAME, "path": PATH} asks once for a page and tells the
seconds that it took; with "look", also what is wrong with its SQL. {"write": true} begins to run robots beside
all that, {"write": false} ends it and tells for how long the database let a write wait.
"""

import base64
import json
import re
import sys
import time
from typing import Any

import django

#: Tables that grow with history.
_GROWING = re.compile(r"executions_(execution|executionstream|executionevent|artifact)\b")
_LONGEST_IN = 201


def main() -> None:
    django.setup()
    from django.core.management import call_command
    from django.db import connection, transaction
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from accounts.models import User
    from benchmarks import history_fill
    from benchmarks.history_writer import Writer
    from executions.models import Execution

    clients: dict[str, Client] = {}
    places: dict[str, Any] = {}
    writers: list[Writer] = []

    def fill(runs: int) -> dict[str, Any]:
        call_command("migrate", verbosity=0)
        call_command("collectstatic", interactive=False, verbosity=0)
        began = time.perf_counter()
        if not Execution.objects.exists():
            with transaction.atomic():
                history_fill.people_and_robots()
            history_fill.runs(runs)
        places.update(_places(runs))
        return {"seconds": time.perf_counter() - began}

    def get(user: str, path: str, *, look: bool = False) -> dict[str, Any]:
        if user not in clients:
            clients[user] = Client(SERVER_NAME="127.0.0.1")
            clients[user].force_login(User.objects.get(username=user))
        address = path.format(**places)
        if look:
            with CaptureQueriesContext(connection) as queries:
                answer = clients[user].get(address)
            faults = [fault for each in queries.captured_queries for fault in _faults(each["sql"])]
            slow = max(queries.captured_queries, key=lambda each: float(each["time"]))
        began = time.perf_counter()
        answer = clients[user].get(address)
        told: dict[str, Any] = {"seconds": time.perf_counter() - began}
        if look:
            if answer.status_code != 200:
                faults.append(f"answered {answer.status_code}")
            told |= {"faults": faults, "queries": len(queries), "slowest": slow}
        return told

    def write(going: bool) -> dict[str, Any]:
        if going:
            writers.append(Writer())
            return {}
        return writers.pop().stop()

    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if "fill" in asked:
            told = fill(asked["fill"])
        elif "write" in asked:
            told = write(asked["write"])
        else:
            told = get(**asked)
        print(json.dumps(told), flush=True)


def _faults(sql: str) -> list[str]:
    """What makes a statement dearer with every run that there is."""
    if not _GROWING.search(sql):
        return []
    found = []
    if "COUNT(" in sql.upper():
        found.append(f"counts: {sql[:200]}")
    if re.search(r"\bOFFSET [1-9]", sql):
        found.append(f"skips: {sql[-200:]}")
    for listed in re.findall(r"\bIN \(([^()]*)\)", sql):
        if listed.count(",") >= _LONGEST_IN:
            found.append(f"lists {listed.count(',') + 1} values: {sql[:200]}")
    return found


def _places(runs: int) -> dict[str, Any]:
    from benchmarks.history_fill import OLDEST
    from executions.models import Artifact, Execution
    from robots.models import Robot

    robots = list(Robot.objects.order_by("pk"))
    middle = runs // 2
    return {
        "middle": middle,
        "cursor": base64.b64encode(f"p={middle}".encode()).decode(),
        "robot": robots[0].uid,
        "resting_robot": robots[40].uid,
        "versioned": robots[0].uid,
        "space": robots[0].space_id,
        "resting_space": robots[40].space_id,
        "ordinary_space": robots[44].space_id,
        "execution": Execution.objects.filter(robot=robots[0]).latest("pk").uid,
        "old_execution": Execution.objects.filter(robot=robots[0]).earliest("pk").uid,
        "artifact_of": Artifact.objects.latest("pk").execution.uid,
        # Before it lie those that are looked for; and two days ago.
        "old_time": _time(OLDEST + 1),
        "new_time": _time(runs - 5760),
    }


def _time(run: int) -> str:
    from executions.models import Execution

    return Execution.objects.get(pk=run).requested_at.isoformat().replace("+00:00", "Z")


if __name__ == "__main__":
    main()
