"""API keys: shown once, kept as a hash, limited, and cheap to check."""

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.authentication import bearer_token
from accounts.models import ApiKey, User
from executions.models import Execution
from robots.models import Robot
from tests.api.helpers import problem_of
from tests.factories import make_execution, make_user

pytestmark = pytest.mark.django_db
ROBOTS = "/api/v1/robots/"


def client_of(secret: str) -> APIClient:
    return APIClient(headers={"Authorization": f"Bearer {secret}"})


@pytest.fixture
def operator(people: dict[str, User]) -> Client:
    client = Client()
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    return client


def test_the_secret_is_kept_as_a_hash_only(people: dict[str, User]) -> None:
    key, secret = ApiKey.issue(user=people["alice"], name="ci")
    assert len(secret) == 40
    assert secret.isalnum()
    assert key.prefix == secret[:8]
    row = ApiKey.objects.filter(pk=key.pk).values().get()
    assert row["digest"] == hashlib.sha256(secret.encode()).hexdigest()
    assert all(secret not in str(value) for value in row.values())
    assert ApiKey.issue(user=people["alice"], name="ci")[1] != secret


def test_the_admin_shows_the_secret_once(operator: Client, people: dict[str, User]) -> None:
    form = {"user": people["alice"].pk, "name": "ci", "scopes": '["robot.view"]'}
    form |= {"expires_at_0": "", "expires_at_1": ""}
    response = operator.post(reverse("admin:accounts_apikey_add"), form, follow=True)
    key = ApiKey.objects.get()
    shown = [word for each in response.context["messages"] for word in str(each).split()]
    secrets = [word.rstrip(".") for word in shown if word.startswith(key.prefix)]
    assert len(secrets) == 1
    assert ApiKey.objects.find(secrets[0]) == key
    assert key.scopes == ["robot.view"]
    page = operator.get(reverse("admin:accounts_apikey_change", args=[key.pk]))
    assert secrets[0] not in page.content.decode()
    assert key.digest not in page.content.decode()
    assert (
        secrets[0] not in operator.get(reverse("admin:accounts_apikey_changelist")).content.decode()
    )


@pytest.mark.parametrize(
    "scopes", ["5", '"*"', '{"*": 1}', "[1]", '["no.such.permission"]', "null"]
)
def test_the_admin_takes_only_scopes_that_exist(
    operator: Client, people: dict[str, User], scopes: str
) -> None:
    form = {"user": people["alice"].pk, "name": "ci", "scopes": scopes}
    response = operator.post(reverse("admin:accounts_apikey_add"), form)
    assert response.status_code == 200
    assert response.context["adminform"].form.errors.keys() == {"scopes"}
    assert not ApiKey.objects.exists()


def test_the_admin_revokes(operator: Client, people: dict[str, User]) -> None:
    key, secret = ApiKey.issue(user=people["alice"], name="ci")
    form = {"action": "revoke", "_selected_action": [key.pk]}
    operator.post(reverse("admin:accounts_apikey_changelist"), form)
    key.refresh_from_db()
    assert key.revoked_at is not None
    problem_of(client_of(secret).get(ROBOTS), 401, "authentication_failed")


def _revoked(key: ApiKey) -> None:
    ApiKey.objects.filter(pk=key.pk).update(revoked_at=timezone.now())


def _expired(key: ApiKey) -> None:
    ApiKey.objects.filter(pk=key.pk).update(expires_at=timezone.now())


def _inactive(key: ApiKey) -> None:
    User.objects.filter(pk=key.user_id).update(is_active=False)


def _deleted(key: ApiKey) -> None:
    key.delete()


@pytest.mark.parametrize("fate", [_revoked, _expired, _inactive, _deleted])
def test_a_key_that_is_no_longer_good_opens_nothing(
    people: dict[str, User], robot: Robot, fate: Callable[[ApiKey], None]
) -> None:
    later = timezone.now() + timedelta(hours=1)
    key, secret = ApiKey.issue(user=people["alice"], name="ci", expires_at=later)
    assert client_of(secret).get(ROBOTS).status_code == 200
    fate(key)
    problem_of(client_of(secret).get(ROBOTS), 401, "authentication_failed")


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer   abc ", "abc"),
        ("abc", "abc"),
        (" abc ", "abc"),
        ("", ""),
        ("Bearer", "Bearer"),
        ("Basic abc", ""),
        ("Token abc", ""),
    ],
)
def test_a_bare_token_counts_too(header: str, token: str) -> None:
    assert bearer_token(header) == token


