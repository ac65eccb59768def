"""Every address of the house, knocked at by everybody: nobody gets more than the table grants."""

import copy
import re
from typing import Any
from uuid import uuid4

import pytest
from django.contrib import admin
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.signals import request_finished
from django.db import close_old_connections, models, transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from accounts.models import User
from enterprises.models import Enterprise
from executions.models import RunLimit, Runner, SpaceRetention, SpaceShare
from joining.models import Application, Invite
from sharing.models import Share
from spaces.models import Space, SpaceKey
from tests.access.house import ACTORS, House, Things, inventory
from tests.access.routes import ADMIN, ROUTES, is_model_admin, patterns, statuses
from tests.factories import make_user

pytestmark = pytest.mark.django_db
#: The forms of what everybody may do for themselves, also in an expired enterprise.
EVERYBODYS = ("spaces/new/", "enterprises/new/", "/visit/", "/off/")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def address(pattern: str, things: Things) -> str:
    """The path that `pattern` has for these things."""
    uid = things.execution.uid if "executions/" in pattern else things.robot.uid
    place = things.enterprise if "enterprises/" in pattern else things.space
    values = {
        "pk": 987_654_321 if pattern.startswith("account/") else place.pk,
        "member": things.member.uid,
        "token": things.invite.token,
        "application": things.application.pk,
        "key": things.key.pk if "keys/" in pattern else things.share.share_key,
        "uid": uid,
        "artifact": things.artifact.uid,
        "number": 1,
        "uidb36": "1",
    }
    values |= {"app_label": "robots", "url": "nowhere/", "content_type_id": 1, "object_id": 1}
    path = re.sub(r"\(\?P<(\w+)>[^)]*\)|<\w+:(\w+)>", lambda m: str(values[m[1] or m[2]]), pattern)
    return f"/{path}"


def absent(things: Things) -> Things:
    """The same shapes with ids that nothing has."""
    enterprise, space = Enterprise(pk=987_654_321), Space(pk=987_654_321)
    robot, execution, artifact = (
        type(each)(uid=uuid4()) for each in (things.robot, things.execution, things.artifact)
    )
    invite, application = Invite(pk=987_654_321), Application(pk=987_654_321)
    member = User(uid="nobody")
    share, key = Share(pk=987_654_321), SpaceKey(key_id=987_654_321)
    return Things(
        *(enterprise, member, space, robot, execution, artifact), *(invite, application, share, key)
    )


def contents(method: str, pattern: str, things: Things) -> dict[str, Any]:
    """A well-formed request: what is refused is refused for who sends it."""
    body: Any = {}
    if pattern.endswith("uploads/"):
        return {"data": {"file_name": "robot.py"}, "content_type": "application/json"}
    if pattern.endswith(("upload/", "versions/")) and method == "POST":
        file = SimpleUploadedFile("robot.py", b"print(2)\n")
        return {"data": {"package": file}}
    if pattern.endswith(("invites/table/", "invite/table/")):
        return {"data": {"file": SimpleUploadedFile("people.csv", b"root\n"), "role": 3}}
    if not pattern.startswith(("api/", "rpa/")):
        return {"data": _form(pattern, things)}
    if pattern == "api/v1/robots/":
        body = {"name": "another", "space": things.space.pk}
    elif pattern == "api/v1/executions/":
        body = {"robot": str(things.robot.uid)}
    elif pattern.endswith("enable/"):
        body = {"version": 1}
    elif pattern.endswith("priority/"):
        body = {"priority": 7}
    elif pattern == "rpa/v1/exec":
        body = {"project_id": str(things.robot.uid)}
    elif pattern in ("api/v1/enterprises/", "api/v1/spaces/"):
        body = {"name": "another"}
    elif pattern.endswith("transfer/"):
        body = {"user": things.member.uid}
    elif pattern == "api/v1/shares/":
        body = {"execution": str(things.execution.uid)}
    elif "<str:member>" in pattern:
        body = {"role": 2}
    elif pattern.endswith("<int:pk>/api-keys/"):
        body = {"name": "another"}
    elif pattern.endswith("<int:pk>/invites/"):
        body = {"user": _invitee().uid}
    elif pattern.endswith("<int:pk>/members/"):
        body = {"user": things.application.applicant_id}
    elif "enterprises/" in pattern:
        body = {"name": "changed"}
    elif "robots/" in pattern or "spaces/" in pattern:
        body = {"description": "changed"}
    return {"data": body, "content_type": "application/json"}


