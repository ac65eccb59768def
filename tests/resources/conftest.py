"""A real S3 server, and the platform's storage in a bucket of it."""

import json
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from botocore.exceptions import BotoCoreError
from django.core.files.storage import storages

from accounts.refusals import Unavailable
from resources.s3 import Bucket
from rpa_platform import configuration

KEY, SECRET, BUCKET = "tester", "s3cr/t+key", "robots"


@dataclass
class Server:
    """SeaweedFS in a folder of its own."""

    folder: Path
    ports: list[int] = field(default_factory=lambda: free_ports(8))

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.ports[0]}"

    @property
    def storage_url(self) -> str:
        return f"s3+http://{KEY}:{quote(SECRET, safe='')}@{self.address}/{BUCKET}/some/prefix"

    def start(self) -> None:
        """In an empty folder: what another start has left there knows other ports."""
        data = Path(tempfile.mkdtemp(dir=self.folder))
        identity = {
            "name": KEY,
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "Write", "List"],
        }
        (self.folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        names = ("s3", "s3.port.grpc", "master", "master.port.grpc", "volume", "volume.port.grpc")
        names += ("filer", "filer.port.grpc")
        ports = [
            f"-{name if '.' in name else f'{name}.port'}={port}"
            for name, port in zip(names, self.ports, strict=True)
        ]
        command = [
            str(Path(sys.executable).with_name("weed")),
            *("server", "-s3", "-filer", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
            *(f"-dir={data}", f"-s3.config={self.folder / 's3.json'}"),
            *("-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=20"),
            *ports,
        ]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, env={"HOME": str(self.folder)}
            )

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


def free_ports(count: int) -> list[int]:
    """None that the kernel gives to clients: a connection of another test could take it before the server does."""
    candidates = iter(random.sample(range(20_000, 32_000), 1000))
    return list(islice(filter(_is_free, candidates), count))


def _is_free(port: int) -> bool:
    with socket.socket() as probe, suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="rpa-s3-", ignore_cleanup_errors=True) as folder:
        found = Server(Path(folder))
        found.start()
        try:
            _make_bucket(found)
            yield found
        finally:
            found.stop()


def _make_bucket(server: Server) -> None:
    deadline = time.monotonic() + 120
    while True:
        client = Bucket(**options(server)).connection.meta.client
        try:
            client.create_bucket(Bucket=BUCKET)
            Bucket(**options(server)).delete("not/there")
        except (BotoCoreError, Unavailable, client.exceptions.ClientError):
            assert time.monotonic() < deadline, (server.folder / "log").read_text()[-2000:]
            if server.ended:  # somebody else has taken one of its ports meanwhile
                server.ports = free_ports(8)
                server.start()
            time.sleep(0.1)
        else:
            return


def options(server: Server, **more: Any) -> dict[str, Any]:
    """As the settings make them of RPA_STORAGE_URL."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RPA_STORAGE_URL", server.storage_url)
        made: dict[str, Any] = configuration.storage(server.folder, "")["OPTIONS"]
    return {**made, **more}


@pytest.fixture(params=["by the platform", "by presigned addresses"])
def bucket(server: Server, settings: Any, request: pytest.FixtureRequest) -> Bucket:
    """The platform's storage, in both ways of handing files out."""
    public = f"http://{server.address}" if "presigned" in request.param else ""
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {
            "BACKEND": "resources.s3.Bucket",
            "OPTIONS": options(server, public_url=public),
        },
    }
    found = storages["default"]
    assert isinstance(found, Bucket)
    return found
