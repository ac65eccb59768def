"""Parameters that are passwords: the run gets them, and nobody is shown them, wherever one looks."""

import json
import re
from io import BytesIO
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from executions import services
from executions.choices import Origin
from executions.models import Execution
from robots import services as robot_services
from robots.models import Robot, RobotVersion
from robots.passwords import MASK, concealed, masked
from tests.factories import make_execution, make_user, owner_of
from tests.pages.conftest import Browser

pytestmark = pytest.mark.django_db
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "secret": {"type": "string", "format": "password"},
        "login": {
            "type": "object",
            "properties": {
                "user": {"type": "string"},
                "password": {"type": "string", "format": "password"},
            },
        },
    },
    "required": ["name", "secret"],
}
PARAMS = {"name": "Zoë", "secret": "hunter2", "login": {"user": "zoe", "password": "hunter3"}}
SHOWN = {"name": "Zoë", "secret": MASK, "login": {"user": "zoe", "password": MASK}}


def describe(version: RobotVersion | None, schema: dict[str, Any]) -> None:
    assert version is not None
    RobotVersion.objects.filter(pk=version.pk).update(parameters=schema)


@pytest.fixture
def keeper(robot: Robot) -> Robot:
    """A robot that takes two passwords, one of them inside an object."""
    describe(robot.enabled_version, SCHEMA)
    robot.refresh_from_db()
    return robot


@pytest.fixture
def earlier(keeper: Robot) -> Execution:
    return make_execution(keeper, params=PARAMS)


def follow_up(robot: Robot, schema: dict[str, Any]) -> None:
    """A version of other parameters, enabled."""
    robot_services.publish_version(
        robot=robot, file=BytesIO(b"print(2)"), file_name="robot.py", by=owner_of(robot.space)
    )
    robot.refresh_from_db()
    describe(robot.enabled_version, schema)


def test_no_page_shows_what_was_given(earlier: Execution, browser: Browser) -> None:
    operator = Client()
    operator.force_login(make_user("root", is_staff=True, is_superuser=True))
    uid, alice = earlier.uid, browser("alice")
    pages = [
        (alice, reverse("execution", args=[uid])),
        (alice, reverse("execution-rerun-form", args=[uid])),
        (alice, reverse("executions")),
        (alice, reverse("execution-detail", args=[uid])),
        (alice, reverse("execution-list")),
        (alice, reverse("execution-events", args=[uid])),
        (operator, reverse("admin:executions_execution_change", args=[earlier.pk])),
        (operator, reverse("admin:executions_execution_changelist")),
    ]
    for client, path in pages:
        page = client.get(path).content.decode()
        assert "hunter" not in page, path
    assert alice.get(reverse("execution-detail", args=[uid])).json()["params"] == SHOWN
    earlier.refresh_from_db()
    assert earlier.params == PARAMS


def test_the_answer_to_a_request_shows_none(keeper: Robot, browser: Browser) -> None:
    body = {"robot": str(keeper.uid), "params": PARAMS}
    answer = browser("alice").post(
        reverse("execution-list"), json.dumps(body), content_type="application/json"
    )
    assert answer.json()["params"] == SHOWN
    assert Execution.objects.get().params == PARAMS


def test_the_examples_show_none_as_they_follow_the_form(keeper: Robot, browser: Browser) -> None:
    path = reverse("robot-run", args=[keeper.uid])
    sent = {"p.name": "Zoë", "p.secret": "hunter2", "p.login": '{"password": "hunter3"}'}
    page = browser("alice").post(path, {**sent, "examples": "1"}).content.decode()
    assert "Zoë" in page
    assert "hunter" not in page


def test_left_empty_the_earlier_one_is_used_again(earlier: Execution, browser: Browser) -> None:
    client, path = browser("bob"), reverse("execution-rerun-form", args=[earlier.uid])
    fields = {each.name: each for each in client.get(path).context["fields"]}
    assert not fields["secret"].required
    assert "earlier run" in fields["secret"].help
    assert "earlier run" not in fields["name"].help
    assert client.post(path, {"p.name": "Ann"}).status_code == 302
    assert Execution.objects.latest("pk").params == {**PARAMS, "name": "Ann"}
    client.post(path, {"p.name": "Ann", "p.secret": "swordfish"})
    assert Execution.objects.latest("pk").params["secret"] == "swordfish"


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object", "properties": {"name": {"type": "string"}}},
        {"type": "object", "properties": {"secret": {"type": "string"}}},
    ],
)
def test_another_version_that_calls_it_no_password_shows_none_either(
    earlier: Execution, keeper: Robot, browser: Browser, schema: dict[str, Any]
) -> None:
    follow_up(keeper, schema)
    client = browser("alice")
    path = f"{reverse('execution-rerun-form', args=[earlier.uid])}?version=enabled"
    assert "hunter" not in client.get(path).content.decode()
    sent = {"p.name": "Ann", "params": "{}"}
    assert "hunter" not in client.post(path, {**sent, "examples": "1"}).content.decode()
    assert client.post(path, sent).status_code == 302
    again = Execution.objects.latest("pk")
    assert again.params.get("secret") == ("hunter2" if "secret" in str(schema) else None)
    assert again.version == keeper.enabled_version


def test_the_rerun_by_program_gets_them_unmasked(earlier: Execution, keeper: Robot) -> None:
    again = services.rerun_execution(earlier, by=owner_of(keeper.space), origin=Origin.API)
    assert again.execution.params == PARAMS


