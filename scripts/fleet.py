"""A fleet on one machine: a server without slots, beat, and runners, each a process with a data folder of its own.

As a program (`make fleet`) it takes whatever of MariaDB, Redis and RabbitMQ answers on this machine, or what
the settings name, prints the addresses, and stops everything at Ctrl-C.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
_UID_BASE = 2_000_000
_START_SECONDS = 120.0
_STOP_SECONDS = 30.0
_TWICE_SECONDS = 0.2


class Member:
    """One process, of which there may be a new one whenever it has ended."""

    def __init__(self, name: str, command: list[str], settings: dict[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self._command = command
        self.settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    @property
    def ended(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.poll() if self._process else 0

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.settings}

    def start(self) -> None:
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us: we end them in order
            )

    def send(self, number: signal.Signals) -> None:
        if self._process is not None and self.ended is None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """As a power cut."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """Politely. A runner that is told once lets its runs finish; told twice, it stops them."""
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        time.sleep(_TWICE_SECONDS)
        self.send(signal.SIGTERM)

    def wait(self, seconds: float = _STOP_SECONDS) -> None:
        """Until it has ended; who does not end in time is killed."""
        if self._process is None:
            return
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()


class Fleet:
    """The processes, their folders below `folder`, and where the server listens."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str],
        *,
        port: int,
        runners: int,
        slots: int,
        demo: bool = False,
    ) -> None:
        self.folder = folder
        self.port = port
        self._settings = settings
        (folder / "storage").mkdir(parents=True, exist_ok=True)
        manage = [sys.executable, "manage.py"]
        serve = ["serve", "--host", HOST, "--port", str(port), *(["--demo"] if demo else [])]
        celery = [str(Path(sys.executable).with_name("celery")), "-A", "rpa_platform"]
        self.web = self._member("web", [*manage, *serve])
        self.beat = self._member("beat", [*celery, "beat"])
        self.runners = [
            self._member(f"runner-{number}", [*manage, "runner", "--slots", str(slots)], number)
            for number in range(1, runners + 1)
        ]

    @property
    def members(self) -> list[Member]:
        return [self.web, self.beat, *self.runners]

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}"

    def start(self) -> None:
        """Start the server, which brings the database up to date where it may, and then everybody else."""
        self.web.start()
        self.wait_for_web()
        for member in (self.beat, *self.runners):
            member.start()
        for runner in self.runners:
            self._wait(lambda runner=runner: b"is ready" in runner.log.read_bytes(), runner)

    def wait_for_web(self) -> None:
        self._wait(self._answers, self.web)

    def stop(self) -> None:
        """End everybody politely. May be called twice."""
        for member in reversed(self.members):
            member.stop()
        for member in self.members:
            member.wait()

    def _member(self, name: str, command: list[str], number: int = 0) -> Member:
        data = self.folder / name
        data.mkdir(mode=0o711, exist_ok=True)
        if not (data / "storage").exists():
            (data / "storage").symlink_to(self.folder / "storage")
        own = {
            "RPA_ENGINE": "celery",
            "RPA_BASE_URL": self.address,
            **self._settings,
            "RPA_DATA_DIR": str(data),
            "RPA_SANDBOX_UID_BASE": str(_UID_BASE + 1000 * number),
        }
        return Member(name, command, own, self.folder / f"{name}.log")

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.address}/healthz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _wait(self, condition: Callable[[], bool], member: Member) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not condition():
            if member.ended is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    f"{member.name} did not start:\n{member.log.read_text()[-3000:]}"
                )
            time.sleep(0.1)


def listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def database() -> str:
    """The address of a MariaDB or MySQL. Raises SystemExit where there is none."""
    named = os.environ.get("RPA_DATABASE_URL", "")
    if named.startswith("mysql:"):
        return named
    if named:
        raise SystemExit(
            "A fleet needs MariaDB or MySQL: SQLite serves one machine. Set RPA_DATABASE_URL=mysql://..."
        )
    import MySQLdb

    try:
        with MySQLdb.connect(host=HOST, port=3306, user="root", connect_timeout=2) as connection:
            connection.cursor().execute(
                "CREATE DATABASE IF NOT EXISTS rpa_fleet CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"
            )
    except MySQLdb.Error as error:
        raise SystemExit(
            "A fleet needs MariaDB or MySQL: SQLite serves one machine. Start one on 127.0.0.1:3306 that lets root in "
            f"without a password, or set RPA_DATABASE_URL=mysql://user:password@host/name. ({error.args[-1]})"
        ) from None
    return f"mysql://root@{HOST}:3306/rpa_fleet"


def broker() -> str:
    """The address of a Redis or RabbitMQ. Raises SystemExit where there is none."""
    if named := os.environ.get("RPA_BROKER_URL", ""):
        return named
    if listens(6379):
        return f"redis://{HOST}:6379/1"
    if listens(5672):
        return f"amqp://guest:guest@{HOST}:5672//"
    raise SystemExit(
        "A fleet needs a broker. Start Redis on 127.0.0.1:6379 or RabbitMQ on 127.0.0.1:5672, or set RPA_BROKER_URL."
    )


def _settings() -> dict[str, str]:
    found = {"RPA_DATABASE_URL": database(), "RPA_BROKER_URL": broker()}
    if not os.environ.get("RPA_REDIS_URL") and listens(6379):
        found["RPA_REDIS_URL"] = f"redis://{HOST}:6379/0"
    return found


def _without_password(url: str) -> str:
    scheme, _separator, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/fleet.py", description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--runners", type=int, default=3)
    parser.add_argument("--slots", type=int, default=8, help="of each runner")
    options = parser.parse_args()
    import environ

    environ.Env.read_env(ROOT / ".env")
    if listens(options.port):
        raise SystemExit(f"Port {options.port} is in use. Choose another one: make fleet PORT=8001")
    folder = Path(os.environ.get("RPA_DATA_DIR") or ROOT / "var").resolve() / "fleet"
    settings = _settings()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.default_int_handler)
    fleet = Fleet(
        folder, settings, port=options.port, runners=options.runners, slots=options.slots, demo=True
    )
    try:
        print("Starting the fleet; the first time takes a while.", flush=True)
        fleet.start()
        print((fleet.folder / "web.log").read_text().strip())
        for name, url in settings.items():
            print(f"{name}={_without_password(url)}")
        print(
            f"Storage: {(os.environ.get('RPA_STORAGE_URL') and 'a bucket') or folder / 'storage'}"
        )
        print(
            f"{options.runners} runners of {options.slots} slots. Logs: {folder}/*.log. Ctrl-C stops everything.",
            flush=True,
        )
        told: set[str] = set()
        while True:
            time.sleep(1)
            for member in fleet.members:
                if member.ended is not None and member.name not in told:
                    told.add(member.name)
                    print(
                        f"{member.name} has ended with {member.ended}; see {member.log}", flush=True
                    )
    except KeyboardInterrupt:
        print("Stopping.", flush=True)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        fleet.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
