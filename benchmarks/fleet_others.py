"""What others make of doing nothing: Celery's bare tasks, and Prefect's flows in processes of their own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from uv import find_uv_bin

from benchmarks.soak.backing import free_port

ROOT = Path(__file__).resolve().parent.parent
PREFECT = "prefect==3.9.1"
_TASKS = 2000
_FLOWS = 16
_START_SECONDS = 120.0
_FLOW = """
from prefect import flow

@flow
def nothing():
    pass
"""
_DEPLOY = """
from pathlib import Path
from typing import Any
from prefect import flow
print(flow.from_source(source=str(Path.cwd()), entrypoint="nothing.py:nothing").deploy(name="nothing", work_pool_name="here"))
"""


def celery_rate(url: str, at_once: int) -> float:
    """No-op tasks a second of a Celery worker with so many threads: the same broker, pool and settings as a runner's."""
    from redis import Redis

    from benchmarks.fleet_noop import DONE, app, nothing

    app.conf.broker_url = url
    command = ["-A", "benchmarks.fleet_noop", "worker", "-P", "threads", "-c", str(at_once)]
    with Redis.from_url(url) as redis, app.connection_for_write() as connection:
        producer = app.amqp.Producer(connection)
        for _task in range(_TASKS):
            nothing.apply_async(producer=producer, queue="noop")
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", *command, "-Q", "noop", "--loglevel", "ERROR"],
            cwd=ROOT,
            env={**os.environ, "FLEET_NOOP_BROKER": url},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _until(lambda: int(redis.get(DONE) or 0) > 0)
            began, first = time.perf_counter(), int(redis.get(DONE) or 0)
            _until(lambda: int(redis.get(DONE) or 0) >= _TASKS)
            return (_TASKS - first) / (time.perf_counter() - began)
        finally:
            worker.kill()
            worker.wait()


def prefect_rate(folder: Path, at_once: int) -> float | None:
    """Flow runs a second of Prefect's own server and process worker; None where Prefect cannot be had."""
    home = Path.home() / ".cache" / "rpa-benchmarks"
    python = home / "prefect" / "bin" / "python"
    if not _installed(home, python):
        return None
    (folder / "nothing.py").write_text(_FLOW)
    (folder / "deploy.py").write_text(_DEPLOY)
    port = free_port()
    address = f"http://127.0.0.1:{port}/api"
    environment = {
        **os.environ,
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": address,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "ERROR",
    }

    def prefect(*arguments: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [str(python), "-m", "prefect", *arguments],
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    with ExitStack() as stack:

        def lasting(*arguments: str) -> None:
            process = prefect(*arguments)
            stack.callback(process.wait)
            stack.callback(process.kill)

        lasting("server", "start", "--host", "127.0.0.1", "--port", str(port))
        _until(lambda: _answers(f"{address}/health"))
        if prefect("work-pool", "create", "here", "--type", "process").wait():
            raise RuntimeError("Prefect makes no work pool.")
        deployed = subprocess.run(
            [str(python), "deploy.py"], cwd=folder, env=environment, check=True, capture_output=True
        )
        deployment = deployed.stdout.decode().split()[-1]
        for _flow in range(_FLOWS):
            _post(f"{address}/deployments/{deployment}/create_flow_run", {})
        lasting("worker", "start", "--pool", "here", "--limit", str(at_once))
        _until(lambda: _ended(address) >= _FLOWS)
        runs = _post(f"{address}/flow_runs/filter", {})
        if {run["state_type"] for run in runs} != {"COMPLETED"}:
            raise RuntimeError("Prefect's flows did not complete.")
        begin = min(_seconds(run["start_time"]) for run in runs)
        return _FLOWS / (max(_seconds(run["end_time"]) for run in runs) - begin)


def _installed(home: Path, python: Path) -> bool:
    """Whether it is there: in a virtual environment of its own, made once."""
    home.mkdir(parents=True, exist_ok=True)
    uv = find_uv_bin()
    steps = (
        [uv, "venv", "-q", "--allow-existing", "-p", "/usr/bin/python3", str(home / "prefect")],
        [uv, "pip", "install", "-q", "-p", str(python), PREFECT],
    )
    return all(subprocess.run(step, check=False).returncode == 0 for step in steps)


def _ended(address: str) -> int:
    body = {"flow_runs": {"state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED"]}}}}
    return int(_post(f"{address}/flow_runs/count", body))


def _post(url: str, body: object) -> Any:
    asked = Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urlopen(asked, timeout=60) as answer:
        return json.load(answer)


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5):
            return True
    except OSError:
        return False


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("It did not come to its end in time.")
        time.sleep(0.1)
