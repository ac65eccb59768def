"""What the soak reads and writes: a platform's data of its own, and the server that shows it."""

import io
import json
from multiprocessing.connection import Connection
from pathlib import Path

from django.conf import settings
from django.core.management import call_command


def furnish(pipe: Connection) -> None:
    """Make the tables, the people and a robot. Tells an API key."""
    call_command("migrate", verbosity=0)
    told = io.StringIO()
    call_command("demo", json=True, stdout=told)
    (Path(settings.RPA_DATA_DIR) / "acknowledged").mkdir()
    pipe.send(json.loads(told.getvalue())["api_key"])


def serve(_pipe: Connection, port: int) -> None:
    """The real server, without an engine, until it is killed."""
    call_command("serve", host="127.0.0.1", port=port)
