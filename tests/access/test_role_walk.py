"""Every address, knocked at by each role: what the tables of permissions say is what happens."""

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from accounts.models import User
from enterprises.models import EnterpriseRole
from enterprises.permissions import DEFAULTS as ENTERPRISE_DEFAULTS
from spaces.models import Space, SpaceRole
from spaces.permissions import DEFAULTS
from tests.access.house import House, build_house, inventory
from tests.access.routes import ROUTES
from tests.access.rules import ADMIN_PAGES, RULES
from tests.access.test_route_walk import knock, let_go
from tests.factories import make_user

pytestmark = pytest.mark.django_db

#: What each is in the enterprise, and in its space.
ROLES: dict[str, tuple[EnterpriseRole, SpaceRole | None]] = {
    "officer": (EnterpriseRole.OFFICER, None),
    "governor": (EnterpriseRole.GOVERNOR, None),
    "staff": (EnterpriseRole.STAFF, None),
    "owner": (EnterpriseRole.STAFF, SpaceRole.OWNER),
    "admin": (EnterpriseRole.STAFF, SpaceRole.ADMIN),
    "member": (EnterpriseRole.STAFF, SpaceRole.MEMBER),
}


@pytest.fixture
def house(people: dict[str, User], space: Space) -> House:
    """As ever; but alice, who made everything, owns nothing any more and is a member as bob is."""
    built = build_house(people, space)
    enterprise = built.things.enterprise
    enterprise.members.filter(user=people["alice"]).update(role=EnterpriseRole.GOVERNOR)
    space.members.filter(user=people["alice"]).update(role=SpaceRole.ADMIN)
    for name, (firm, room) in ROLES.items():
        user = make_user(f"the {name}")
        enterprise.members.create(user=user, role=firm)
        if room is not None:
            space.members.create(user=user, role=room)
        built.clients[name] = Client(raise_request_exception=False)
        built.clients[name].force_login(user)
    return built


def granted(role: str, rule: str) -> bool:
    """By the defaults alone."""
    return any(_granted(role, *each.split()) for each in rule.split(" or "))


def _granted(role: str, side: str, key: str) -> bool:
    firm, room = ROLES[role]
    if side == "enterprise":
        return "ogs"[firm - 1] in ENTERPRISE_DEFAULTS[key].roles
    return room is not None and "oam"[room - 1] in DEFAULTS[key].roles


def expected(role: str, name: str, rule: str) -> set[int]:
    """What a request may be answered with. Granted, it may still find that there is nothing to do."""
    if granted(role, rule):
        # Nobody leaves as the last officer or owner, and the page says so at once.
        return {200, 201, 204, 302, 409, 422} | ({403} if name.endswith("leave/") else set())
    inside = any(part in name for part in ("robots/", "executions/", "shares/"))
    hidden = ROLES[role][1] is None and inside
    return {404} if hidden else {403}


def test_every_address_says_what_it_asks() -> None:
    declared = {
        f"{method} {pattern}"
        for pattern, methods in ROUTES.items()
        for method in methods
        if not pattern.startswith("admin/")
    }
    assert set(RULES) == declared
    known = {f"space {key}" for key in DEFAULTS} | {
        f"enterprise {key}" for key in ENTERPRISE_DEFAULTS
    }
    asked = {each for rule in RULES.values() if " " in rule for each in rule.split(" or ")}
    assert asked <= known


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_what_the_table_grants_it_and_nothing_else(house: House, role: str) -> None:
    before = inventory()
    wrong: dict[str, tuple[int, set[int]]] = {}
    for name, rule in RULES.items():
        method, pattern = name.split(" ", 1)
        response = knock(house.clients[role], method, pattern, house.things)
        allowed = expected(role, name, rule) if " " in rule else {*range(200, 500)} - {403}
        refused = " " in rule and not granted(role, rule)
        if refused and method == "POST" and not pattern.startswith("api/"):
            allowed |= {302, 404, 422}  # back to the page, which says why, or is not there for them
        changed = refused and response.left != before  # type: ignore[attr-defined]
        if response.status_code not in allowed or changed:
            wrong[name] = response.status_code, allowed
    assert wrong == {}


def extra_pages() -> set[str]:
    found = {
        (str(url.name), f"{model._meta.app_label}_{model._meta.model_name}")
        for model, site in admin.site._registry.items()
        for url in site.get_urls()
        if url.name is not None
    }
    usual = ("changelist", "add", "history", "delete", "change")
    return {name for name, model in found if name not in {f"{model}_{page}" for page in usual}}


def test_every_page_of_the_admin_is_in_the_table() -> None:
    assert extra_pages() == set(ADMIN_PAGES)


def test_further_pages_of_the_admin_are_for_operators(house: House) -> None:
    unprivileged = Client(raise_request_exception=False)
    unprivileged.force_login(make_user("stan", is_staff=True))
    user = str(User.objects.get(username="bob").pk)
    for name, needs in ADMIN_PAGES.items():
        arguments = [user if each == "a user" else each for each in needs]
        path = reverse(f"admin:{name}", args=arguments)
        operator = house.clients["operator"].get(path)
        assert operator.status_code == 200, path
        let_go(operator)
        assert unprivileged.get(path).status_code == 403, path
        for actor in ("anonymous", "stranger", "foreign", "expired", "scoped", *ROLES):
            assert house.clients[actor].get(path).status_code == 302, (actor, path)
