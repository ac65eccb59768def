"""Every list, walked: none counts its table, skips rows or names more of them than it shows."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from executions.models import Artifact, Pool, RunLimit, Runner, SpaceRetention, SpaceShare
from robots.models import RobotVersion
from spaces.keys import make_key
from tests.access.house import House, Things
from tests.access.routes import ADMIN, ROUTES
from tests.access.test_route_walk import address, let_go
from tests.factories import (
    make_enterprise,
    make_execution,
    make_robot,
    make_space,
    make_user,
    owner_of,
)

pytestmark = pytest.mark.django_db
#: As many as the longest page shows, and the one that tells whether there are more.
LONGEST_IN = 201

#: How many queries a list costs the operator: the session and its user, on pages the header, then the list.
PAGES = {
    "": 10,
    "robots/": 9,
    "robots/<uuid:uid>/": 11,
    "executions/": 8,
    "executions/<uuid:uid>/": 5,
    "spaces/": 5,
    "spaces/deleted/": 5,
    "enterprises/": 5,
    "enterprises/deleted/": 5,
    "enterprises/<int:pk>/spaces/": 8,
    "spaces/<int:pk>/members/": 7,
    "enterprises/<int:pk>/members/": 7,
    "spaces/<int:pk>/invites/": 7,
    "enterprises/<int:pk>/invites/": 7,
    "spaces/<int:pk>/keys/": 8,
    "invites/": 5,
    "applications/": 7,
    "applications/mine/": 5,
    "shares/": 5,
    "robots/<uuid:uid>/share/": 7,
    "executions/<uuid:uid>/share/": 7,
    "api/v1/enterprises/": 3,
    "api/v1/enterprises/<int:pk>/invites/": 5,
    "api/v1/spaces/": 3,
    "api/v1/spaces/<int:pk>/members/": 5,
    "api/v1/spaces/<int:pk>/invites/": 5,
    "api/v1/spaces/<int:pk>/applications/": 5,
    "api/v1/spaces/<int:pk>/api-keys/": 5,
    "api/v1/invites/": 3,
    "api/v1/applications/": 3,
    "api/v1/shares/": 3,
    "api/v1/robots/": 3,
    "api/v1/robots/(?P<uid>[^/.]+)/versions/": 4,
    "api/v1/executions/": 6,
    "api/v1/executions/(?P<uid>[^/.]+)/artifacts/": 4,
    "api/v1/executions/(?P<uid>[^/.]+)/events/": 5,
}
CHANGELISTS = {
    "auth.group": 3,
    "accounts.user": 3,
    "accounts.apikey": 3,
    "audit.entry": 3,
    "enterprises.enterprise": 3,
    "enterprises.enterprisepermission": 4,
    "enterprises.enterpriseuser": 3,
    "spaces.space": 3,
    "spaces.spacepermission": 4,
    "spaces.spaceuser": 3,
    "spaces.spacekey": 3,
    "joining.invite": 3,
    "joining.application": 3,
    "sharing.share": 3,
    "robots.robot": 4,
    "robots.robotversion": 4,
    "executions.execution": 6,
    "executions.artifact": 3,
    "executions.runner": 5,
    "executions.pool": 3,
    "executions.runlimit": 3,
    "executions.spaceshare": 3,
    "executions.spaceretention": 3,
}


def faults(sql: str) -> Iterator[str]:
    """What makes a statement dearer with every row that there is."""
    if re.search(r"\bCOUNT\s*\(", sql, re.IGNORECASE):
        yield f"counts: {sql}"
    if re.search(r"\bOFFSET\b|\bLIMIT \d+, ?\d+", sql, re.IGNORECASE):
        yield f"skips: {sql}"
    for listed in re.findall(r"\bIN \(([^()]*)\)", sql, re.IGNORECASE):
        if listed.count(",") >= LONGEST_IN:
            yield f"names {listed.count(',') + 1} rows: {sql}"


def price(house: House, path: str, actor: str = "operator") -> int:
    """How many queries it takes; none of them is at fault."""
    with CaptureQueriesContext(connection) as queries:
        response = house.clients[actor].get(path)
    let_go(response)
    assert response.status_code in (200, 302, 403, 404), path
    assert not [fault for each in queries.captured_queries for fault in faults(each["sql"])], path
    return len(queries)


def fill(things: Things, rows: int) -> None:
    """`rows` more of everything that any list shows."""
    alice = things.space.creator
    for number in range(rows):
        name = f"{RobotVersion.objects.latest('pk').pk} {number}"
        make_user(name.replace(" ", "-"))
        space = make_space(name, {alice: 1}, make_enterprise(name, {alice: 1}))
        SpaceRetention.objects.create(space=space, days=1)
        make_robot(things.space, name=name, source=f"print({name!r})\n")
        make_execution(things.robot, rerun_of=things.execution)
        Runner.objects.create(host=name, pid=1, slots=1)
        RunLimit.objects.create(space=space, most=1)
        SpaceShare.objects.create(space=space, weight=2)
        Pool.objects.create(name=name.replace(" ", "-"))
        make_key(things.space, by=owner_of(things.space), name=name)
        Artifact.objects.create(
            execution=things.execution, name=name, size=1, content_type="text/plain"
        )


#: What was asked for is a number, of members and of spaces, which a limit bounds.
NUMBERS = ("/limits/", "/counts/")
NUMBERS += ("spaces/<int:pk>/", "enterprises/<int:pk>/", "<int:pk>/settings/")


@pytest.mark.parametrize("actor", ["owner", "operator"])
def test_no_page_counts_or_skips(house: House, actor: str) -> None:
    for pattern, methods in ROUTES.items():
        if "GET" in methods and not pattern.endswith(NUMBERS):
            price(house, address(pattern, house.things), actor)


def test_the_price_of_each_list_is_as_written(house: House) -> None:
    found: list[Any] = []
    for rows in (1, 5):
        fill(house.things, rows)
        pages = {each: price(house, address(each, house.things)) for each in PAGES}
        lists = {
            label: price(house, reverse(f"admin:{label.replace('.', '_')}_changelist"))
            for label in ADMIN
        }
        found.append((pages, lists))
    assert found == [(PAGES, CHANGELISTS)] * 2


@pytest.mark.parametrize("model", sorted(admin.site._registry, key=lambda each: each._meta.label))
def test_searched_and_filtered_no_list_of_the_admin_counts_or_skips(
    house: House, model: type
) -> None:
    path = reverse(f"admin:{model._meta.label_lower.replace('.', '_')}_changelist")
    site = admin.site._registry[model]
    first = model._default_manager.first()
    asked = ["q=some", "before=99", "after=0", "p=2", "o=-1"]
    asked += [f"{name}__exact={getattr(first, name, '')}" for name in site.list_filter]
    for query in asked:
        price(house, f"{path}?{query}")
