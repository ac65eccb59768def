import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def data() -> Iterator[Path]:
    """An empty data folder, through which the robots' users may pass; pytest's own are closed to them."""
    with tempfile.TemporaryDirectory(prefix="rpa-data-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)
