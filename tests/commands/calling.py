"""Calling commands: in this process for what they do, in another for how they end."""

import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

from django.conf import settings
from django.core.management import call_command


def called(*arguments: str) -> str:
    """What the command says on standard output; its errors are raised, its remarks left out."""
    out = StringIO()
    call_command(*arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def clean_environment(data: Path, **more: str) -> dict[str, str]:
    """That of an operator with a data folder of his own and no other setting."""
    inherited = {name: value for name, value in os.environ.items() if "RPA_" not in name}
    return {
        **inherited,
        "DJANGO_SETTINGS_MODULE": "rpa_platform.settings",
        "RPA_DATA_DIR": str(data),
        **more,
    }


def process(data: Path, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """`manage.py` on a data folder of its own, from its start to its end."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=settings.BASE_DIR,
        env=clean_environment(data, **more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
