"""python -m benchmarks.history: do lists take longer when there are a hundred times as many runs?

Two platforms are filled in two databases of their own, one with a short history and one with a long one that begins
and ends in the same way. Then both are asked for the same pages in turns, as several kinds of users. At last robots
run on the long one while its indexes are dropped and built and its oldest runs are pruned.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Self

import environ
import MySQLdb

from benchmarks.history_fill import PACE
from benchmarks.house import ROOT
from benchmarks.report import Figure, median, milliseconds, table

GOAL = 1.3
#: For how long a write may wait, in seconds.
LONGEST_WAIT = 1.0
#: A page that is over the goal is asked for again, up to so many times; all its answers count.
_ROUNDS = 6
_API = "/api/v1/executions/"
_ADMIN = "/admin/executions"
_EVERYBODY = ("huge", "resting", "retired", "five", "fifty", "operator")
_MOST = ("huge", "resting", "fifty", "operator")
#: What is asked for, and by whom: pages that the short history fills as well.
CASES: tuple[tuple[str, str, Sequence[str]], ...] = (
    ("home", "/", _EVERYBODY),
    ("executions", "/executions/", _EVERYBODY),
    ("executions, in the middle", "/executions/?before={middle}", ("huge", "fifty", "operator")),
    ("executions, failed", "/executions/?status=FAILED", _MOST),
    ("executions, cancelled", "/executions/?status=CANCELLED", _MOST),
    ("executions, running", "/executions/?status=RUNNING", _MOST),
    ("executions, robot by name", "/executions/?q=041", ("resting", "operator")),
    ("executions, no such robot", "/executions/?q=nonsense", ("huge", "operator")),
    ("robots", "/robots/", _EVERYBODY),
    ("a robot", "/robots/{robot}/", ("huge", "operator")),
    ("a robot at rest", "/robots/{resting_robot}/", ("resting", "operator")),
    ("live page", "/executions/{execution}/", ("huge", "operator")),
    ("API: executions", _API, _EVERYBODY),
    ("API: executions, 200 a page", f"{_API}?limit=200", ("huge", "fifty", "operator")),
    ("API: executions, in the middle", _API + "?cursor={cursor}", ("huge", "fifty", "operator")),
    ("API: executions, failed", f"{_API}?status=FAILED", _MOST),
    ("API: executions, cancelled", f"{_API}?status=CANCELLED", _MOST),
    (
        "API: executions, three states",
        f"{_API}?status=FAILED&status=PENDING&status=CANCELLED",
        _MOST,
    ),
    ("API: executions, mine", f"{_API}?mine=true", _MOST),
    ("API: executions, mine, cancelled", f"{_API}?mine=true&status=CANCELLED&limit=5", _MOST),
    ("API: executions of a robot", _API + "?robot={robot}", ("huge", "operator")),
    ("API: ... cancelled", _API + "?robot={robot}&status=CANCELLED", ("huge", "operator")),
    ("API: ... at rest", _API + "?robot={resting_robot}", ("resting", "operator")),
    ("API: executions of a space", _API + "?space={space}", ("huge", "operator")),
    ("API: ... at rest", _API + "?space={resting_space}", ("resting", "operator")),
    ("API: executions since", _API + "?requested_after={new_time}", _MOST),
    ("API: executions until", _API + "?requested_before={new_time}", _MOST),
    ("API: executions until long ago", _API + "?requested_before={old_time}", _MOST),
    (
        "API: executions between",
        _API + "?requested_after={old_time}&requested_before={new_time}&status=CANCELLED&limit=5",
        _MOST,
    ),
    ("API: an execution", _API + "{execution}/", ("huge", "operator")),
    ("API: events", _API + "{execution}/events/", ("huge", "operator")),
    ("API: events of an old run", _API + "{old_execution}/events/", ("huge", "operator")),
    ("API: artifacts", _API + "{artifact_of}/artifacts/", ("operator",)),
    ("API: robots", "/api/v1/robots/", _MOST),
    ("API: versions", "/api/v1/robots/{versioned}/versions/", ("huge", "operator")),
    ("admin: executions", f"{_ADMIN}/execution/", ("operator",)),
    ("admin: ... in the middle", _ADMIN + "/execution/?before={middle}", ("operator",)),
    ("admin: ... failed", f"{_ADMIN}/execution/?status__exact=FAILED", ("operator",)),
    ("admin: ... cancelled", f"{_ADMIN}/execution/?status__exact=CANCELLED", ("operator",)),
    ("admin: ... over quota", f"{_ADMIN}/execution/?failure_reason__exact=quota", ("operator",)),
    ("admin: ... by command", f"{_ADMIN}/execution/?origin__exact=command", ("operator",)),
    (
        "admin: ... cancelled in a space",
        _ADMIN + "/execution/?status__exact=CANCELLED&space__id__exact={space}",
        ("operator",),
    ),
    ("admin: ... of a space", _ADMIN + "/execution/?space__id__exact={space}", ("operator",)),
    (
        "admin: ... of a space at rest",
        _ADMIN + "/execution/?space__id__exact={resting_space}",
        ("operator",),
    ),
    (
        "admin: ... over quota in a space",
        _ADMIN + "/execution/?failure_reason__exact=quota&space__id__exact={space}",
        ("operator",),
    ),
    (
        "admin: ... by command, of robots",
        f"{_ADMIN}/execution/?origin__exact=command&q=04",
        ("operator",),
    ),
    ("admin: ... of a robot", f"{_ADMIN}/execution/?q=041", ("operator",)),
    ("admin: ... of no robot", f"{_ADMIN}/execution/?q=nonsense", ("operator",)),
    ("admin: ... by id", _ADMIN + "/execution/?q={execution}", ("operator",)),
    ("admin: artifacts", f"{_ADMIN}/artifact/", ("operator",)),
    ("admin: ... by name", f"{_ADMIN}/artifact/?q=nonsense", ("operator",)),
    ("admin: ... of a run", _ADMIN + "/artifact/?q={artifact_of}", ("operator",)),
    ("admin: robots", "/admin/robots/robot/", ("operator",)),
    ("admin: robot versions", "/admin/robots/robotversion/", ("operator",)),
    ("admin: runners", f"{_ADMIN}/runner/", ("operator",)),
    ("admin: users", "/admin/accounts/user/", ("operator",)),
    ("admin: API keys", "/admin/accounts/apikey/", ("operator",)),
    ("admin: spaces", "/admin/spaces/space/", ("operator",)),
    ("admin: retention", f"{_ADMIN}/spaceretention/", ("operator",)),
)
#: As migrations do it. To migrate back so far would take the queue away from those who run.
_EACH_INDEX = """
from django.db import connection
from executions.models import Execution
with connection.schema_editor() as editor:
    for each in Execution._meta.indexes"""
#: What is done to the long history while robots run.
DEEDS: tuple[tuple[str, Sequence[str]], ...] = (
    ("nothing else", ("check",)),
    ("indexes dropped", ("shell", "-c", f"{_EACH_INDEX}: editor.remove_index(Execution, each)")),
    ("indexes built", ("shell", "-c", f"{_EACH_INDEX}: editor.add_index(Execution, each)")),
    ("prune", ("prune",)),
)


class Platform:
    """A platform with a database of its own, in a process that is asked for pages. Use it as a context manager."""

    def __init__(self, server: str, name: str, *, keep: bool) -> None:
        self._name = name
        self._keep = keep
        self._server = environ.Env.db_url_config(server)
        self._url = f"{server.rstrip('/')}/{name}"
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            collation = "CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"
            self._sql(f"CREATE DATABASE IF NOT EXISTS `{self._name}` {collation}")
            if not self._keep:
                stack.callback(self._sql, f"DROP DATABASE `{self._name}`")
            folder = Path(tempfile.mkdtemp(prefix="rpa-bench-"))
            stack.callback(shutil.rmtree, folder)
            inherited = {
                name: value for name, value in os.environ.items() if "RPA_" not in name.upper()
            }
            self._environment = {
                **inherited,
                "DJANGO_SETTINGS_MODULE": "rpa_platform.settings",
                "RPA_DATA_DIR": str(folder),
                "RPA_DATABASE_URL": self._url,
                "RPA_ENGINE": "none",
                "RPA_API_RATE": "1000000/min",
            }
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.history_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=self._environment,
                cwd=ROOT,
                text=True,
                # Ctrl-C is for us: we end it when we are done with it.
                start_new_session=True,
            )
            stack.callback(self._end)
            self.told()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def ask(self, **wanted: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(wanted) + "\n")
        self._process.stdin.flush()

    def told(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"The platform of {self._name} ended.")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def manage(self, *arguments: str, **more: str) -> str:
        """What `manage.py` says, called as an operator calls it."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            env={**self._environment, **more},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return done.stdout

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()

    def _sql(self, statement: str) -> None:
        connection = MySQLdb.connect(
            host=self._server["HOST"],
            port=self._server["PORT"] or 3306,
            user=self._server["USER"],
            password=self._server["PASSWORD"],
        )
        with closing(connection), connection.cursor() as cursor:
            cursor.execute(statement)


