"""What this machine has to offer: the pool that its runner belongs to, and the labels that robots may ask for."""

import platform
import shutil
import sys

from django.conf import settings

from executions.models import DEFAULT_POOL, Pool

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def own_pool() -> Pool:
    """The pool of RPA_RUNNER_POOL, made where this is its first runner."""
    pool, _created = Pool.objects.get_or_create(name=settings.RPA_RUNNER_POOL or DEFAULT_POOL)
    return pool


def own_labels() -> list[str]:
    """Those of RPA_RUNNER_LABELS, and what can be seen: system, machine, Python, and Chromium where it is."""
    machine = platform.machine().lower()
    seen = {
        sys.platform,
        _MACHINES.get(machine, machine),
        f"python{sys.version_info.major}.{sys.version_info.minor}",
    }
    if shutil.which("chromium"):
        seen.add("chromium")
    return sorted(seen | set(settings.RPA_RUNNER_LABELS))