def test_a_key_differs_in_every_letter_and_case(people: dict[str, User]) -> None:
    _key, secret = ApiKey.issue(user=people["alice"], name="ci")
    assert ApiKey.objects.find(secret) is not None
    for other in (secret.swapcase(), secret[:-1], f"{secret}a", f"{secret[:-1]}é", f" {secret}"):
        assert ApiKey.objects.find(other) is None


@pytest.mark.parametrize(
    ("scopes", "seen", "ran", "cancelled"),
    [
        (["*"], 200, 201, 200),
        (["space.view", "robot.view", "execution.view"], 200, 403, 403),
        (["space.view", "robot.view", "execution.view", "execution.run"], 200, 201, 403),
        (["space.view", "robot.view", "execution.view", "execution.cancel_own"], 200, 403, 200),
        (["execution.run", "execution.cancel_any"], 404, 404, 404),
        ([], 404, 404, 404),
    ],
)
def test_scopes_narrow_what_the_owner_may(
    people: dict[str, User],
    robot: Robot,
    execution: Execution,
    scopes: list[str],
    seen: int,
    ran: int,
    cancelled: int,
) -> None:
    client = client_of(ApiKey.issue(user=people["alice"], name="ci", scopes=scopes)[1])
    assert client.get(f"{ROBOTS}{robot.uid}/").status_code == seen
    assert client.post("/api/v1/executions/", {"robot": str(robot.uid)}).status_code == ran
    path = f"/api/v1/executions/{execution.uid}/cancel/"
    assert client.post(path).status_code == cancelled


def test_a_scope_never_widens(people: dict[str, User], robot: Robot) -> None:
    scopes = ["*", "robot.delete", "robot.view", "space.view"]
    of_bob = client_of(ApiKey.issue(user=people["bob"], name="ci", scopes=scopes)[1])
    problem_of(of_bob.delete(f"{ROBOTS}{robot.uid}/"), 403, "forbidden")
    of_charlie = client_of(ApiKey.issue(user=people["charlie"], name="ci", scopes=scopes)[1])
    problem_of(of_charlie.get(f"{ROBOTS}{robot.uid}/"), 404, "not_found")


def test_a_narrow_key_of_an_operator_is_no_operators(robot: Robot) -> None:
    root = make_user("root", is_superuser=True)
    narrow = client_of(ApiKey.issue(user=root, name="ci", scopes=["robot.view"])[1])
    wide = client_of(ApiKey.issue(user=root, name="ci")[1])
    assert narrow.get(f"{ROBOTS}{robot.uid}/").status_code == 404
    assert wide.get(f"{ROBOTS}{robot.uid}/").status_code == 200


def test_a_run_remembers_the_key_that_asked(people: dict[str, User], robot: Robot) -> None:
    key, secret = ApiKey.issue(user=people["alice"], name="ci")
    client_of(secret).post("/api/v1/executions/", {"robot": str(robot.uid)})
    assert Execution.objects.get().api_key == key
    assert make_execution(robot).api_key is None


def queries_of(client: APIClient) -> list[str]:
    with CaptureQueriesContext(connection) as queries:
        assert client.get(ROBOTS).status_code == 200
    return [each["sql"] for each in queries.captured_queries]


def test_a_check_costs_one_query_and_a_use_is_noted_once_a_minute(
    people: dict[str, User], robot: Robot
) -> None:
    key, secret = ApiKey.issue(user=people["alice"], name="ci")
    client = client_of(secret)
    first, second = queries_of(client), queries_of(client)
    assert [each for each in first if each.startswith("UPDATE")]
    assert sum("accounts_apikey" in each for each in second) == 1
    assert not [each for each in second if each.startswith("UPDATE")]
    key.refresh_from_db()
    used_at: Any = key.last_used_at
    assert used_at is not None
    ApiKey.objects.filter(pk=key.pk).update(last_used_at=used_at - timedelta(minutes=2))
    assert [each for each in queries_of(client) if each.startswith("UPDATE")]
    key.refresh_from_db()
    assert key.last_used_at is not None
    assert key.last_used_at >= used_at
