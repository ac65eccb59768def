import pytest

from accounts.models import User
from spaces.models import Space
from tests.access.house import House, build_house


@pytest.fixture
def house(people: dict[str, User], space: Space) -> House:
    return build_house(people, space)
