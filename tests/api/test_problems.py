"""Every refusal of the API is a problem (RFC 9457), wherever in the house it arises."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.cache import cache
from django.db import InterfaceError, OperationalError, ProgrammingError
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient
from rest_framework.throttling import UserRateThrottle

from accounts.models import User
from executions.models import Execution
from robots.models import Robot
from tests.api.helpers import problem_of

pytestmark = pytest.mark.django_db
Api = Callable[[User | None], APIClient]


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/robots/",
        "/api/v1/executions/",
        f"/api/v1/executions/{UUID(int=0)}/stream",
    ],
)
def test_who_is_nobody_is_told_how_to_come_in(api: Api, db: None, path: str) -> None:
    response = api(None).get(path)
    problem_of(response, 401, "not_authenticated")
    assert response["WWW-Authenticate"] == 'Bearer realm="api"'


@pytest.mark.parametrize("header", ["Bearer wrong", "Bearer " + "a" * 40, "Basic YTpi", "nonsense"])
def test_a_wrong_key_is_refused_even_with_a_session(
    api: Api, people: dict[str, User], header: str
) -> None:
    response = api(people["alice"]).get("/api/v1/robots/", headers={"Authorization": header})
    problem_of(response, 401, "authentication_failed")
    assert response["WWW-Authenticate"] == 'Bearer realm="api"'


def test_what_is_absent_is_a_problem(api: Api, people: dict[str, User]) -> None:
    alice = api(people["alice"])
    problem_of(alice.get("/api/v1/nowhere/"), 404, "not_found")
    problem_of(alice.get("/api/nowhere"), 404, "not_found")
    problem_of(alice.get(f"/api/v1/executions/{uuid4()}/log/"), 404, "not_found")
    problem_of(alice.get(f"/api/v1/executions/{uuid4()}/"), 404, "not_found")


@pytest.mark.parametrize("debug", [True, False])
def test_what_is_sent_without_the_last_slash_is_not_lost(
    api: Api, people: dict[str, User], robot: Robot, settings: Any, debug: bool
) -> None:
    """A client that follows a 308 sends the same again; a 301 it would repeat as a GET."""
    settings.DEBUG = debug
    alice, body = api(people["alice"]), {"robot": str(robot.uid)}
    for path, method in (
        ("executions", "post"),
        (f"robots/{robot.uid}", "patch"),
        (f"robots/{robot.uid}", "delete"),
        ("executions?limit=1", "options"),
    ):
        answer = getattr(alice, method)(f"/api/v1/{path}", body)
        name, _mark, query = path.partition("?")
        right = f"/api/v1/{name}/" + (f"?{query}" if query else "")
        assert (answer.status_code, answer["Location"]) == (308, right)
    for method in ("get", "head"):
        assert getattr(alice, method)("/api/v1/executions").status_code == 301
    assert not Execution.objects.exists()
    made = alice.post("/api/v1/executions", body, follow=True)
    assert (made.status_code, made.json()["robot"]) == (201, str(robot.uid))
    assert alice.post("/api/v1/nowhere", body).status_code == 404


def test_a_method_that_is_not_there_is_a_problem(
    api: Api, people: dict[str, User], execution: Execution
) -> None:
    response = api(people["alice"]).put("/api/v1/robots/", {})
    problem_of(response, 405, "method_not_allowed")
    assert set(response["Allow"].split(", ")) >= {"GET", "POST"}


@pytest.mark.parametrize("door", ["stream", "log/"])
def test_a_stream_that_is_posted_to_is_a_problem_too(
    api: Api, people: dict[str, User], execution: Execution, door: str
) -> None:
    response = api(people["alice"]).post(f"/api/v1/executions/{execution.uid}/{door}")
    problem_of(response, 405, "method_not_allowed")
    assert "GET" in response["Allow"]


def test_a_session_without_the_csrf_token_writes_nothing(
    people: dict[str, User], execution: Execution
) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(people["alice"])
    response = client.post(f"/api/v1/executions/{execution.uid}/cancel/")
    problem_of(response, 403, "permission_denied")
    execution.refresh_from_db()
    assert execution.finished_at is None


def test_a_refused_role_says_which_permission_it_lacks(
    api: Api, people: dict[str, User], execution: Execution
) -> None:
    response = api(people["bob"]).post(f"/api/v1/executions/{execution.uid}/cancel/")
    assert problem_of(response, 403, "forbidden")["permission"] == "execution.cancel_any"


def test_a_fault_of_ours_is_a_problem_without_secrets(
    people: dict[str, User], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object, **_named: object) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr("robots.api.RobotViewSet.get_queryset", broken)
    client = Client(raise_request_exception=False)
    client.force_login(people["alice"])
    body = problem_of(client.get("/api/v1/robots/"), 500, "server_error")
    assert "hunter2" not in str(body)


AWAY = [
    OperationalError(2003, "Can't connect to server on 'db' (111)"),
    OperationalError(2013, "Lost connection to server during query"),
    OperationalError(1205, "Lock wait timeout exceeded; try restarting transaction"),
    OperationalError(1213, "Deadlock found when trying to get lock"),
    OperationalError("database is locked"),
    OperationalError("unable to open database file"),
    InterfaceError(0, ""),
]
OURS = [
    OperationalError(1054, "Unknown column"),
    OperationalError("no such table: robots_robot"),
    OperationalError(1045, "Access denied for user"),
    ProgrammingError(1146, "Table does not exist"),
    InterfaceError("bad parameter"),
    OperationalError(),
]


@pytest.mark.parametrize(
    "where",
    [
        "robots.api.RobotViewSet.get_queryset",
        "executions.streams._actor",
        "django.contrib.sessions.backends.db.SessionStore.load",
    ],
)
@pytest.mark.parametrize("error", [*AWAY, *OURS], ids=repr)
def test_a_database_that_is_away_is_no_fault_of_ours(
    people: dict[str, User], monkeypatch: pytest.MonkeyPatch, where: str, error: Exception
) -> None:
    """Wherever it is missed: in the API, in a view that streams, on the way to either."""

    def broken(*_arguments: object, **_named: object) -> None:
        raise error

    client = Client(raise_request_exception=False)
    client.force_login(people["alice"])
    monkeypatch.setattr(where, broken)
    path = "robots/" if "streams" not in where else f"executions/{UUID(int=0)}/stream"
    response = client.get(f"/api/v1/{path}")
    if error in AWAY:
        problem_of(response, 503, "database_unavailable")
        assert response["Retry-After"] == "1"
    else:
        problem_of(response, 500, "server_error")
        assert "Retry-After" not in response


def test_a_request_for_another_host_is_malformed(client: Client, db: None) -> None:
    problem_of(client.get("/api/v1/robots/", headers={"Host": "evil.example"}), 400, "malformed")


def test_too_many_requests_say_when_to_come_back(
    api: Api, people: dict[str, User], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.clear()
    monkeypatch.setattr(UserRateThrottle, "rate", "2/min", raising=False)
    alice = api(people["alice"])
    answers = [alice.get("/api/v1/robots/") for _ in range(3)]
    cache.clear()
    assert [each.status_code for each in answers] == [200, 200, 429]
    problem_of(answers[-1], 429, "throttled")
    assert 0 < int(answers[-1]["Retry-After"]) <= 60


@pytest.mark.parametrize("door", ["robots", "executions"])
def test_a_body_that_is_too_large_is_a_problem(
    api: Api, people: dict[str, User], door: str, settings: Any
) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    path, alice = f"/api/v1/{door}/", api(people["alice"])
    for size, status in ((1000, 400), (1001, 413)):
        body = b'{"a":"' + b"x" * (size - 8) + b'"}'
        response = alice.post(path, body, content_type="application/json")
        problem_of(response, status, "invalid" if status == 400 else "too_large")


def test_a_form_that_is_too_large_is_refused(
    people: dict[str, User], robot: Robot, settings: Any
) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    client = Client(enforce_csrf_checks=True)
    client.force_login(people["alice"])
    client.get(reverse("home"))  # brings the cookie, without which nobody looks for the token
    form = {"data": b"a=" + b"x" * 2000, "content_type": "application/x-www-form-urlencoded"}
    problem_of(client.post("/api/v1/robots/", **form), 415, "unsupported_media_type")
    page = client.post(reverse("robot-run", args=[robot.uid]), **form)
    assert page.status_code == 413
    assert "<h1>" in page.content.decode()


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, '{"robot": ' + "9" * 5000 + "}"]
)
def test_a_body_that_no_reader_survives_is_a_problem(
    api: Api, people: dict[str, User], text: str
) -> None:
    response = api(people["alice"]).post(
        "/api/v1/executions/", text, content_type="application/json"
    )
    problem_of(response, 400, "parse_error")


@pytest.mark.parametrize(
    "path",
    ["/api/v1/robots/", "/api/v1/executions/{uid}/", "/api/v1/executions/{uid}/events/"],
)
def test_the_head_is_that_of_the_whole(
    api: Api, people: dict[str, User], execution: Execution, path: str
) -> None:
    alice, address = api(people["alice"]), path.format(uid=execution.uid)
    head, whole = alice.head(address), alice.get(address)
    assert head.status_code == whole.status_code == 200
    assert head.content == b""
    assert head["Content-Type"] == whole["Content-Type"]
    assert head["Content-Length"] == whole["Content-Length"]
