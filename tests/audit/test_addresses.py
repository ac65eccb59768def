"""Addresses hold secrets: keys of shares, tokens of invites and of mails. None of them gets into the audit."""

import json
import re
from collections.abc import Iterator
from uuid import UUID

import pytest
from django.core.cache import cache
from django.db import transaction
from django.test import Client
from django.urls import reverse

from accounts.models import User
from audit.models import Entry
from robots.models import Robot
from sharing import services as sharing
from spaces.models import Space
from tests.access.routes import patterns
from tests.access.test_route_walk import let_go
from tests.audit.entries import Heard
from tests.factories import make_user, owner_of

pytestmark = pytest.mark.django_db

SECRET = "s3cretOfSomebody"
_UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
_PLAIN = {"int": "1", "uuid": str(UUID(int=7))}
_PLACE = re.compile(r"<(?:(\w+):)?(\w+)>|\(\?P<(\w+)>([^()]*)\)")


def filled(pattern: str) -> str:
    """The path of a pattern whose every text is the secret; a choice of words is the first of them."""

    def value(found: "re.Match[str]") -> str:
        choice = found[4] or ""
        if "|" in choice:
            return choice.partition("|")[0]
        return _PLAIN.get(found[1] or "", SECRET)

    return f"/{_PLACE.sub(value, pattern)}"


def addresses() -> Iterator[str]:
    yield from (filled(each) for each in patterns())


def told() -> str:
    return json.dumps([each.exported() for each in Entry.objects.all()])


@pytest.fixture(params=["anonymous", "signed in", "operator"])
def client(request: pytest.FixtureRequest, space: Space) -> Client:
    """One whose every deed is refused at the door: nobody, or somebody without the form's token."""
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    if request.param != "anonymous":
        operator = request.param == "operator"
        client.force_login(make_user("zoe", is_staff=operator, is_superuser=operator))
    return client


def test_no_address_brings_a_secret_into_the_audit(client: Client) -> None:
    heard = Heard()
    walked = [each for each in addresses() if SECRET in each]
    assert {
        f"/api/v1/shares/{SECRET}/off/",
        f"/invites/{SECRET}/accept/",
        f"/signup/{SECRET}/",
        f"/password/reset/{SECRET}-{SECRET}/",
        f"/admin/robots/robot/{SECRET}/change/",
    } <= set(walked)
    for path in walked:
        for method in _UNSAFE:
            cache.clear()  # of these refusals, none is one too many
            with transaction.atomic():
                let_go(client.generic(method, path))
    assert len([each for each in heard.refused() if each.action == "request"]) > 30
    assert SECRET not in told()


def test_the_forms_that_take_a_secret_do_not_tell_it_either(client: Client) -> None:
    client.handler.enforce_csrf_checks = False
    for path in addresses():
        if SECRET in path:
            for method in _UNSAFE:
                cache.clear()
                with transaction.atomic():
                    let_go(client.generic(method, path))
    assert SECRET not in told()


def test_the_key_of_a_share_that_is_on_stays_secret(robot: Robot, people: dict[str, User]) -> None:
    share = sharing.share(robot, by=owner_of(robot.space))
    heard = Heard()
    Client().post(reverse("share-off", args=[share.share_key]))
    client = Client(enforce_csrf_checks=True)
    client.force_login(people["alice"])
    client.post(reverse("sharing:share-off", args=[share.share_key]))
    assert [(each.details["path"], each.details["status"]) for each in heard.refused()] == [
        ("/api/v1/shares/********/off/", 401),
        ("/shares/********/off/", 403),
    ]
    share.refresh_from_db()
    assert share.is_act
    assert share.share_key not in told()


def test_numbers_and_uids_are_told(robot: Robot) -> None:
    client = Client(enforce_csrf_checks=True)
    paths = [
        reverse("api-robot-detail", args=[robot.uid]),
        reverse("version-enable", args=[robot.uid, 3]),
        reverse("space-api-key-revoke", args=[5, 6]),
        reverse("admin:robots_robot_delete", args=[7]),
    ]
    heard = Heard()
    for path in paths:
        client.post(path)
    assert [each.details["path"] for each in heard.refused()] == paths
