"""Servers of the soak's own that it may kill: Redis and MariaDB."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

_START_SECONDS = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} did not start.")
        time.sleep(0.05)


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class Backing:
    """A server that is killed as a power cut does it, and started again on its port."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, start_new_session=True
            )
        wait_until(lambda: listens(self.port), self.command()[0])

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Redis(Backing):
    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        super().__init__(folder)
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        options = ["--save", "", "--bind", "127.0.0.1", "--dir", str(self._folder)]
        return [_program("redis-server"), "--port", str(self.port), *options]


class MariaDB(Backing):
    """Durable as in production: what it has acknowledged is on the disk."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        super().__init__(folder)
        self.url = f"mysql://root@127.0.0.1:{self.port}/soak"
        if os.geteuid() == 0:
            shutil.chown(folder, "mysql")
            self._owner = ["--user=mysql"]
        else:
            self._owner = []
        subprocess.run(
            [
                _program("mariadb-install-db"),
                *self._owner,
                f"--datadir={folder}/data",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def command(self) -> list[str]:
        folder = self._folder
        return [
            _program("mariadbd"),
            "--no-defaults",
            *self._owner,
            f"--datadir={folder}/data",
            f"--socket={folder}/socket",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
        ]

    def create(self) -> None:
        """Its one database, which is empty."""
        import MySQLdb

        with MySQLdb.connect(host="127.0.0.1", port=self.port, user="root") as connection:
            connection.cursor().execute("CREATE DATABASE soak CHARACTER SET utf8mb4")


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise RuntimeError(f"{name} is not installed.")
    return found
