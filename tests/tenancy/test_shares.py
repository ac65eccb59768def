"""Shares by link: what whoever has the key may read, and everything that ends that."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import ApiKey, User
from enterprises.models import Enterprise
from executions import lifecycle
from executions.choices import Status
from executions.lifecycle import Ending
from executions.models import Execution
from robots import services as robots
from robots.models import Robot
from sharing.models import Share
from spaces.models import Space, SpacePermission, SpaceRole, SpaceUser
from tests.factories import make_execution, make_robot
from tests.tenancy.firm import Firm

pytestmark = pytest.mark.django_db
LIST = "/api/v1/shares/"


@pytest.fixture
def robot(firm: Firm) -> Robot:
    """Of stan, who owns the space."""
    return make_robot(firm.space)


@pytest.fixture
def run(robot: Robot) -> Execution:
    return make_execution(robot)


def shared(firm: Firm, who: str = "stan", **what: Any) -> str:
    """The address of a fresh share."""
    made = firm.ask(who, "post", LIST, what)
    assert made.status_code == 201, made.content
    assert len(made.json()["key"]) == 64
    return f"{LIST}{made.json()['key']}/"


def seen(path: str) -> int:
    """The status that somebody gets who is not signed in."""
    return int(APIClient().get(path).status_code)


def test_a_shared_robot_shows_what_it_is_for(firm: Firm, robot: Robot) -> None:
    path = shared(firm, robot=str(robot.uid))
    answer = APIClient().get(path)
    body = answer.json()
    assert set(body) == {"type", "expire_time", "robot"}
    assert set(body["robot"]) == {"name", "description", "version", "parameters", "updated_at"}
    assert (body["type"], body["robot"]["name"], body["expire_time"]) == (10, "greeter", None)
    assert (answer["Cache-Control"], answer["X-Robots-Tag"]) == ("no-store", "noindex")
    assert seen(f"{path}events/") == 404
    assert seen(f"/api/v1/robots/{robot.uid}/") == 401


def test_a_shared_run_shows_itself_and_its_events(firm: Firm, run: Execution) -> None:
    path = shared(firm, execution=str(run.uid))
    lifecycle.finish(run.pk, Ending(Status.CANCELLED))
    body = APIClient().get(path).json()
    assert (body["type"], body["execution"]["status"]) == (11, "CANCELLED")
    assert not {"id", "space", "requested_by", "robot", "rerun_of"} & set(body["execution"])
    answer = APIClient().get(f"{path}events/", {"after": "1"})
    assert [each["seq"] for each in answer.json()["events"]] == [2]
    assert answer["Cache-Control"] == "no-store"
    other = make_execution(run.robot)
    assert seen(f"/api/v1/executions/{other.uid}/") == seen(f"/api/v1/executions/{run.uid}/") == 401


def test_passwords_stay_masked(firm: Firm, robot: Robot) -> None:
    schema = {"type": "object", "properties": {"pin": {"type": "string", "format": "password"}}}
    robot.versions.update(parameters=schema)
    robot.refresh_from_db()
    path = shared(firm, execution=str(make_execution(robot, params={"pin": "4711"}).uid))
    assert b"4711" not in APIClient().get(path).content + APIClient().get(f"{path}events/").content


def test_a_shared_robot_keeps_the_defaults_of_its_passwords(firm: Firm, robot: Robot) -> None:
    secret = {"type": "string", "format": "password", "title": "PIN", "default": "4711"}
    count = {"type": "integer", "default": 3}
    schema = {"type": "object", "properties": {"pin": secret, "count": count}}
    robot.versions.update(parameters=schema)
    answer = APIClient().get(shared(firm, robot=str(robot.uid)))
    assert b"4711" not in answer.content
    found = answer.json()["robot"]["parameters"]["properties"]
    assert found == {
        "pin": {"type": "string", "format": "password", "title": "PIN"},
        "count": count,
    }


def test_a_wrong_key_of_any_kind_changes_nothing(firm: Firm, run: Execution) -> None:
    """Nobody needs a credential, and a bad one is not looked at."""
    path = shared(firm, execution=str(run.uid))
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION="Bearer nonsense")
    assert client.get(path).status_code == 200
    for key in ("x", "0" * 64, path.split("/")[-2].upper(), path.split("/")[-2][:-1], "%00"):
        assert seen(f"{LIST}{key}/") == seen(f"{LIST}{key}/events/") == 404


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ("stan", "201"),
        ("sue", "201"),
        ("root", "201"),
        ("olga", "404 not_found"),
        ("zoe", "404 not_found"),
        ("gary", "403 forbidden"),
    ],
)
def test_who_shares(firm: Firm, run: Execution, who: str, said: str) -> None:
    firm.space.members.create(user=firm.people["gary"], role=SpaceRole.MEMBER)
    for what in ({"execution": str(run.uid)}, {"robot": str(run.robot.uid)}):
        assert firm.said(who, "post", LIST, what) == said
    assert Share.objects.count() == (2 if said == "201" else 0)


@pytest.mark.parametrize("body", [{}, {"days": 3}, {"robot": "x"}, {"days": 0}, {"days": 366}])
def test_what_makes_no_share(firm: Firm, run: Execution, body: dict[str, Any]) -> None:
    if "days" in body and body["days"] != 3:
        body = body | {"execution": str(run.uid)}
    assert firm.said("stan", "post", LIST, body).split()[1] == "invalid"
    both = {"robot": str(run.robot.uid), "execution": str(run.uid)}
    assert firm.said("stan", "post", LIST, both) == "422 invalid"


ENDS: dict[str, Callable[[Firm, Robot], Any]] = {
    "its time": lambda firm, robot: Share.objects.update(expire_time=timezone.now()),
    "the switch": lambda firm, robot: Share.objects.update(is_act=False),
    "leaving": lambda firm, robot: SpaceUser.objects.filter(user=firm.people["sue"]).delete(),
    "a lower role": lambda firm, robot: SpaceUser.objects.filter(user=firm.people["sue"]).update(
        role=SpaceRole.MEMBER
    ),
    "the table": lambda firm, robot: SpacePermission.objects.filter(
        permission_key="share.create"
    ).update(admin=False),
    "not seeing it": lambda firm, robot: SpacePermission.objects.filter(
        permission_key__in=["robot.view", "execution.view"]
    ).update(admin=False),
    "deactivation": lambda firm, robot: User.objects.filter(username="sue").update(is_active=False),
    "the robot's end": lambda firm, robot: robots.hide_robot(robot),
    "the space's end": lambda firm, robot: Space.objects.update(deleted=True),
    "the enterprise's end": lambda firm, robot: Enterprise.objects.update(deleted=True),
    "expiry": lambda firm, robot: Enterprise.objects.update(expire_time=timezone.now()),
}


@pytest.mark.parametrize("end", ENDS)
def test_what_ends_a_share(firm: Firm, robot: Robot, run: Execution, end: str) -> None:
    paths = [
        shared(firm, "sue", robot=str(robot.uid), days=2),
        shared(firm, "sue", execution=str(run.uid)),
    ]
    paths.append(f"{paths[1]}events/")
    assert [seen(path) for path in paths] == [200] * 3
    ENDS[end](firm, robot)
    assert [seen(path) for path in paths] == [404] * 3


def test_a_share_lasts_for_its_days(firm: Firm, run: Execution) -> None:
    shared(firm, execution=str(run.uid), days=2)
    left = (Share.objects.get().expire_time or timezone.now()) - timezone.now()
    assert timedelta(days=2) - timedelta(minutes=5) < left <= timedelta(days=2)


def test_who_switches_a_share_off_and_on(firm: Firm, run: Execution) -> None:
    path = shared(firm, "sue", execution=str(run.uid))
    for who in ("zoe", "olga"):
        assert firm.said(who, "post", f"{path}off/") == "404 not_found"
    firm.space.members.create(user=firm.people["gary"], role=SpaceRole.MEMBER)
    assert firm.said("gary", "post", f"{path}off/") == "403 forbidden"
    assert firm.said("stan", "post", f"{path}off/") == "200"
    assert seen(path) == 404
    assert firm.said("stan", "post", f"{path}on/") == "404 not_found"
    assert firm.ask("sue", "get", LIST).json()["results"][0]["active"] is False
    assert firm.said("sue", "post", f"{path}on/") == "200"
    assert seen(path) == 200
    SpaceUser.objects.filter(user=firm.people["sue"]).update(role=SpaceRole.MEMBER)
    assert firm.said("sue", "post", f"{path}off/") == "200"
    assert firm.said("sue", "post", f"{path}on/") == "403 forbidden"
    assert firm.ask("stan", "get", LIST).json()["results"] == []


def test_a_narrow_key_shares_nothing(firm: Firm, run: Execution) -> None:
    path = shared(firm, execution=str(run.uid))
    scopes = ["space.view", "execution.view"]
    _key, secret = ApiKey.issue(user=firm.people["stan"], name="k", scopes=scopes)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    assert client.get(LIST).json()["results"] == []
    for address in (LIST, f"{path}off/", f"{path}on/"):
        answer = client.post(address, {"execution": str(run.uid)})
        assert answer.json()["code"] == "forbidden"
    assert seen(path) == 200


def test_shares_of_the_reference_system_are_not_ours(firm: Firm, run: Execution) -> None:
    theirs = Share.objects.create(
        sharer=firm.people["stan"], base_id=run.pk, share_key="short", share_type=0
    )
    assert seen(f"{LIST}{theirs.share_key}/") == 404
    assert firm.ask("stan", "get", LIST).json()["results"] == []
