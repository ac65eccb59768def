from collections.abc import Iterator

import pytest
from django.core.cache import cache


@pytest.fixture(autouse=True)
def _nobody_has_knocked_yet() -> Iterator[None]:
    """How many refusals are recorded in a minute is counted in the cache."""
    cache.clear()
    yield
    cache.clear()