def _form(pattern: str, things: Things) -> dict[str, Any]:
    """The fields of a page's form, of all forms alike as far as they do not disagree."""
    place = things.enterprise if "enterprises/" in pattern else things.space
    user = things.member.username if "transfer" in pattern else _invitee().uid
    own = {"params": "{}", "name": "another", "service_type": 1}
    if pattern == "spaces/<int:pk>/keys/":
        own["days"] = 30
    return own | {"role": 2, "user": user, "confirm": place.name}


def _invitee() -> User:
    return User.objects.get(username="dora")


def let_go(response: HttpResponse) -> None:
    if response.streaming:  # it would wait for a reader, with its file open
        request_finished.disconnect(close_old_connections)
        response.close()
        request_finished.connect(close_old_connections)


def knock(client: Client, method: str, pattern: str, things: Things) -> HttpResponse:
    """One request whose effects are taken back."""
    more = contents(method, pattern, things) if method in ("POST", "PATCH") else {}
    cookies = copy.deepcopy(client.cookies)  # signing out must not outlast the request either
    with transaction.atomic():
        response: HttpResponse = getattr(client, method.lower())(address(pattern, things), **more)
        let_go(response)
        response.left = inventory()  # type: ignore[attr-defined]
        transaction.set_rollback(True)
    client.cookies = cookies
    return response


def _is_granted(pattern: str, response: HttpResponse) -> bool:
    is_api = pattern.startswith("api/")
    if not is_api and pattern.endswith(EVERYBODYS):
        return not response.headers.get("Location", "/login/").startswith("/login/")
    return is_api and response.status_code < 300


def test_every_route_is_in_the_table() -> None:
    walked = {each for each in patterns() if not is_model_admin(each)}
    assert walked == set(ROUTES)


@pytest.mark.parametrize("actor", ACTORS)
def test_nobody_gets_more_than_the_table_grants(house: House, actor: str) -> None:
    found: dict[str, int] = {}
    wanted: dict[str, int] = {}
    before = inventory()
    things = house.seen_by(actor)
    for pattern, methods in ROUTES.items():
        for method, row in methods.items():
            name = f"{method} {pattern}"
            response = knock(house.clients[actor], method, pattern, things)
            found[name] = response.status_code
            wanted[name] = statuses(row)[ACTORS.index(actor)]
            granted = _is_granted(pattern, response)
            if actor in ("owner", "operator") or granted:
                continue
            assert response.left == before, f"{name} changed something for {actor}"  # type: ignore[attr-defined]
    assert found == wanted


@pytest.mark.parametrize("actor", ["anonymous", "owner", "scoped"])
def test_what_the_table_does_not_name_is_granted_to_nobody(house: House, actor: str) -> None:
    for pattern, methods in ROUTES.items():
        for method in METHODS:
            if method in methods or pattern.startswith("admin/"):
                continue
            status = knock(house.clients[actor], method, pattern, house.things).status_code
            assert status in (302, 401, 403, 404, 405), f"{method} {pattern}: {status}"


@pytest.mark.parametrize("actor", ["anonymous", "stranger", "owner"])
def test_a_head_is_granted_to_whom_the_whole_is(house: House, actor: str) -> None:
    for pattern, methods in ROUTES.items():
        if "GET" not in methods or pattern == "rpa/v1/ping":  # the protocol's own server has none
            continue
        whole = knock(house.clients[actor], "GET", pattern, house.things)
        head = knock(house.clients[actor], "HEAD", pattern, house.things)
        assert head.status_code == whole.status_code, pattern
        assert head.streaming or head.content == b"", pattern


