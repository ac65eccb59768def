import copy
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from robots.models import Robot
from tests.factories import make_user

MISSING = "⟦missing: %s⟧"
Browser = Callable[[str], Client]


@pytest.fixture
def browser(people: dict[str, User]) -> Browser:
    """`browser("alice")` is a browser in which she is signed in."""

    def signed_in(name: str) -> Client:
        client = Client()
        client.force_login(people[name])
        return client

    return signed_in


@pytest.fixture
def operator(permissions: None) -> Client:
    client = Client()
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def strict(settings: Any) -> None:
    """Marks every variable that a template names and its page does not give."""
    templates = copy.deepcopy(settings.TEMPLATES)
    templates[0]["OPTIONS"]["string_if_invalid"] = MISSING
    settings.TEMPLATES = templates


@pytest.fixture
def form_robot(robot: Robot) -> Robot:
    """A robot whose parameters use every widget of the run form."""
    version = robot.enabled_version
    assert version is not None
    schema = {
        "type": "object",
        "properties": {
            "name": {
                "type": "string",
                "title": "Your name",
                "description": "As you sign.",
                "minLength": 2,
            },
            "story": {"type": "string", "maxLength": 5000},
            "count": {"type": "integer", "minimum": 1, "maximum": 9, "default": 3},
            "rate": {"type": "number", "multipleOf": 0.5},
            "loud": {"type": "boolean", "default": True},
            "tone": {"enum": ["polite", "curt"], "default": "curt"},
            "day": {"type": "string", "format": "date"},
            "at": {"type": "string", "format": "date-time"},
            "to": {"type": "string", "format": "email"},
            "site": {"type": "string", "format": "uri"},
            "secret": {"type": "string", "format": "password"},
            "items": {"type": "array", "items": {"type": "string"}},
            "extra": {"type": "object"},
            "code": {"type": "string", "pattern": "^[A-Z]+$"},
        },
        "required": ["name"],
    }
    type(version).objects.filter(pk=version.pk).update(parameters=schema)
    robot.refresh_from_db()
    return robot
