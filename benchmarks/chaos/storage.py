"""A bucket of the chaos' own, behind a door that can be told to answer 500 to everything."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.soak.backing import free_port

KEY, SECRET, BUCKET = "chaos", "secret", "robots"
_REFUSAL = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_START_SECONDS = 120.0


class Storage:
    """SeaweedFS, and the door before it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.door = Door(free_port())
        self.url = f"s3+http://{KEY}:{SECRET}@127.0.0.1:{self.door.port}/{BUCKET}"

    def start(self) -> None:
        """Start it, and make the bucket."""
        identity = {
            "name": KEY,
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "Write", "List"],
        }
        (self._folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        names = ("s3", "master", "volume", "filer")
        ports = [f"-{name}.port={free_port()}" for name in names]
        ports += [f"-{name}.port.grpc={free_port()}" for name in names]
        inside = int(ports[0].rpartition("=")[2])
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    str(Path(sys.executable).with_name("weed")),
                    *("server", "-s3", "-filer", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
                    *(f"-dir={self._folder}", f"-s3.config={self._folder / 's3.json'}"),
                    *("-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=20"),
                    *ports,
                ],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env={"HOME": str(self._folder)},
                start_new_session=True,
            )
        self.door.start(inside)
        self._make_bucket()

    def _make_bucket(self) -> None:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError

        client: Any = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.door.port}",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                client.create_bucket(Bucket=BUCKET)
                client.put_object(Bucket=BUCKET, Key="ready", Body=b"ready")
                return
            except (BotoCoreError, ClientError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def kill(self) -> None:
        self.door.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Door:
    """Passes connections on, byte by byte; while `failing`, it answers 500 and closes them, old ones as well."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.refused = 0
        self._failing = False
        self._inside = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self, inside: int) -> None:
        self._inside = inside
        self._thread.start()
        listening = asyncio.start_server(self._serve, "127.0.0.1", self.port)
        asyncio.run_coroutine_threadsafe(listening, self._loop).result(10)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)

    def fail(self, *, failing: bool) -> None:
        """From now on."""
        self._failing = failing
        if failing:
            self._loop.call_soon_threadsafe(self._hang_up)

    def _hang_up(self) -> None:
        for writer in self._open:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            if self._failing:
                await reader.readuntil(b"\r\n\r\n")
                self.refused += 1
                writer.write(_REFUSAL)
                await writer.drain()
                return
            theirs, ours = await asyncio.open_connection("127.0.0.1", self._inside)
            back = asyncio.create_task(_pass_on(theirs, writer))
            await _pass_on(reader, ours)
            await back
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            self._open.discard(writer)
            writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
