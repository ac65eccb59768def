"""A refusal says which deed was tried on what, by whichever door."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db import transaction
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from spaces.models import Space
from tests.access.house import House, build_house
from tests.access.routes import ROUTES
from tests.access.test_route_walk import address, contents, let_go
from tests.audit.entries import Heard
from tests.factories import make_enterprise, make_space

pytestmark = pytest.mark.django_db


@pytest.fixture
def house(people: dict[str, User], space: Space) -> House:
    return build_house(people, space)


@pytest.fixture
def member(people: dict[str, User]) -> Client:
    """Of the enterprise and of the space, with the lowest role in both."""
    client = Client(raise_request_exception=False)
    client.force_login(people["bob"])
    return client


#: Refused for who asks, whatever it is that they ask for.
_OF_NOTHING = {"admin/login/"}
#: What is to be made, and is not there yet.
_OF_NOTHING |= {"api/v1/robots/", "api/v1/spaces/", "api/v1/enterprises/"}


@pytest.mark.parametrize("actor", ["member", "scoped", "expired"])
def test_what_may_be_seen_is_named_with_what_was_tried_on_it(
    house: House, member: Client, actor: str
) -> None:
    client = member if actor == "member" else house.clients[actor]
    refused = 0
    for pattern, methods in ROUTES.items():
        for method in set(methods) & {"POST", "PATCH", "DELETE"}:
            cache.clear()
            things = house.seen_by(actor)
            heard, cookies = Heard(), client.cookies.copy()
            more = contents(method, pattern, things) if method != "DELETE" else {}
            with transaction.atomic():
                answer = getattr(client, method.lower())(address(pattern, things), **more)
                let_go(answer)
                told = heard.refused()
                transaction.set_rollback(True)
            client.cookies = cookies
            if answer.status_code == 403 and pattern not in _OF_NOTHING:
                (entry,) = told
                assert entry.action != "request", f"{method} {pattern}"
                assert entry.object_id, f"{method} {pattern}"
                refused += 1
    assert refused > 15


def of_deed(heard: Heard) -> tuple[str, str, str, str]:
    entry = heard.only()
    assert entry.outcome == "refused"
    return entry.action, entry.object_type, entry.object_id, entry.actor


@pytest.mark.parametrize(
    ("page", "method", "api", "deed"),
    [
        ("delete/", "delete", "", "delete"),
        ("transfer/", "post", "transfer/", "transfer"),
        ("settings/", "patch", "", "change"),
        ("invite/", "post", "invites/", "invite.create"),
    ],
)
@pytest.mark.parametrize("kind", ["enterprise", "space"])
def test_the_page_and_the_api_tell_alike(
    people: dict[str, User],
    member: Client,
    space: Space,
    kind: str,
    page: str,
    method: str,
    api: str,
    deed: str,
) -> None:
    assert space.enterprise is not None
    place = space.enterprise if kind == "enterprise" else space
    body: dict[str, Any] = {"user": people["dora"].uid, "role": 3, "name": "other"}
    heard = Heard()
    assert member.post(f"/{kind}s/{place.pk}/{page}", body).status_code == 403
    by_page, heard = of_deed(heard), Heard()
    programs = APIClient()
    programs.force_authenticate(people["bob"])
    answer = getattr(programs, method)(f"/api/v1/{kind}s/{place.pk}/{api}", body, format="json")
    assert answer.status_code == 403
    action = deed if "." in deed else f"{kind}.{deed}"
    assert by_page == of_deed(heard) == (action, place._meta.label_lower, str(place.pk), "bob")


def test_a_page_that_is_only_looked_at_tries_nothing(member: Client, space: Space) -> None:
    heard = Heard()
    for page in ("delete/", "transfer/", "settings/", "invite/", "keys/"):
        assert member.get(f"/spaces/{space.pk}/{page}").status_code == 403
    assert heard.all() == []


def test_a_form_that_is_wrong_is_refused_as_the_deed_too(member: Client, space: Space) -> None:
    heard = Heard()
    assert member.post(f"/spaces/{space.pk}/keys/", {}).status_code == 403
    assert heard.only().action == "space.key_make"
    assert heard.only().object_id == str(space.pk)


def test_who_ruled_is_refused_in_an_expired_enterprise_by_name(people: dict[str, User]) -> None:
    firm = make_enterprise("Late", {people["dora"]: 1})
    firm.expire_time = timezone.now() - timedelta(hours=1)
    firm.save()
    make_space("Old", {people["dora"]: 1}, firm)
    client = Client()
    client.force_login(people["dora"])
    heard = Heard()
    assert client.post(f"/enterprises/{firm.pk}/delete/", {"confirm": "Late"}).status_code == 403
    entry = heard.only()
    assert (entry.action, entry.object_name) == ("enterprise.delete", "Late")
    assert entry.details["code"] == "enterprise_expired"
