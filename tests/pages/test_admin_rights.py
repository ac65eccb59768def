"""What staff who are no operators may do in the admin, and what nobody's requests may break."""

from urllib.parse import urlencode

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from accounts.models import ApiKey, User
from executions.choices import Status
from executions.models import Execution
from robots.models import Robot
from spaces.models import Space
from tests.factories import make_execution, make_robot, make_user
from tests.pages.admin_pages import RUNS, act, found, inline, staff

pytestmark = pytest.mark.django_db


def test_looking_is_not_being_allowed(robot: Robot, people: dict[str, User]) -> None:
    """A staff member who may look at runs gets no further than their role in the space."""
    stan = make_user("stan", is_staff=True)
    stan.user_permissions.add(Permission.objects.get(codename="view_execution"))
    client = Client()
    client.force_login(stan)
    execution = make_execution(robot)
    assert client.get(reverse(RUNS)).status_code == 200
    assert act(client, "cancel", execution) == [f"{str(execution.uid)[:8]}: Not found."]
    assert act(client, "rerun", execution) == [f"{str(execution.uid)[:8]}: Not found."]
    execution.refresh_from_db()
    assert execution.status == Status.PENDING
    assert Execution.objects.count() == 1


def test_who_may_only_look_restores_nothing(robot: Robot) -> None:
    Robot.objects.filter(pk=robot.pk).update(deleted=True)
    act(staff("view_robot"), "restore", robot, page="admin:robots_robot_changelist")
    robot.refresh_from_db()
    assert robot.deleted


def test_who_may_only_look_revokes_no_key(people: dict[str, User]) -> None:
    key, _secret = ApiKey.issue(user=people["alice"], name="ci")
    act(staff("view_apikey"), "revoke", key, page="admin:accounts_apikey_changelist")
    key.refresh_from_db()
    assert key.revoked_at is None


def test_who_makes_keys_makes_none_for_a_superuser(
    people: dict[str, User], operator: Client
) -> None:
    client, path = staff("add_apikey", "view_user"), reverse("admin:accounts_apikey_add")
    form = {"name": "ci", "scopes": '["*"]', "expires_at_0": "", "expires_at_1": ""}
    root = User.objects.get(username="root")
    assert client.post(path, {**form, "user": root.pk}).status_code == 200
    assert not ApiKey.objects.exists()
    client.post(path, {**form, "user": people["bob"].pk})
    assert ApiKey.objects.get().user == people["bob"]
    operator.post(path, {**form, "user": root.pk})
    assert ApiKey.objects.filter(user=root).exists()


def test_who_manages_keys_sees_none_of_an_operator(operator: Client) -> None:
    key, _secret = ApiKey.issue(
        user=User.objects.get(username="root"), name="ci", scopes=["robot.view"]
    )
    client = staff("change_apikey", "view_apikey")
    page = "admin:accounts_apikey_changelist"
    assert found(client, "accounts_apikey", "ci") == []
    act(client, "revoke", key, page=page)
    change = reverse("admin:accounts_apikey_change", args=[key.pk])
    client.post(change, {"name": "ci", "scopes": '["*"]', "expires_at_0": "", "expires_at_1": ""})
    key.refresh_from_db()
    assert (key.scopes, key.revoked_at) == (["robot.view"], None)


def test_who_manages_people_makes_nobody_an_operator_and_touches_none(
    operator: Client, people: dict[str, User]
) -> None:
    client = staff("change_user", "view_user", "delete_user")
    root, bob = User.objects.get(username="root"), people["bob"]
    for user in (bob, User.objects.get(username="stan")):
        form = {
            "username": user.username,
            "is_active": "on",
            "is_staff": "on",
            "is_superuser": "on",
        }
        form |= {"first_name": "Changed"}
        client.post(reverse("admin:accounts_user_change", args=[user.pk]), form)
        user.refresh_from_db()
        assert (user.first_name, user.is_superuser) == ("Changed", False)
    assert not bob.is_staff
    form = {"username": "toor", "is_active": "on"}
    assert (
        client.post(reverse("admin:accounts_user_change", args=[root.pk]), form).status_code == 403
    )
    password = {"password1": "a new password 1", "password2": "a new password 1"}
    path = reverse("admin:auth_user_password_change", args=[root.pk])
    assert client.post(path, {**password, "usable_password": "true"}).status_code == 403
    path = reverse("admin:accounts_user_delete", args=[root.pk])
    assert client.post(path, {"post": "yes"}).status_code == 403
    root.refresh_from_db()
    assert root.check_password("correct horse")


def test_a_key_never_changes_hands(operator: Client, people: dict[str, User]) -> None:
    key, _secret = ApiKey.issue(user=people["alice"], name="ci")
    form = {"user": people["bob"].pk, "name": "CI", "scopes": '["robot.view"]'}
    form |= {"expires_at_0": "", "expires_at_1": ""}
    operator.post(reverse("admin:accounts_apikey_change", args=[key.pk]), form)
    key.refresh_from_db()
    assert (key.user, key.name, key.scopes) == (people["alice"], "CI", ["robot.view"])


GARBAGE = ["x", "\0", "9" * 30, "-1", "1.5", "2026-13-01"]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_keys_that_are_none_break_no_page(operator: Client, space: Space, garbage: str) -> None:
    """Django itself falls over them; a hand-made request is no fault of ours."""
    make_robot(space)
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        for action in ("delete_selected", "restore", "revoke", "cancel", "rerun"):
            form = {"action": action, "_selected_action": garbage, "post": "yes"}
            assert operator.post(reverse(f"{name}_changelist"), form).status_code < 500
        path = f"{reverse(f'{name}_changelist')}?{urlencode({'id__in': garbage})}"
        assert operator.get(path).status_code < 500
    for model, field in (("accounts_apikey", "user"), ("spaces_space", "enterprise")):
        form = {field: garbage, "name": "x"} | inline("members")
        assert operator.post(reverse(f"admin:{model}_add"), form).status_code < 500
    assert not ApiKey.objects.exists()
    assert Space.objects.filter(name="x").count() == 0
