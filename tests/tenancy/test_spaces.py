"""Spaces: making, listing, changing, members and their roles, ownership, hiding and showing again."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from enterprises.models import Enterprise, EnterprisePermission, EnterpriseRole
from executions.choices import Status
from spaces.models import Space, SpaceRole, SpaceType, SpaceUser
from tests.api.helpers import pages
from tests.factories import make_enterprise, make_execution, make_robot, make_space
from tests.tenancy.firm import Firm

pytestmark = pytest.mark.django_db
LIST = "/api/v1/spaces/"


def names(firm: Firm, who: str, **query: Any) -> list[str]:
    answer = firm.ask(who, "get", LIST, query, format=None)
    assert answer.status_code == 200, answer.content
    return sorted(each["name"] for each in answer.json()["results"])


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ("olga", "201"),
        ("gary", "201"),
        ("root", "201"),
        ("stan", "403 forbidden"),
        ("zoe", "404 not_found"),
    ],
)
def test_who_makes_spaces_in_an_enterprise(firm: Firm, who: str, said: str) -> None:
    body = {"name": "New", "enterprise": firm.enterprise.pk, "description": "d"}
    assert firm.said(who, "post", LIST, body) == said
    made = Space.objects.filter(name="New").first()
    assert (made is not None) == (said == "201")
    if made is not None:
        owner = "olga" if who == "root" else who
        assert firm.space_roles(made) == {owner: SpaceRole.OWNER}
        assert made.type == SpaceType.TEAM


def test_a_space_has_the_type_of_its_enterprise(firm: Firm) -> None:
    Enterprise.objects.update(service_type=2)
    made = firm.ask("olga", "post", LIST, {"name": "New", "enterprise": firm.enterprise.pk}).json()
    assert (made["type"], made["role"]) == (SpaceType.ENTERPRISE, SpaceRole.OWNER)


def test_names_are_unique_where_they_live(firm: Firm, settings: Any) -> None:
    settings.RPA_FREE_SPACES = 5
    mine = {"name": "Orders"}
    assert firm.said("stan", "post", LIST, mine) == "201"
    assert firm.said("stan", "post", LIST, mine) == "409 name_taken"
    assert firm.said("sue", "post", LIST, mine) == "201"
    ours = {"name": "Orders", "enterprise": firm.enterprise.pk}
    assert firm.said("gary", "post", LIST, ours) == "409 name_taken"
    assert firm.said("gary", "delete", firm.in_space()) == "204"
    assert firm.said("gary", "post", LIST, ours) == "201"
    assert firm.said("gary", "post", firm.in_space("restore/")) == "409 name_taken"


def test_the_limits_of_spaces(firm: Firm, settings: Any) -> None:
    settings.RPA_PRO_SPACES = 2
    settings.RPA_TEAM_SPACES = 1
    ours = {"name": "New", "enterprise": firm.enterprise.pk}
    assert firm.said("olga", "post", LIST, ours) == "409 too_many_spaces"
    assert firm.said("zoe", "post", LIST, {"name": "One"}) == "201"
    assert firm.said("zoe", "post", LIST, {"name": "Two"}) == "409 too_many_spaces"
    Space.objects.filter(name="One").update(type=SpaceType.PRO)
    assert firm.ask("zoe", "post", LIST, {"name": "Two"}).json()["type"] == SpaceType.PRO
    assert firm.said("zoe", "post", LIST, {"name": "Three"}) == "409 too_many_spaces"
    two = Space.objects.get(name="Two")
    assert firm.said("zoe", "delete", firm.in_space(space=two)) == "204"
    assert firm.said("zoe", "post", LIST, {"name": "Three"}) == "201"
    assert firm.said("zoe", "post", firm.in_space("restore/", two)) == "409 too_many_spaces"


def test_mine_and_all_of_an_enterprise(firm: Firm) -> None:
    make_space("Secret", {firm.people["olga"]: SpaceRole.OWNER}, firm.enterprise)
    make_space("Own", {firm.people["stan"]: SpaceRole.OWNER})
    ours = firm.enterprise.pk
    assert names(firm, "stan") == ["Orders", "Own"]
    assert names(firm, "stan", personal="true") == ["Own"]
    assert names(firm, "stan", enterprise=ours) == ["Orders"]
    assert names(firm, "stan", enterprise=ours, all="true") == ["Orders", "Secret"]
    assert names(firm, "zoe", enterprise=ours, all="true") == []
    assert names(firm, "root") == ["Orders", "Own", "Secret"]
    EnterprisePermission.objects.filter(permission_key="space.list_all").update(staff=False)
    assert names(firm, "stan", enterprise=ours, all="true") == []


def test_a_listed_space_is_seen_and_what_is_in_it_is_not(firm: Firm) -> None:
    robot = make_robot(firm.space)
    found = firm.ask("gary", "get", firm.in_space()).json()
    assert (found["name"], found["role"]) == ("Orders", None)
    assert firm.said("gary", "get", f"/api/v1/robots/{robot.uid}/") == "404 not_found"
    assert firm.said("gary", "get", firm.in_space("members/")) == "403 forbidden"
    assert firm.said("gary", "post", firm.in_space("visit/")) == "403 forbidden"
    assert firm.said("zoe", "get", firm.in_space()) == "404 not_found"


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ("olga", "200"),
        ("gary", "200"),
        ("root", "200"),
        ("stan", "403 forbidden"),
        ("sue", "403 forbidden"),
        ("zoe", "404 not_found"),
    ],
)
def test_who_changes_an_enterprises_space(firm: Firm, who: str, said: str) -> None:
    change = {"name": "New", "description": "d", "avatar_url": "/a.png"}
    assert firm.said(who, "patch", firm.in_space(), change) == said
    assert Space.objects.filter(**change).exists() == (said == "200")


def test_a_personal_space_is_its_owners(firm: Firm) -> None:
    own = make_space(
        "Own", {firm.people["zoe"]: SpaceRole.OWNER, firm.people["sue"]: SpaceRole.ADMIN}
    )
    path = firm.in_space(space=own)
    for who, said in {"sue": "403 forbidden", "olga": "404 not_found", "zoe": "200"}.items():
        assert firm.said(who, "patch", path, {"name": "New"}) == said
    assert firm.said("sue", "delete", path) == "403 forbidden"
    assert firm.said("zoe", "delete", path) == "204"
    assert names(firm, "zoe", deleted="true") == ["New"]
    assert names(firm, "sue", deleted="true") == []
    assert firm.said("sue", "post", f"{path}restore/") == "404 not_found"
    assert firm.said("zoe", "post", f"{path}restore/") == "200"


def test_the_price_of_all_spaces_of_an_enterprise_does_not_grow(firm: Firm) -> None:
    client = firm.api(firm.people["gary"])
    query = {"enterprise": firm.enterprise.pk, "all": "true"}
    prices = []
    for count in (2, 40):
        Space.objects.bulk_create(
            Space(name=f"{count}-{number}", creator=firm.people["olga"], enterprise=firm.enterprise)
            for number in range(count)
        )
        with CaptureQueriesContext(connection) as queries:
            client.get(LIST, query)
        prices.append(len(queries))
    assert prices == [3, 3]
    found = [row["id"] for page in pages(client, LIST, limit=20, **query) for row in page]
    assert len(found) == len(set(found)) == 43


def test_the_last_space_visited_is_remembered(firm: Firm) -> None:
    assert firm.said("stan", "get", f"{LIST}last/") == "404 not_found"
    own = make_space("Own", {firm.people["stan"]: SpaceRole.OWNER})
    for space in (own, firm.space):
        assert firm.said("stan", "post", firm.in_space("visit/", space)) == "204"
        assert firm.ask("stan", "get", f"{LIST}last/").json()["id"] == space.pk
    firm.ask("gary", "delete", firm.in_space())
    assert firm.ask("stan", "get", f"{LIST}last/").json()["id"] == own.pk


# Members -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "whom", "role", "said"),
    [
        ("stan", "sue", 3, "200"),
        ("root", "sue", 3, "200"),
        ("sue", "sue", 3, "200"),
        ("sue", "stan", 3, "403 role_too_low"),
        ("stan", "stan", 2, "409 last_owner"),
        ("stan", "sue", 1, "422 invalid"),
        ("stan", "gary", 2, "404 not_a_member"),
        ("gary", "sue", 3, "403 forbidden"),
        ("zoe", "sue", 3, "404 not_found"),
    ],
)
def test_who_gives_whom_which_role(firm: Firm, who: str, whom: str, role: int, said: str) -> None:
    before = firm.space_roles()
    path = firm.in_space(f"members/{firm.uid(whom)}/")
    assert firm.said(who, "patch", path, {"role": role}) == said
    assert firm.space_roles() == (before | {whom: role} if said == "200" else before)


@pytest.mark.parametrize(
    ("who", "whom", "said"),
    [
        ("stan", "sue", "204"),
        ("sue", "stan", "403 role_too_low"),
        ("stan", "stan", "409 last_owner"),
        ("root", "stan", "409 last_owner"),
        ("gary", "sue", "403 forbidden"),
    ],
)
def test_who_removes_whom(firm: Firm, who: str, whom: str, said: str) -> None:
    before = firm.space_roles()
    assert firm.said(who, "delete", firm.in_space(f"members/{firm.uid(whom)}/")) == said
    assert (firm.space_roles() == before) == (said != "204")


def test_members_leave_and_see_each_other(firm: Firm) -> None:
    SpaceUser.objects.create(space=firm.space, user=firm.people["zoe"], role=SpaceRole.MEMBER)
    found = firm.ask("zoe", "get", firm.in_space("members/")).json()["results"]
    assert [(each["username"], each["role"]) for each in found] == [
        ("zoe", 3),
        ("sue", 2),
        ("stan", 1),
    ]
    assert (
        firm.said("zoe", "patch", firm.in_space(f"members/{firm.uid('sue')}/"), {"role": 3})
        == "403 forbidden"
    )
    assert firm.said("zoe", "post", firm.in_space("leave/")) == "204"
    assert firm.said("zoe", "get", firm.in_space()) == "404 not_found"
    assert firm.said("stan", "post", firm.in_space("leave/")) == "409 last_owner"


def test_ownership_is_handed_over(firm: Firm) -> None:
    path = firm.in_space("transfer/")
    assert firm.said("sue", "post", path, {"user": firm.uid("sue")}) == "403 forbidden"
    assert firm.said("stan", "post", path, {"user": firm.uid("gary")}) == "404 not_a_member"
    assert firm.said("stan", "post", path, {"user": firm.uid("stan")}) == "422 invalid"
    assert firm.said("stan", "post", path, {"user": firm.uid("sue")}) == "200"
    assert firm.space_roles() == {"stan": 2, "sue": 1}


def test_a_personal_space_counts_for_its_new_owner(firm: Firm) -> None:
    zoe, sue = firm.people["zoe"], firm.people["sue"]
    own = make_space("Own", {zoe: SpaceRole.OWNER, sue: SpaceRole.MEMBER})
    full = make_space("Full", {sue: SpaceRole.OWNER})
    path = firm.in_space("transfer/", own)
    assert firm.said("zoe", "post", path, {"user": sue.uid}) == "409 too_many_spaces"
    Space.objects.filter(pk=full.pk).update(type=SpaceType.PRO, name="Own")
    assert firm.said("zoe", "post", path, {"user": sue.uid}) == "409 name_taken"
    Space.objects.filter(pk=full.pk).update(name="Full")
    assert firm.said("zoe", "post", path, {"user": sue.uid}) == "200"
    assert firm.space_roles(own) == {"zoe": 2, "sue": 1}
    assert firm.said("zoe", "post", LIST, {"name": "Own"}) == "201"


# Hiding and showing again ------------------------------------------------------------------------


def test_deleting_cancels_what_waits_and_restoring_brings_the_rest_back(firm: Firm) -> None:
    robot = make_robot(firm.space)
    waiting = make_execution(robot)
    other = make_space("Other", {firm.people["olga"]: SpaceRole.OWNER}, firm.enterprise)
    elsewhere = make_execution(make_robot(other))
    assert firm.said("stan", "delete", firm.in_space()) == "403 forbidden"
    assert firm.said("gary", "delete", firm.in_space()) == "204"
    assert firm.said("gary", "delete", firm.in_space()) == "404 not_found"
    for run in (waiting, elsewhere):
        run.refresh_from_db()
    assert (waiting.status, elsewhere.status) == (Status.CANCELLED, Status.PENDING)
    assert firm.said("stan", "get", f"/api/v1/robots/{robot.uid}/") == "404 not_found"
    assert (
        firm.said("stan", "post", "/api/v1/executions/", {"robot": str(robot.uid)})
        == "404 not_found"
    )
    assert names(firm, "stan", deleted="true") == []
    assert names(firm, "gary", deleted="true") == ["Orders"]
    assert firm.said("stan", "post", firm.in_space("restore/")) == "404 not_found"
    assert firm.said("gary", "post", firm.in_space("restore/")) == "200"
    assert firm.said("stan", "get", f"/api/v1/executions/{waiting.uid}/") == "200"
    assert firm.space_roles() == {"stan": 1, "sue": 2}


def test_nothing_changes_in_an_expired_enterprise(firm: Firm) -> None:
    Enterprise.objects.update(expire_time=timezone.now() - timedelta(hours=1))
    new = {"name": "New", "enterprise": firm.enterprise.pk}
    for who, method, path, body in (
        ("olga", "post", LIST, new),
        ("olga", "patch", firm.in_space(), {"name": "New"}),
        ("olga", "delete", firm.in_space(), None),
        ("stan", "post", firm.in_space("transfer/"), {"user": firm.uid("sue")}),
        ("stan", "delete", firm.in_space(f"members/{firm.uid('sue')}/"), None),
        ("sue", "post", firm.in_space("leave/"), None),
    ):
        assert firm.said(who, method, path, body) == "403 enterprise_expired", (who, path)
    assert firm.said("stan", "get", firm.in_space()) == "200"


def test_another_enterprises_officer_is_a_stranger(firm: Firm) -> None:
    make_enterprise("Rival", {firm.people["zoe"]: EnterpriseRole.OFFICER})
    for method, path in (("get", ""), ("patch", ""), ("delete", ""), ("post", "leave/")):
        assert firm.said("zoe", method, firm.in_space(path), {}) == "404 not_found"