def main(arguments: Sequence[str]) -> int:
    """0 unless a page was refused or its SQL counts, skips or lists what grows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.history", description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000, help="how many the long history has")
    parser.add_argument("--short", type=int, default=10_000, help="how many the short one has")
    parser.add_argument("--samples", type=int, default=15, help="how often each page is asked for")
    parser.add_argument(
        "--only", default="", help="the pages with this in their name alone; `waits`: none of them"
    )
    parser.add_argument(
        "--server", default="mysql://root@127.0.0.1:3306", help="MariaDB or MySQL, without a name"
    )
    parser.add_argument(
        "--keep", action="store_true", help="use the databases of the last time, and leave them"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    machine = f"{platform.system()} {platform.release()}, Python {platform.python_version()}, {os.cpu_count()} CPUs"
    print(f"{machine}, load {os.getloadavg()[0]:.1f} before the start\n", flush=True)
    began = time.monotonic()
    figures: list[Figure] = []
    faults: list[str] = []
    short = Platform(options.server, "rpa_history_short", keep=options.keep)
    long = Platform(options.server, f"rpa_history_{options.runs}", keep=options.keep)
    with short, long:
        for each, runs in ((short, options.short), (long, options.runs)):
            each.ask(fill=runs)
        for each in (short, long):
            print(f"filled in {each.told()['seconds']:.0f} s", file=sys.stderr, flush=True)
        for name, path, users in CASES:
            if options.only not in name:
                continue
            for user in users:
                figure, wrong = _compare(
                    short, long, f"{name} ({user})", user, path, options.samples
                )
                figures.append(figure)
                faults += wrong
                print(
                    figure.name,
                    figure.measured,
                    figure.baseline,
                    f"{figure.ratio:.2f}",
                    figure.verdict,
                    file=sys.stderr,
                    flush=True,
                )
        if options.only in "waits":
            days = options.runs * PACE // 86_400 - 1
            figures += [_wait(long, name, deed, days) for name, deed in DEEDS]
    print(table(figures))
    print(f"\n{time.monotonic() - began:.0f} s")
    if options.json:
        told = {
            "machine": machine,
            "figures": [each.to_json() for each in figures],
            "incorrect": faults,
        }
        options.json.write_text(json.dumps(told, indent=1) + "\n")
    for fault in faults:
        print(f"INCORRECT: {fault}", file=sys.stderr)
    return 1 if faults else 0


def _compare(
    short: Platform, long: Platform, name: str, user: str, path: str, samples: int
) -> tuple[Figure, list[str]]:
    """The two in turns, after one request each that warms up."""
    faults: list[str] = []
    times: dict[Platform, list[float]] = {short: [], long: []}
    for each in (short, long):
        each.ask(user=user, path=path, look=True)
        told = each.told()
        faults += [f"{name}: {fault}" for fault in told["faults"]]
    for _round in range(_ROUNDS):
        for _sample in range(samples):
            for each in (short, long):
                each.ask(user=user, path=path)
                times[each].append(each.told()["seconds"])
        little, much = median(times[short]), median(times[long])
        if much / little <= GOAL:
            break
    return Figure(
        name=name,
        measured=milliseconds(much),
        baseline=milliseconds(little),
        ratio=much / little,
        goal=f"<= {GOAL}",
        met=much / little <= GOAL,
    ), faults


def _wait(platform: Platform, name: str, deed: Sequence[str], days: int) -> Figure:
    """The longest that a write had to wait while this was done."""
    platform.ask(write=True)
    platform.told()
    began = time.monotonic()
    # Also where it takes no time: robots run for as long as it takes to see what waits are usual.
    said = platform.manage(*deed, RPA_RETENTION_DAYS=str(days)).strip().splitlines()
    time.sleep(max(0.0, 5 - (time.monotonic() - began)))
    seconds = time.monotonic() - began
    platform.ask(write=False)
    told = platform.told()
    print(name, told, f"{seconds:.0f} s", said[-1:], file=sys.stderr, flush=True)
    return Figure(
        name=f"longest wait of a write: {name}",
        measured=milliseconds(told["longest"]),
        baseline=f"{told['writes']} writes in {seconds:.0f} s",
        goal=f"<= {LONGEST_WAIT:.0f} s",
        met=told["longest"] <= LONGEST_WAIT,
    )


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
