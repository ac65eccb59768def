"""Whatever is sent, to whichever door, is the sender's mistake and never ours: no 5xx, no HTML to programs."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse

from accounts.models import ApiKey
from tests.access.house import House, Things

pytestmark = pytest.mark.django_db

TEXTS = ["\0", "9" * 30, "-1", "٣", "x" * 9000, "0001-01-01T00:00:00+14:00"]


def answered(client: Client, method: str, path: str, **more: Any) -> Any:
    """The answer, whose effects are taken back; fails where it is a fault of ours."""
    with transaction.atomic():
        response = client.generic(method, path, **more)
        transaction.set_rollback(True)
    assert response.status_code < 500, (method, path, more)
    if path.startswith("/api/") and response.status_code >= 400:
        assert response["Content-Type"] == "application/problem+json", (method, path, more)
    return response


def queries(things: Things) -> Iterator[tuple[str, str, str]]:
    """Who asks, where, and the names of what may be asked there."""
    robot, execution = things.robot.uid, things.execution.uid
    page = "limit cursor format"
    yield "owner", reverse("robots"), "q before after"
    yield "owner", reverse("executions"), "q before after status robot"
    yield "owner", reverse("execution-rerun-form", args=[execution]), "version"
    yield "owner", reverse("account_login"), "next"
    for kind, place in (("space", things.space), ("enterprise", things.enterprise)):
        for name in ("members", "invites", "invite", "transfer"):
            path = reverse(f"people:{kind}-{name}", args=[place.pk])
            yield "owner", path, "q before after role status user"
    for name in ("spaces", "enterprises", "space-new", "applications", "invitations"):
        yield "owner", reverse(f"people:{name}"), "q before after space all enterprise"
    yield "owner", reverse("sharing:shares"), "before after"
    yield "owner", reverse("execution-list"), f"{page} space robot status requested_after mine"
    yield "owner", reverse("api-robot-list"), f"{page} space name name__icontains"
    yield "owner", reverse("api-robot-versions", args=[robot]), page
    yield "owner", reverse("execution-events", args=[execution]), "after limit"
    yield "operator", reverse("admin:executions_execution_changelist"), "q p o all robot space e"
    yield "operator", reverse("admin:robots_robotversion_changelist"), "q p robot robot__id__exact"
    yield "operator", reverse("admin:autocomplete"), "app_label term"


def test_no_query_breaks_a_page(house: House) -> None:
    for who, path, names in queries(house.things):
        for name in names.split():
            for text in TEXTS:
                answered(house.clients[who], "GET", f"{path}?{name}={quote(text)}")


def nested(levels: int) -> Any:
    value: Any = 1
    for _level in range(levels):
        value = {"a": value}
    return value


VALUES: list[Any] = [None, True, -1, 1.5, 10**30, 1e308, "", "\0", "a\ud800", "x" * 5000, "NaN"]
VALUES += [[], [[1]], {}, {"\0": "\0"}, {"\ud800": 1}, {"x" * 300: 1}, {"a": 10**300}, nested(300)]


def bodies(things: Things) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every door that takes JSON, with a body that it likes."""
    robot, execution = str(things.robot.uid), things.execution.uid
    told = {"name": "another", "description": "d"}
    yield reverse("api-robot-list"), {"space": things.space.pk, **told}
    yield reverse("api-robot-detail", args=[robot]), told
    yield reverse("api-robot-enable", args=[robot]), {"version": 1}
    wanted = {"robot": robot, "params": {}, "version": 1, "task": "robot", "timeout": 5}
    yield reverse("execution-list"), wanted
    yield reverse("execution-rerun", args=[execution]), {"params": {}, "version": "same"}
    yield reverse("execution-cancel", args=[execution]), {}
    sent = {"sid": "s", "project_id": robot, "version": 1, "phone_number": "1", "params": {}}
    yield "/rpa/v1/exec", {**sent, "exec_position": "EXECUTOR", "progress": False}


@pytest.fixture
def program(house: House) -> Client:
    """A program with alice's key."""
    _key, secret = ApiKey.issue(user=house.things.space.creator, name="fuzz")
    client = Client(raise_request_exception=False, headers={"Authorization": f"Bearer {secret}"})
    return client


def test_no_json_breaks_a_door(house: House, program: Client) -> None:
    for path, liked in bodies(house.things):
        method = (
            "PATCH"
            if path == reverse("api-robot-detail", args=[house.things.robot.uid])
            else "POST"
        )
        spoilt = [{**liked, name: value} for name in liked for value in VALUES]
        for body in (*VALUES, *spoilt):
            sent = {"data": json.dumps(body), "content_type": "application/json"}
            response = answered(program, method, path, **sent)
            if "rpa" in path and response.status_code == 422:
                json.loads(response.content, parse_constant=pytest.fail)


RAW = [b"", b"{", b"\xff", b"[" * 100_000, b'{"a":1e999}', b"%ff=%00&\xff=\xff", b"a=1&" * 2000]
PART = b"--x\r\nContent-Disposition: form-data; name=%s\r\n\r\n%s\r\n"
RAW += [
    PART % (b'"package"; filename="\x00\xff../../a.zip"', b"PK\x03\x04") + b"--x--\r\n",
    PART % (b'"username"', b"\xff\x00") + b"--x--\r\n",
    PART % (b'"a"', b"1") * 1200 + b"--x--\r\n",
]
KINDS = ["application/json", "text/plain", "multipart/form-data; boundary=x; charset=bz2_codec"]
KINDS += [
    "application/json; charset=hex",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
]


def test_no_body_breaks_a_door(house: House, program: Client) -> None:
    robot, execution = house.things.robot.uid, house.things.execution.uid
    doors = [reverse("execution-list"), reverse("api-robot-versions", args=[robot])]
    doors += [reverse("execution-stream", args=[execution]), "/rpa/v1/exec", "/api/nowhere"]
    pages = [reverse("robot-run", args=[robot]), reverse("robot-new"), reverse("account_login")]
    for name in ("invite", "invite-table", "settings", "transfer", "delete", "member-role"):
        member = [house.things.member.uid] if name == "member-role" else []
        pages.append(reverse(f"people:space-{name}", args=[house.things.space.pk, *member]))
    pages += [reverse("people:space-new"), reverse("sharing:robot-share", args=[robot])]
    knocks = [(program, door) for door in doors] + [
        (house.clients["owner"], page) for page in pages
    ]
    for client, path in knocks:
        for kind in KINDS:
            for raw in RAW:
                answered(client, "POST", path, data=raw, content_type=kind)
