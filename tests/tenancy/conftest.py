from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from enterprises.models import Enterprise, EnterpriseRole
from spaces.models import Space, SpaceRole
from tests.factories import make_enterprise, make_space, make_user
from tests.tenancy.firm import Firm


@pytest.fixture
def firm(permissions: None, api: Callable[[User | None], APIClient]) -> Firm:
    """olga is officer, gary governor, stan and sue staff; Orders is stan's, with sue as admin. zoe is a stranger."""
    names = ("olga", "gary", "stan", "sue", "zoe")
    people = {name: make_user(name) for name in names}
    people["root"] = make_user("root", is_superuser=True, is_staff=True)
    enterprise: Enterprise = make_enterprise(
        "Firm",
        {
            people["olga"]: EnterpriseRole.OFFICER,
            people["gary"]: EnterpriseRole.GOVERNOR,
            people["stan"]: EnterpriseRole.STAFF,
            people["sue"]: EnterpriseRole.STAFF,
        },
    )
    members = {people["stan"]: SpaceRole.OWNER, people["sue"]: SpaceRole.ADMIN}
    space: Space = make_space("Orders", members, enterprise)
    return Firm(people, enterprise, space, api)
