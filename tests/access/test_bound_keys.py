"""Every address that takes a key, knocked at by keys of spaces: each opens its own space, as its maker, and no more."""

import pytest
from django.test import Client

from spaces.models import Space
from tests.access.house import House, bound_key, inventory
from tests.access.routes import ROUTES
from tests.access.rules import RULES
from tests.access.test_route_walk import knock

pytestmark = pytest.mark.django_db
#: What exists for who may see the space; members of its enterprise may see that it does.
SEEN = "enterprise space.list_all"
#: A key makes no further ones.
NOT_BY_KEYS = {"POST api/v1/spaces/<int:pk>/api-keys/"}


def asked(kind: str) -> list[tuple[str, str]]:
    """The method and pattern of each address of the API whose rule begins so."""
    found = [name.split(" ", 1) for name, rule in RULES.items() if rule.startswith(kind)]
    return [(method, pattern) for method, pattern in found if pattern.startswith("api/")]


def program(space: Space, *, inside: bool) -> Client:
    secret = bound_key(space, inside=inside)
    return Client(raise_request_exception=False, headers={"Authorization": f"Bearer {secret}"})


def test_inside_it_may_what_its_maker_may(house: House) -> None:
    client = program(house.things.space, inside=True)
    for method, pattern in asked("space "):
        name = f"{method} {pattern}"
        makers = knock(house.clients["owner"], method, pattern, house.things)
        own = knock(client, method, pattern, house.things)
        expected = 403 if name in NOT_BY_KEYS else makers.status_code
        assert own.status_code == expected, name


def test_of_the_enterprise_around_it_nothing(house: House) -> None:
    client = program(house.things.space, inside=True)
    before = inventory()
    for method, pattern in asked("enterprise "):
        name = f"{method} {pattern}"
        own = knock(client, method, pattern, house.things)
        seen = RULES[name] == SEEN and "spaces/" in pattern
        assert own.status_code in ({200} if seen else {403, 404}), name
        assert own.left == before, name  # type: ignore[attr-defined]


def test_elsewhere_nothing_is_there(house: House) -> None:
    client = program(house.things.space, inside=False)
    before = inventory()
    for method, pattern in [*asked("space "), *asked("enterprise ")]:
        own = knock(client, method, pattern, house.things)
        assert own.status_code == 404, f"{method} {pattern}"
        assert own.left == before, f"{method} {pattern}"  # type: ignore[attr-defined]


def test_what_is_everybodys_own_shows_nothing_and_does_nothing(house: House) -> None:
    client = program(house.things.space, inside=False)
    before = inventory()
    for method, pattern in asked("own"):
        own = knock(client, method, pattern, house.things)
        assert own.left == before, f"{method} {pattern}"  # type: ignore[attr-defined]
        if pattern != "api/v1/permissions/" and own.status_code < 300:
            mine = [each["name"] for each in own.json()["results"]]
            assert mine == (["Elsewhere"] if pattern == "api/v1/spaces/" else []), pattern


def test_every_address_of_the_api_has_been_asked() -> None:
    walked = {*asked("space "), *asked("enterprise "), *asked("own")}
    rest = {*asked("open"), *asked("absent")}
    declared = {(m, p) for p, methods in ROUTES.items() for m in methods if p.startswith("api/")}
    assert walked | rest == declared
