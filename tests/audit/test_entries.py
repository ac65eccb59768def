"""What is told of a deed: who, from where, with which key, which object, before and after; no secret."""

import json
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import OperationalError
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from accounts.actors import Actor
from accounts.models import ApiKey, User
from accounts.refusals import Forbidden
from audit.choices import Door, Outcome
from audit.limits import OF_ONE
from audit.models import Entry
from audit.recording import recording
from enterprises.models import EnterprisePermission
from executions import services as runs
from robots import services
from robots.models import Robot
from spaces.models import Space, SpacePermission, SpaceRole, SpaceUser
from tests.audit.entries import Heard, change_of
from tests.executions.server import managed
from tests.factories import make_execution, make_user, owner_of
from tests.interop.wire import answer_of, post
from tests.pages.admin_pages import grid_form

pytestmark = pytest.mark.django_db


def test_a_page_says_who_came_from_where(client: Client, robot: Robot) -> None:
    client.force_login(owner_of(robot.space).user)
    heard = Heard()
    client.post(reverse("version-enable", args=[robot.uid, 1]), REMOTE_ADDR="192.0.2.7")
    assert heard.all() == []  # it was enabled already: nothing has changed
    services.enable_version(robot, None, by=owner_of(robot.space))
    heard = Heard()
    client.post(reverse("version-enable", args=[robot.uid, 1]), REMOTE_ADDR="192.0.2.7")
    entry = heard.only()
    assert (entry.door, entry.address, entry.actor) == (Door.PAGE, "192.0.2.7", "alice")
    assert (entry.action, entry.outcome) == ("robot.enable", Outcome.DONE)
    assert (entry.object_type, entry.object_id) == ("robots.robot", str(robot.pk))
    assert entry.object_name == robot.name
    assert entry.details["version"] == 1
    version = robot.versions.get().pk
    assert change_of(entry) == ({"enabled_version": None}, {"enabled_version": version})


def test_an_api_key_is_named_by_its_prefix_alone(robot: Robot) -> None:
    key, secret = ApiKey.issue(user=owner_of(robot.space).user, name="program")
    heard = Heard()
    client = APIClient(headers={"Authorization": f"Bearer {secret}"})
    client.patch(reverse("api-robot-detail", args=[robot.uid]), {"description": "new"})
    entry = heard.only()
    assert (entry.door, entry.actor, entry.key_prefix) == (Door.API, "alice", key.prefix)
    assert change_of(entry) == ({"description": ""}, {"description": "new"})
    told = json.dumps([each.exported() for each in Entry.objects.all()])
    assert secret not in told
    assert key.digest not in told


def test_no_secret_is_told(client: Client, permissions: None) -> None:
    user = make_user("zoe")
    user.set_password("open sesame 1")
    user.save()
    client.force_login(user)
    before, after = change_of(Entry.objects.filter(action="user.change").latest("number"))
    assert before == after == {"password": "********"}
    told = json.dumps([each.exported() for each in Entry.objects.all()])
    assert "sesame" not in told
    assert user.password not in told
    assert client.session.session_key not in told


def test_publishing_is_one_entry_about_the_robot(space: Space) -> None:
    heard = Heard()
    robot, version = services.create_and_publish(
        space=space, name="new", file=BytesIO(b"print(1)"), file_name="a.py", by=owner_of(space)
    )
    entry = heard.only()
    assert (entry.action, entry.object_id) == ("robot.create", str(robot.pk))
    rows = {each["object"]: each["after"] for each in entry.details["changes"]}
    assert rows[f"robots.robot:{robot.pk}"]["enabled_version"] == version.pk
    assert rows[f"robots.robotversion:{version.pk}"]["digest"] == version.digest
    again = Heard()
    services.publish_version(
        robot=robot, file=BytesIO(b"print(1)"), file_name="a.py", by=owner_of(space)
    )
    assert again.all() == []