def test_the_form_runs_again_what_ran_unless_todays_version_is_chosen(
    earlier: Execution, keeper: Robot, browser: Browser
) -> None:
    client, path = browser("alice"), reverse("execution-rerun-form", args=[earlier.uid])
    assert "?version=enabled" not in client.get(path).content.decode()
    follow_up(keeper, SCHEMA)
    page = client.get(path)
    assert '<a href="?version=enabled">' in page.content.decode()
    body = re.search(r"-d '(.*)'$", page.context["curl"], re.DOTALL)
    assert body is not None
    assert json.loads(body[1])["version"] == 1
    assert not page.context["cli"]  # the command knows only the enabled version
    client.post(path, {"p.name": "Ann"})
    assert Execution.objects.latest("pk").version.number == 1
    todays = client.get(f"{path}?version=enabled")
    assert '<a href="?">' in todays.content.decode()
    assert "manage.py run" in todays.context["cli"]
    client.post(f"{path}?version=enabled", {"p.name": "Ann"})
    assert Execution.objects.latest("pk").version.number == 2


PASSWORD = {"type": "string", "format": "password"}


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"$ref": "#/$defs/x~1y"}}, "$defs": {"x/y": PASSWORD}},
        {"allOf": [{"properties": {"a": PASSWORD}}]},
        {"anyOf": [{"properties": {"b": {}}}, {"properties": {"a": PASSWORD}}]},
        {"if": {"required": ["b"]}, "else": {"properties": {"a": PASSWORD}}},
        {"dependentSchemas": {"a": {"properties": {"a": PASSWORD}}}},
        {"patternProperties": {"^a": PASSWORD}},
        {"additionalProperties": PASSWORD},
        {"properties": {"b": {}}, "additionalProperties": PASSWORD},
        {"properties": {"a": {"oneOf": [{"type": "null"}, PASSWORD]}}},
    ],
)
def test_a_schema_may_say_it_in_many_ways(schema: dict[str, Any]) -> None:
    assert masked(schema, {"a": "hunter2"}) == {"a": MASK}
    listed = {"properties": {"l": {"type": "array", "items": schema}}, "$defs": schema.get("$defs")}
    assert masked(listed, {"l": [{"a": "hunter2"}, {"a": "hunter3"}]}) == {"l": [{"a": MASK}] * 2}


def test_what_is_no_password_stays_as_it_is() -> None:
    schema = {
        "properties": {"a": {"prefixItems": [PASSWORD], "items": {"type": "string"}}, "b": True},
        "patternProperties": {"^x": PASSWORD},
    }
    params = {"a": ["hunter2", "one", "two"], "b": {"x": 1}, "c": None}
    assert masked(schema, params) == {**params, "a": [MASK, "one", "two"]}


PASSWORD = {"type": "string", "format": "password"}
KNOWN: dict[str, Any] = PASSWORD | {"default": "hunter2"}


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": KNOWN}},
        {"properties": {"a": PASSWORD | {"const": "hunter2"}}},
        {"properties": {"a": PASSWORD | {"enum": ["hunter2"], "examples": ["hunter2"]}}},
        {"properties": {"a": {"properties": {"b": PASSWORD}, "default": {"b": "hunter2"}}}},
        {"properties": {"a": {"items": PASSWORD, "default": ["hunter2"]}}},
        {"properties": {"a": {"prefixItems": [{}, KNOWN]}}},
        {"properties": {"a": {"additionalProperties": KNOWN}}},
        {"patternProperties": {"^a": KNOWN}},
        {"properties": {"a": {"$ref": "#/$defs/pin"}}, "$defs": {"pin": KNOWN}},
        {
            "properties": {"a": {"$ref": "#/$defs/pin", "default": "hunter2"}},
            "$defs": {"pin": PASSWORD},
        },
        {
            "properties": {"a": {"$ref": "#/$defs/text", "format": "password"}},
            "$defs": {"text": {"default": "hunter2"}},
        },
        {"properties": {"a": {"default": "hunter2"}}, "allOf": [{"properties": {"a": PASSWORD}}]},
        {"properties": {"a": PASSWORD | {"not": {"const": "hunter2"}}}},
        {"properties": {"a": {"anyOf": [{"const": "hunter2"}, PASSWORD]}}},
        {"properties": {"default": KNOWN, "properties": KNOWN}},
        {"$defs": {"unused": KNOWN}},
        {"examples": [{"a": "hunter2"}], "properties": {"a": PASSWORD}},
    ],
)
def test_a_schema_is_shown_without_the_values_of_passwords(schema: dict[str, Any]) -> None:
    before = json.dumps(schema)
    shown = json.dumps(concealed(schema))
    assert "hunter2" not in shown
    assert shown.count("password") == before.count("password")
    assert json.dumps(schema) == before


def test_all_else_of_a_schema_is_shown() -> None:
    schema = {
        "properties": {
            "a": {"enum": ["x", "y"], "default": "x", "examples": ["y"]},
            "b": PASSWORD,
            "default": {"const": 3},
            "c": {"properties": {"d": {"default": [1, {"e": 2}]}}},
        },
        "default": {"a": "x", "c": {"d": []}},
    }
    assert concealed(schema) == schema
    assert concealed({}) == {}


def test_the_api_shows_no_default_of_a_password(robot: Robot, browser: Browser) -> None:
    describe(robot.enabled_version, {"type": "object", "properties": {"a": KNOWN, "b": {}}})
    for path in (
        reverse("api-robot-list"),
        reverse("api-robot-detail", args=[robot.uid]),
        f"{reverse('api-robot-detail', args=[robot.uid])}versions/",
    ):
        page = browser("alice").get(path).content
        assert b'"password"' in page
        assert b"hunter2" not in page
