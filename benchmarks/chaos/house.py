"""A fleet of the chaos' own, and everything that it stands on."""

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.chaos.rabbit import RabbitMQ
from benchmarks.chaos.storage import Storage
from benchmarks.soak.backing import MariaDB, Redis, free_port
from executions.sandbox import Sandbox
from executions.sandbox.workspace import reclaim
from scripts.fleet import ROOT, Fleet, Member

HEARTBEAT_SECONDS = 1
#: After this long without a heartbeat a runner is taken for dead.
LEASE_SECONDS = 2 * HEARTBEAT_SECONDS + 1


class House:
    """Use it as a context manager: whatever was started is gone afterwards, with all its data."""

    def __init__(
        self,
        *,
        broker: str,
        runners: int,
        slots: int,
        bucket: bool,
        heartbeat: int = HEARTBEAT_SECONDS,
    ) -> None:
        self._options = (broker, runners, slots, bucket)
        self._heartbeat = heartbeat
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        broker, runners, slots, bucket = self._options
        with ExitStack() as stack:
            folder = Path(tempfile.mkdtemp(prefix="rpa-chaos-"))
            folder.chmod(0o755)  # robots and the database are users of their own
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            self.database = MariaDB(folder / "mariadb")
            self.redis = Redis(folder / "redis")
            self.rabbit = RabbitMQ(folder / "rabbitmq") if broker == "rabbitmq" else None
            self.storage = Storage(folder / "bucket") if bucket else None
            for each in (self.database, self.redis, self.rabbit, self.storage):
                if each is not None:
                    stack.callback(each.kill)
                    each.start()
            self.database.create()
            settings = self._settings()
            (folder / "fleet").mkdir(mode=0o711)
            self.fleet = Fleet(
                folder / "fleet", settings, port=free_port(), runners=runners, slots=slots
            )
            self.seed = _seed({**settings, "RPA_DATA_DIR": str(folder / "fleet" / "web")})
            stack.callback(self._clear)
            stack.callback(self.fleet.stop)
            self.fleet.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def broker(self) -> "Redis | RabbitMQ":
        return self.rabbit or self.redis

    def robot(self, name: str) -> str:
        return str(self.seed["robots"][name])

    def last_words(self) -> str:
        """What its processes have complained of."""
        logs = [f"{each.name}:\n{_tail(each.log)}" for each in self.fleet.members]
        return "\n".join(logs)

    def skew(self, member: Member, seconds: int) -> None:
        """From its next start on, the member's wall clock is wrong by so much."""
        library = self.fleet.folder / "skew.so"
        if not library.exists():
            source = Path(__file__).with_name("skew.c")
            subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
        member.settings.update(LD_PRELOAD=str(library), SKEW_SECONDS=str(seconds))

    def _settings(self) -> dict[str, str]:
        """Nothing of a platform that the caller may have is used."""
        for name in [name for name in os.environ if name.startswith("RPA_")]:
            del os.environ[name]
        return {
            "DJANGO_SETTINGS_MODULE": "rpa_platform.settings",
            "RPA_ENGINE": "celery",
            "RPA_DATABASE_URL": self.database.url,
            "RPA_BROKER_URL": self.broker.url,
            "RPA_REDIS_URL": self.redis.url,
            "RPA_STORAGE_URL": self.storage.url if self.storage else "",
            "RPA_HEARTBEAT_SECONDS": str(self._heartbeat),
            "RPA_CANCEL_GRACE": "1",
            "RPA_API_RATE": "1000000/min",
            "RPA_SECRET_KEY": "the same for every process of the chaos",
        }

    def _clear(self) -> None:
        for number, runner in enumerate(self.fleet.runners, 1):
            folder = self.fleet.folder / runner.name
            sandbox = Sandbox(folder, 2_000_000 + 1000 * number)
            sandbox.reclaim()
            sandbox.close()
            reclaim(folder / "work")


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-3000:] if log.exists() else ""


def _seed(settings: dict[str, str]) -> dict[str, Any]:
    output = subprocess.run(
        [sys.executable, "-m", "benchmarks.chaos.seed"],
        cwd=ROOT,
        env={**os.environ, **settings},
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    seed: dict[str, Any] = json.load(io.BytesIO(output))
    return seed
