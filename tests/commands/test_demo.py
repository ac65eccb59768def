"""`manage.py demo`: everything to try the platform with, however often it is asked for."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from accounts.models import ApiKey, User
from enterprises.models import Enterprise
from robots.models import Robot, RobotVersion
from spaces.models import Space
from tests.commands.calling import called

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def forgotten(permissions: None) -> Any:
    """The demo keeps its passwords in the data folder: this test's are of this test."""
    kept = Path(settings.RPA_DATA_DIR) / "demo.json"
    kept.unlink(missing_ok=True)
    yield
    kept.unlink(missing_ok=True)


def demo() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(called("demo", "--json"))
    return made


def counts() -> list[int]:
    models = (User, ApiKey, Enterprise, Space, Robot, RobotVersion)
    return [each.objects.count() for each in models]


def test_its_json_names_everything(client: Client) -> None:
    made = demo()
    assert set(made) == {"base_url", "admin", "users", "api_key", "space", "robots"}
    assert made["base_url"] == settings.RPA_BASE_URL
    assert set(made["users"]) == {"alice", "bob"}
    for person in (made["admin"], *made["users"].values()):
        assert set(person) == {"username", "password"}
        assert client.login(**person)
    assert Space.objects.get(pk=made["space"]["id"]).name == made["space"]["name"]
    examples = {each.stem for each in (settings.BASE_DIR / "examples").iterdir()}
    assert set(made["robots"]) <= examples
    assert {"hello", "invoice-processing"} <= set(made["robots"])
    for name, uid in made["robots"].items():
        assert Robot.objects.get(uid=uid).name == name
    answer = client.get(
        "/api/v1/robots/", headers={"Authorization": f"Bearer {made['api_key']}"}
    ).json()
    assert {each["id"] for each in answer["results"]} == set(made["robots"].values())


def test_repeating_it_changes_nothing() -> None:
    first, before = demo(), counts()
    assert demo() == first
    assert counts() == before


def test_a_password_that_somebody_changed_stays(client: Client) -> None:
    demo()
    alice = User.objects.get(username="alice")
    alice.set_password("my own words")
    alice.save()
    demo()
    assert client.login(username="alice", password="my own words")


def test_a_key_that_was_revoked_is_replaced() -> None:
    first = demo()["api_key"]
    ApiKey.objects.all().delete()
    second = demo()["api_key"]
    assert second != first
    assert ApiKey.objects.find(second) is not None


def test_what_it_keeps_is_the_servers_alone() -> None:
    demo()
    kept = Path(settings.RPA_DATA_DIR) / "demo.json"
    assert kept.stat().st_mode & 0o077 == 0


def test_it_speaks_to_people_too() -> None:
    made = demo()
    lines = called("demo").splitlines()
    assert f"User: admin  password: {made['admin']['password']}" in lines
    assert f"API key of alice: {made['api_key']}" in lines
    assert f"Robot: hello  {made['robots']['hello']}" in lines
