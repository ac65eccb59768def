"""Enterprises: founding, members and their roles, the office, hiding and showing again."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.actors import Actor
from accounts.models import ApiKey
from accounts.refusals import Refused
from enterprises import services
from enterprises.access import enterprises_allowing, may_in_enterprise
from enterprises.models import Enterprise, EnterprisePermission, EnterpriseUser
from enterprises.permissions import DEFAULTS
from executions.choices import Status
from robots.models import Robot
from spaces import services as spaces
from spaces.access import may
from spaces.models import Space, SpaceRole
from spaces.permissions import DEFAULTS as SPACE_DEFAULTS
from tests.api.helpers import pages, problem_of, wheres
from tests.factories import make_execution, make_robot, make_space, make_user
from tests.tenancy.firm import Firm

pytestmark = pytest.mark.django_db
LIST = "/api/v1/enterprises/"
EVERYBODY = ("olga", "gary", "stan", "zoe", "root")


def granted(firm: Firm, deed: str) -> str:
    """Who of EVERYBODY may do it, by their first letters."""
    return "".join(
        who[0]
        for who in EVERYBODY
        if may_in_enterprise(firm.actor(who), deed, enterprise=firm.enterprise)
    )


def test_each_deed_is_granted_as_the_table_says(firm: Firm) -> None:
    letters = {"o": "o", "g": "g", "s": "s"}
    for deed, row in DEFAULTS.items():
        assert granted(firm, deed) == "".join(letters[each] for each in row.roles) + "r", deed
    Enterprise.objects.update(expire_time=timezone.now() - timedelta(hours=1))
    for deed, row in DEFAULTS.items():
        assert granted(firm, deed) == (row.roles if row.available_expired else "") + "r", deed
    EnterprisePermission.objects.filter(permission_key="enterprise.view").update(staff=False)
    assert granted(firm, "enterprise.view") == "ogr"
    EnterprisePermission.objects.all().delete()
    assert granted(firm, "enterprise.view") == "r"
    Enterprise.objects.update(deleted=True)
    assert granted(firm, "enterprise.view") == ""


def test_a_key_reaches_as_far_as_its_scopes(firm: Firm) -> None:
    key, _secret = ApiKey.issue(user=firm.people["olga"], name="k", scopes=["enterprise.view"])
    actor = Actor(firm.people["olga"], key)
    assert enterprises_allowing(actor, "enterprise.view").count() == 1
    assert not enterprises_allowing(actor, "enterprise.rename").exists()
    with pytest.raises(LookupError, match=r"enterprise\.explode"):
        enterprises_allowing(actor, "enterprise.explode")


def test_who_founds_an_enterprise_is_its_officer(firm: Firm) -> None:
    made = firm.ask("zoe", "post", LIST, {"name": "  New   firm ", "service_type": 2})
    assert made.status_code == 201
    assert made.json()["name"] == "New firm"
    assert (made.json()["role"], made.json()["service_type"]) == (1, 2)
    assert [each["name"] for each in firm.ask("zoe", "get", LIST).json()["results"]] == ["New firm"]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, "name"),
        ({"name": " "}, "name"),
        ({"name": "x" * 51}, "name"),
        ({"name": "a\u202eb"}, "name"),
        ({"name": "x", "logo_url": "javascript:alert(1)"}, "logo_url"),
        ({"name": "x", "avatar_url": "//evil.example/x.png"}, "avatar_url"),
        ({"name": "x", "service_type": 3}, "service_type"),
    ],
)
def test_what_makes_no_enterprise(firm: Firm, body: dict[str, Any], where: str) -> None:
    refused = firm.ask("zoe", "post", LIST, body)
    assert refused.status_code in (400, 422)
    assert wheres(problem_of(refused, refused.status_code, "invalid")) == [where]
    assert Enterprise.objects.count() == 1


def test_living_names_are_unique(firm: Firm) -> None:
    assert firm.said("zoe", "post", LIST, {"name": "Firm"}) == "409 name_taken"
    assert firm.said("zoe", "post", LIST, {"name": "Other"}) == "201"
    assert firm.said("olga", "patch", firm.at(), {"name": "Other"}) == "409 name_taken"
    assert firm.said("olga", "delete", firm.at()) == "204"
    assert firm.said("zoe", "post", LIST, {"name": "Firm"}) == "201"
    assert firm.said("olga", "post", firm.at("restore/")) == "409 name_taken"


@pytest.mark.parametrize(
    ("who", "said"),
    [("olga", "200"), ("gary", "200"), ("stan", "403 forbidden"), ("zoe", "404 not_found")],
)
def test_who_changes_an_enterprise(firm: Firm, who: str, said: str) -> None:
    for change in (
        {"name": "New"},
        {"logo_url": "https://x.example/l.png"},
        {"avatar_url": "/a.png"},
    ):
        assert firm.said(who, "patch", firm.at(), change) == said
    kept = Enterprise.objects.get()
    assert (kept.name == "New" and kept.avatar_url == "/a.png") == (said == "200")


def test_an_expired_enterprise_is_read_only(firm: Firm) -> None:
    Enterprise.objects.update(expire_time=timezone.now() - timedelta(hours=1))
    assert firm.ask("olga", "get", firm.at()).json()["expired"] is True
    deeds: list[tuple[str, str, Any]] = [
        ("patch", firm.at(), {"name": "New"}),
        ("delete", firm.at(), None),
        ("post", firm.at("transfer/"), {"user": firm.uid("gary")}),
        ("patch", firm.at(f"members/{firm.uid('stan')}/"), {"role": 2}),
        ("delete", firm.at(f"members/{firm.uid('stan')}/"), None),
    ]
    for method, path, body in deeds:
        assert firm.said("olga", method, path, body) == "403 enterprise_expired", (method, path)
    assert firm.said("gary", "post", firm.at("leave/")) == "403 enterprise_expired"


def test_the_last_one_visited_is_remembered(firm: Firm) -> None:
    assert firm.said("stan", "get", f"{LIST}last/") == "404 not_found"
    assert firm.said("stan", "post", firm.at("visit/")) == "204"
    other = firm.ask("stan", "post", LIST, {"name": "Other"}).json()["id"]
    assert firm.ask("stan", "get", f"{LIST}last/").json()["id"] == firm.enterprise.pk
    assert firm.said("stan", "post", f"{LIST}{other}/visit/") == "204"
    assert firm.ask("stan", "get", f"{LIST}last/").json()["id"] == other
    assert firm.ask("gary", "get", firm.at()).json()["last_visit_time"] is None


# Members -----------------------------------------------------------------------------------------


def test_a_list_of_members_comes_in_pages_at_a_constant_price(firm: Firm) -> None:
    client = firm.api(firm.people["gary"])
    prices = []
    for count in (3, 60):
        users = [make_user(f"m{count}-{number}") for number in range(count)]
        EnterpriseUser.objects.bulk_create(
            EnterpriseUser(enterprise=firm.enterprise, user=user) for user in users
        )
        with CaptureQueriesContext(connection) as queries:
            client.get(firm.at("members/"))
        prices.append(len(queries))
    assert prices == [5, 5]
    found = [
        row["username"] for page in pages(client, firm.at("members/"), limit=20) for row in page
    ]
    assert len(found) == len(set(found)) == 67
    officers = client.get(firm.at("members/"), {"role": 1}).json()["results"]
    assert [each["username"] for each in officers] == ["olga"]
    assert firm.said("stan", "get", firm.at("members/")) == "200"
    assert firm.said("zoe", "get", firm.at("members/")) == "404 not_found"


@pytest.mark.parametrize(
    ("who", "whom", "role", "said"),
    [
        ("olga", "stan", 2, "200"),
        ("gary", "stan", 2, "200"),
        ("root", "stan", 2, "200"),
        ("gary", "stan", 1, "422 invalid"),
        ("olga", "stan", 1, "422 invalid"),
        ("gary", "olga", 3, "403 role_too_low"),
        ("olga", "olga", 3, "409 last_officer"),
        ("root", "olga", 3, "409 last_officer"),
        ("stan", "sue", 2, "403 forbidden"),
        ("stan", "zoe", 2, "403 forbidden"),
        ("olga", "zoe", 2, "404 not_a_member"),
        ("zoe", "stan", 2, "404 not_found"),
        ("olga", "stan", 4, "400 invalid"),
    ],
)
def test_who_gives_whom_which_role(firm: Firm, who: str, whom: str, role: int, said: str) -> None:
    before = firm.roles()
    path = firm.at(f"members/{firm.uid(whom)}/")
    assert firm.said(who, "patch", path, {"role": role}) == said
    assert firm.roles() == (before | {whom: role} if said == "200" else before)


def test_nobody_grants_a_role_above_their_own(firm: Firm) -> None:
    EnterprisePermission.objects.filter(permission_key="member.change_role").update(staff=True)
    path = firm.at(f"members/{firm.uid('sue')}/")
    assert firm.said("stan", "patch", path, {"role": 2}) == "403 role_too_high"
    path = firm.at(f"members/{firm.uid('gary')}/")
    assert firm.said("stan", "patch", path, {"role": 3}) == "403 role_too_low"


def test_who_goes_leaves_the_spaces_and_what_they_owned(firm: Firm) -> None:
    olga, stan = firm.people["olga"], firm.people["stan"]
    known = make_space("Known", {stan: SpaceRole.OWNER, olga: SpaceRole.MEMBER}, firm.enterprise)
    guest = make_space(
        "Guest", {firm.people["sue"]: SpaceRole.OWNER, stan: SpaceRole.ADMIN}, firm.enterprise
    )
    own = make_space("Own", {stan: SpaceRole.OWNER})
    assert firm.said("gary", "delete", firm.at(f"members/{stan.uid}/")) == "204"
    assert "stan" not in firm.roles()
    assert firm.space_roles() == {"olga": 1, "sue": 2}
    assert firm.space_roles(known) == {"olga": 1}
    assert firm.space_roles(guest) == {"sue": 1}
    assert firm.space_roles(own) == {"stan": 1}
    assert firm.said("stan", "get", firm.in_space()) == "404 not_found"


@pytest.mark.parametrize(
    ("who", "whom", "said"),
    [
        ("gary", "olga", "403 role_too_low"),
        ("olga", "olga", "409 last_officer"),
        ("root", "olga", "409 last_officer"),
        ("stan", "sue", "403 forbidden"),
        ("gary", "zoe", "404 not_a_member"),
    ],
)
def test_who_may_not_be_removed_by_whom(firm: Firm, who: str, whom: str, said: str) -> None:
    before = firm.roles()
    assert firm.said(who, "delete", firm.at(f"members/{firm.uid(whom)}/")) == said
    assert firm.roles() == before


def test_everybody_but_the_officer_may_leave(firm: Firm) -> None:
    assert firm.said("olga", "post", firm.at("leave/")) == "409 last_officer"
    assert firm.said("stan", "post", firm.at("leave/")) == "204"
    assert firm.said("stan", "get", firm.at()) == "404 not_found"
    assert firm.space_roles() == {"olga": 1, "sue": 2}


def test_the_office_is_handed_over(firm: Firm) -> None:
    path = firm.at("transfer/")
    assert firm.said("gary", "post", path, {"user": firm.uid("gary")}) == "403 forbidden"
    assert firm.said("olga", "post", path, {"user": firm.uid("zoe")}) == "404 not_a_member"
    assert firm.said("olga", "post", path, {"user": firm.uid("olga")}) == "422 invalid"
    assert firm.said("olga", "post", path, {"user": firm.uid("stan")}) == "200"
    assert firm.roles() == {"olga": 2, "gary": 2, "stan": 1, "sue": 3}
    assert firm.said("olga", "post", firm.at("leave/")) == "204"


# Hiding and showing again ------------------------------------------------------------------------


def test_deleting_hides_everything_and_restoring_brings_it_back(firm: Firm) -> None:
    robot = make_robot(firm.space)
    waiting = make_execution(robot)
    for who, said in {
        "zoe": "404 not_found",
        "stan": "403 forbidden",
        "gary": "403 forbidden",
    }.items():
        assert firm.said(who, "delete", firm.at()) == said
    assert firm.said("olga", "delete", firm.at()) == "204"
    waiting.refresh_from_db()
    assert waiting.status == Status.CANCELLED
    hidden = [
        firm.at(),
        firm.in_space(),
        f"/api/v1/robots/{robot.uid}/",
        f"/api/v1/executions/{waiting.uid}/",
    ]
    for who in ("olga", "stan", "root"):
        assert [firm.said(who, "get", path) for path in hidden] == ["404 not_found"] * 4
    for who, names in {"gary": [], "zoe": [], "olga": ["Firm"], "root": ["Firm"]}.items():
        found = firm.ask(who, "get", LIST, {"deleted": "true"}, format=None).json()["results"]
        assert [each["name"] for each in found] == names
    assert firm.said("gary", "post", firm.at("restore/")) == "404 not_found"
    assert firm.said("olga", "post", firm.at("restore/")) == "200"
    assert [firm.said("stan", "get", path) for path in hidden] == ["200"] * 4
    assert firm.roles() == {"olga": 1, "gary": 2, "stan": 3, "sue": 3}
    assert Space.objects.alive().count() == Robot.objects.alive().count() == 1


# What may I do here? -----------------------------------------------------------------------------


def test_one_answer_tells_all_that_one_may_do(firm: Firm) -> None:
    for who in ("olga", "gary", "stan", "root"):
        told = firm.ask(who, "get", firm.at("permissions/")).json()["permissions"]
        assert told == {
            deed: may_in_enterprise(firm.actor(who), deed, enterprise=firm.enterprise)
            for deed in DEFAULTS
        }
        both = firm.ask(who, "get", firm.in_space("permissions/")).json()
        assert both["enterprise_permissions"] == told
        assert both["permissions"] == {
            deed: may(firm.actor(who), deed, space=firm.space) for deed in SPACE_DEFAULTS
        }
    own = make_space("Own", {firm.people["zoe"]: SpaceRole.OWNER})
    mine = firm.ask("zoe", "get", firm.in_space("permissions/", own)).json()
    assert (mine["permissions"]["space.transfer"], mine["enterprise_permissions"]) == (True, {})
    assert firm.said("zoe", "get", firm.in_space("permissions/")) == "404 not_found"
    Enterprise.objects.update(expire_time=timezone.now() - timedelta(hours=1))
    told = firm.ask("olga", "get", firm.at("permissions/")).json()["permissions"]
    assert {deed for deed, allowed in told.items() if allowed} == {
        "enterprise.view",
        "space.list_all",
        "space.list_mine",
    }
    _key, secret = ApiKey.issue(user=firm.people["stan"], name="k", scopes=["space.view"])
    client = firm.api(None)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    told = client.get(firm.in_space("permissions/")).json()["permissions"]
    assert {deed for deed, allowed in told.items() if allowed} == {"space.view"}


def test_the_tables_of_permissions_can_be_read(firm: Firm) -> None:
    tables = firm.ask("zoe", "get", "/api/v1/permissions/").json()
    assert len(tables["enterprise"]) == len(DEFAULTS)
    row = next(each for each in tables["space"] if each["permission_key"] == "robot.delete")
    assert (row["owner"], row["admin"], row["member"]) == (True, True, False)
    assert row["description"] == "Delete robots"
    chinese = firm.api(firm.people["zoe"]).get(
        "/api/v1/permissions/", headers={"Accept-Language": "zh-hans"}
    )
    rows = chinese.json()["space"]
    assert any(each["description"] == "删除机器人" for each in rows)


def test_a_space_comes_back_after_its_enterprise(firm: Firm) -> None:
    spaces.hide_space(firm.space)
    services.hide_enterprise(firm.enterprise)
    with pytest.raises(Refused) as refusal:
        spaces.unhide_space(Space.objects.get(pk=firm.space.pk))
    assert refusal.value.code == "enterprise_deleted"
