"""What every process of the soak begins with; loaded once, into the one that all of them are forks of."""

import django

django.setup()

from benchmarks.soak import audit, keepers, readers  # noqa: E402
from rpa_platform import asgi, urls  # noqa: E402

__all__ = ["asgi", "audit", "keepers", "readers", "urls"]
