"""A RabbitMQ of the chaos' own: a node with a name, ports and folders that nobody else has."""

import os
import subprocess
from pathlib import Path

from benchmarks.soak.backing import free_port, listens, wait_until


class RabbitMQ:
    """Killed with all that it remembers: rings are not written down anywhere."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self.port = free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "plugins").write_text("[].\n")
        # The machine's own configuration may name its port.
        (folder / "own.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{self.port}\n")
        (folder / "cookie").mkdir()

    def start(self) -> None:
        more = {
            "HOME": str(self._folder / "cookie"),
            "RABBITMQ_NODENAME": f"chaos{self.port}@localhost",
            "RABBITMQ_CONFIG_FILE": str(self._folder / "own.conf"),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "data"),
            "RABBITMQ_LOG_BASE": str(self._folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        }
        with (self._folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [_server()],
                env={**os.environ, **more},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        wait_until(lambda: listens(self.port), "RabbitMQ")

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, 9)
            self._process.wait()
            self._process = None

    def purge(self) -> None:
        """Forget every ring."""
        from kombu import Connection

        with Connection(self.url) as connection:
            connection.default_channel.queue_purge("rpa.default")


def _server() -> str:
    """The program itself: what is in the path insists on a user of its own."""
    found = sorted(Path("/usr/lib/rabbitmq/lib").glob("*/sbin/rabbitmq-server"))
    if not found:
        raise RuntimeError("rabbitmq-server is not installed.")
    return str(found[-1])
