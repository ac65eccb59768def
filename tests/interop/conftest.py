from collections.abc import AsyncIterator

import pytest

from accounts.models import ApiKey, User
from executions.hub import hub


@pytest.fixture
def token(people: dict[str, User]) -> str:
    """alice's key, as a workflow sends it."""
    return f"Bearer {ApiKey.issue(user=people['alice'], name='workflow')[1]}"


@pytest.fixture
async def quiet(transactional_db: None) -> AsyncIterator[None]:
    """Ends the tails and threads of the test's event loop, as the end of a process does."""
    yield
    hub().close()