def test_cancelling_is_told_and_requesting_is_told_by_the_run(robot: Robot) -> None:
    heard = Heard()
    execution = make_execution(robot)
    assert heard.all() == []
    runs.cancel_execution(execution, by=owner_of(robot.space))
    entry = heard.only()
    assert (entry.action, entry.object_id) == ("execution.cancel", str(execution.pk))
    before, after = change_of(entry)
    assert (before["status"], after["status"]) == ("PENDING", "CANCELLED")


def test_a_refusal_outlives_the_transaction_of_its_request(
    robot: Robot, people: dict[str, User], api: Callable[[User], APIClient]
) -> None:
    bob = people["bob"]
    client = api(bob)
    heard = Heard()
    answer = client.delete(reverse("api-robot-detail", args=[robot.uid]))
    assert answer.status_code == 403
    entry = heard.only()
    assert (entry.outcome, entry.action, entry.actor) == (Outcome.REFUSED, "robot.delete", "bob")
    assert entry.object_id == str(robot.pk)
    assert entry.details["code"] == "forbidden"


def test_what_somebody_may_not_see_is_told_by_its_address(
    robot: Robot, people: dict[str, User], api: Callable[[User], APIClient]
) -> None:
    client = api(people["charlie"])
    heard = Heard()
    path = reverse("api-robot-detail", args=[robot.uid])
    assert client.delete(path).status_code == 404
    entry = heard.only()
    assert (entry.action, entry.actor) == ("request", "charlie")
    assert entry.details == {"method": "DELETE", "path": path, "status": 404}


@pytest.mark.django_db(transaction=True)
def test_a_service_that_nobody_has_asked_through_a_door_tells_of_refusals_too(
    robot: Robot, people: dict[str, User]
) -> None:
    heard = Heard()
    with pytest.raises(Forbidden):
        services.delete_robot(robot, by=Actor(people["bob"]))
    assert heard.only().action == "robot.delete"


def test_refusals_are_not_recorded_without_end(
    robot: Robot, people: dict[str, User], api: Callable[[User], APIClient]
) -> None:
    bob, charlie = api(people["bob"]), api(people["charlie"])
    heard = Heard()
    path = reverse("api-robot-detail", args=[robot.uid])
    for _knock in range(OF_ONE + 5):
        bob.delete(path)
    told = heard.all()
    assert OF_ONE <= len(told) <= OF_ONE + 5  # the minute may end while this runs
    assert any("not recorded" in each.details.get("note", "") for each in told)
    charlie.delete(path)
    assert heard.all()[-1].actor == "charlie"


def test_signing_in_is_told_and_so_is_a_wrong_password(client: Client) -> None:
    user = make_user("zoe")
    heard = Heard()
    for name, password in (("zoe", "wrong"), ("my password!", "x"), ("zoe", "correct horse")):
        client.post(reverse("account_login"), {"username": name, "password": password})
    client.post(reverse("account_logout"))
    told = [(each.action, each.outcome, each.actor) for each in heard.all()]
    assert told == [
        ("session.sign_in", "refused", "zoe"),
        ("session.sign_in", "refused", "?"),
        ("session.sign_in", "done", "zoe"),
        ("session.sign_out", "done", "zoe"),
    ]
    assert heard.all()[2].object_id == str(user.pk)
    assert "my password" not in json.dumps([each.exported() for each in heard.all()])


@pytest.mark.django_db(transaction=True)
async def test_the_door_of_other_systems_tells_of_refusals(robot: Robot) -> None:
    from asgiref.sync import sync_to_async

    heard = await sync_to_async(Heard)()
    answer_of(await post({"project_id": str(robot.uid)}, token="Bearer wrong"))
    entry = await sync_to_async(heard.only)()
    assert (entry.door, entry.action, entry.outcome) == ("interop", "execution.run", "refused")


