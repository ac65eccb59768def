"""A page that asks for all deeds at once gets the answers that each of them would get alone."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.actors import Actor
from accounts.models import ApiKey, User
from enterprises.access import may_in_enterprise, permissions_in_enterprise
from enterprises.models import Enterprise, EnterprisePermission
from enterprises.permissions import DEFAULTS as OF_ENTERPRISES
from spaces.access import may, permissions_in
from spaces.models import Space, SpacePermission
from spaces.permissions import DEFAULTS as OF_SPACES
from tests.factories import make_user
from tests.people.conftest import Acme

pytestmark = pytest.mark.django_db


def actors(acme: Acme) -> list[Actor]:
    alice = acme.people["alice"]
    erin = make_user("erin")
    acme.enterprise.members.create(user=erin, role=2)
    acme.space.members.create(user=erin, role=2)
    idle = make_user("idle")
    acme.space.members.create(user=idle, role=1)
    User.objects.filter(pk=idle.pk).update(is_active=False)
    idle.refresh_from_db()
    key = ApiKey.issue(user=alice, name="narrow", scopes=["space.view", "enterprise.view"])[0]
    people = [*acme.people.values(), erin, idle, make_user("root", is_superuser=True)]
    return [*map(Actor, people), Actor(alice, key)]


@pytest.mark.parametrize("state", ["plain", "expired", "edited", "rowless", "deleted"])
def test_they_agree(acme: Acme, state: str) -> None:
    found: list[Any] = []
    asking = actors(acme)
    if state == "expired":
        Enterprise.objects.update(expire_time=timezone.now() - timedelta(hours=1))
    elif state == "edited":
        EnterprisePermission.objects.update(staff=True, officer=False)
        SpacePermission.objects.update(member=False, admin=True)
    elif state == "rowless":
        EnterprisePermission.objects.all().delete()
        SpacePermission.objects.exclude(permission_key="space.view").delete()
    elif state == "deleted":
        Space.objects.update(deleted=True)
    for actor in asking:
        if state == "deleted" and actor.is_operator:
            continue  # who is asked about living places alone
        deeds = permissions_in(actor, acme.space)
        assert deeds == {each for each in OF_SPACES if may(actor, each, space=acme.space)}
        of_house = permissions_in_enterprise(actor, acme.enterprise)
        assert of_house == {
            each
            for each in OF_ENTERPRISES
            if may_in_enterprise(actor, each, enterprise=acme.enterprise)
        }
        found.append((deeds, of_house))
    assert len(set(found)) > 2