@pytest.mark.parametrize("actor", ["stranger", "foreign"])
def test_what_may_not_be_seen_answers_as_what_is_absent(house: House, actor: str) -> None:
    nothing = absent(house.things)
    compared = 0
    for pattern, methods in ROUTES.items():
        if "uid" not in pattern and "pk" not in pattern:
            continue
        for method in methods:
            client = house.clients[actor]
            hidden = knock(client, method, pattern, house.things)
            missing = knock(client, method, pattern, nothing)
            assert hidden.status_code == missing.status_code == 404, f"{method} {pattern}"
            assert hidden.content == missing.content, f"{method} {pattern}"
            assert hidden["Content-Type"] == missing["Content-Type"], f"{method} {pattern}"
            compared += 1
    assert compared > 20


@pytest.mark.parametrize("door", ["execution-list", "api-robot-list"])
def test_a_body_that_names_what_may_not_be_seen_answers_as_absent(house: House, door: str) -> None:
    pattern = reverse(door)[1:]
    hidden = knock(house.clients["stranger"], "POST", pattern, house.things)
    missing = knock(house.clients["stranger"], "POST", pattern, absent(house.things))
    assert hidden.status_code == missing.status_code == 404
    assert hidden.content == missing.content


@pytest.mark.parametrize("door", ["execution-list", "api-robot-list"])
def test_a_filter_does_not_tell_hidden_spaces_from_absent_ones(house: House, door: str) -> None:
    stranger = house.clients["stranger"]
    hidden = stranger.get(reverse(door), {"space": house.things.space.pk})
    missing = stranger.get(reverse(door), {"space": 987_654_321})
    assert hidden.status_code == missing.status_code
    assert hidden.content == missing.content


def test_an_artifact_is_reached_only_through_its_own_run(house: House) -> None:
    path = reverse(
        "artifact-download", args=[house.own_things.execution.uid, house.things.artifact.uid]
    )
    assert house.clients["operator"].get(path).status_code == 404


def example_of(model: type[models.Model], house: House) -> models.Model:
    if model is Runner:
        return Runner.objects.create(host="here", pid=1, slots=1)
    if model is SpaceRetention:
        return SpaceRetention.objects.create(space=Space.objects.earliest("pk"), days=30)
    if model is SpaceShare:
        return SpaceShare.objects.create(space=Space.objects.earliest("pk"), weight=2)
    if model is RunLimit:
        return RunLimit.objects.create(space=Space.objects.earliest("pk"), most=2)
    found = model._default_manager.first()
    return found or model._default_manager.create(name="anybody")


def test_every_model_of_the_admin_is_in_the_table() -> None:
    assert {each._meta.label_lower for each in admin.site._registry} == set(ADMIN)


@pytest.mark.parametrize("model", sorted(admin.site._registry, key=lambda each: each._meta.label))
def test_the_admin_is_for_operators(house: House, model: type[models.Model]) -> None:
    meta = model._meta
    row = example_of(model, house)
    deeds = ADMIN[meta.label_lower].split()
    wanted = {
        reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist"): 200,
        reverse(f"admin:{meta.app_label}_{meta.model_name}_add"): 200 if "add" in deeds else 403,
    }
    for page in ("change", "history", "delete"):
        path = reverse(f"admin:{meta.app_label}_{meta.model_name}_{page}", args=[row.pk])
        wanted[path] = 403 if page == "delete" and page not in deeds else 200
    unprivileged = Client(raise_request_exception=False)
    unprivileged.force_login(make_user("stan", is_staff=True))
    for path, status in wanted.items():
        for actor in ACTORS[:-1]:
            assert house.clients[actor].get(path).status_code == 302, (actor, path)
        assert unprivileged.get(path).status_code == 403, path
        assert house.clients["operator"].get(path).status_code == status, path
    absent_row = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[987_654_321])
    assert house.clients["operator"].get(absent_row).status_code == 302
    garbage = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=["x" * 40])
    assert house.clients["operator"].get(garbage).status_code == 302
    search = f"{reverse(f'admin:{meta.app_label}_{meta.model_name}_changelist')}?q=some"
    assert house.clients["operator"].get(search).status_code == 200