@pytest.mark.django_db(transaction=True)
def test_a_command_says_who_has_typed_it(space: Space) -> None:
    heard = Heard()
    code, _out, err = managed("createsuperuser", "--noinput", "--username=boss", "--email=b@x.org")
    assert (code, err) == (0, "")
    entry = heard.only()
    assert (entry.door, entry.action) == (Door.COMMAND, "user.add")
    assert entry.actor.endswith("(shell)")


def test_a_change_of_many_rows_is_told_of_each_object(robot: Robot, space: Space) -> None:
    heard = Heard()
    SpaceUser.objects.filter(space=space).update(nickname="all")
    entry = heard.only()
    assert (entry.action, entry.object_type) == ("spaceuser.change", "spaces.space")
    assert len(entry.details["changes"]) == 2
    heard = Heard()
    Group.objects.create(name="x").permissions.set(Permission.objects.all()[:1])
    add, change = heard.all()
    assert (add.action, change.action) == ("group.add", "group.change")
    before, after = change_of(change)
    assert before == {"permissions": []}
    assert len(after["permissions"]) == 1  # type: ignore[arg-type]


def test_deleting_takes_its_parts_along_in_one_entry(people: dict[str, User]) -> None:
    space = Space.objects.create(name="brief", creator=people["alice"])
    SpaceUser.objects.create(space=space, user=people["alice"], role=SpaceRole.OWNER)
    heard = Heard()
    space.delete()
    entry = heard.only()
    assert (entry.action, entry.object_name) == ("space.delete", "brief")
    assert {each["verb"] for each in entry.details["changes"]} == {"delete"}
    assert len(entry.details["changes"]) == 2


def test_what_is_taken_back_alone_is_not_told(people: dict[str, User], space: Space) -> None:
    heard = Heard()
    alice, bob = people["alice"], people["bob"]

    def half() -> None:
        with recording():
            bob.first_name = "B"
            bob.save()
            raise ZeroDivisionError

    with recording():
        alice.first_name = "A"
        alice.save()
        with pytest.raises(ZeroDivisionError):
            half()
    assert [each.object_name for each in heard.all()] == ["alice"]


def test_permission_grids_tell_each_row_that_was_edited(client: Client, space: Space) -> None:
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    page = reverse("admin:spaces_spacepermission_grid")
    form = grid_form(client, page)
    form["_save"] = "1"
    del form["robot.edit:member"]
    heard = Heard()
    assert client.post(page, form).status_code == 302
    entry = heard.only()
    assert (entry.action, entry.door) == ("spacepermission.change", Door.ADMIN)
    assert change_of(entry) == ({"member": True}, {"member": False})


def test_the_cost_of_a_request_of_a_run_is_what_it_was(
    robot: Robot, api: Callable[[User], APIClient], django_assert_max_num_queries: Any
) -> None:
    client = api(owner_of(robot.space).user)
    heard = Heard()
    with django_assert_max_num_queries(18):
        answer = client.post(reverse("execution-list"), {"robot": str(robot.uid)})
    assert answer.status_code == 201
    assert heard.all() == []


def test_default_rows_are_one_entry_and_only_where_some_are_missing() -> None:
    from enterprises.permissions import add_missing

    add_missing()
    heard = Heard()
    add_missing()
    assert heard.all() == []
    EnterprisePermission.objects.filter(permission_key__startswith="invite.").delete()
    SpacePermission.objects.count()
    heard = Heard()
    add_missing()
    assert heard.only().action == "permissions.add_missing"


def test_a_refusal_stays_one_where_it_cannot_be_told_of(
    robot: Robot,
    people: dict[str, User],
    api: Callable[[User], APIClient],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(_drafts: Any) -> None:
        raise OperationalError("database is locked")

    charlie = api(people["charlie"])
    monkeypatch.setattr("audit.recording.link", broken)
    answer = charlie.delete(reverse("api-robot-detail", args=[robot.uid]))
    assert answer.status_code == 404
