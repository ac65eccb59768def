"""Every page is drawn, in both languages, without a variable that is not there."""

import re
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from executions import lifecycle
from executions.choices import FailureReason, Status
from executions.events import Source
from executions.lifecycle import Ending
from executions.models import Execution
from robots.models import Robot
from spaces.models import Space
from tests.factories import make_execution, make_robot
from tests.pages.conftest import Browser

pytestmark = pytest.mark.django_db
ENDINGS = [
    Ending(Status.COMPLETED, exit_code=0),
    Ending(Status.FAILED, FailureReason.ERROR, "no invoice", exit_code=1),
    Ending(Status.CANCELLED, message="Cancelled by bob."),
]


@pytest.fixture
def lived_in(form_robot: Robot, space: Space) -> Robot:
    """A house with runs in every state, and a robot that has never run."""
    make_robot(space, name="idle", source="print(3)\n")
    first = make_execution(form_robot, params={"name": "Zoë"})
    for ending in (None, *ENDINGS):
        execution = make_execution(form_robot, params={"name": "Zoë"}, rerun_of=first)
        lifecycle.start(execution, Source("", 0, 0))
        if ending:
            lifecycle.finish(execution.pk, ending)
    return form_robot


def addresses(robot: Robot) -> list[str]:
    runs = [reverse("execution", args=[each.uid]) for each in Execution.objects.all()]
    idle = Robot.objects.get(name="idle")
    return [
        reverse("home"),
        reverse("robots"),
        f"{reverse('robots')}?q=greet",
        f"{reverse('robots')}?q=nothing",
        reverse("robot-new"),
        reverse("robot", args=[robot.uid]),
        reverse("robot", args=[idle.uid]),
        reverse("robot-run", args=[robot.uid]),
        reverse("robot-run", args=[idle.uid]),
        reverse("executions"),
        f"{reverse('executions')}?status=FAILED&q=greet&robot={robot.uid}",
        f"{reverse('executions')}?status=NONSENSE&robot=nonsense&before=x&after=y",
        f"{reverse('executions')}?q=nothing",
        *runs,
        reverse("execution-rerun-form", args=[Execution.objects.latest("pk").uid]),
        *(reverse(name) for name in ("account", "account_change_password", "mfa_index")),
        *(reverse(name) for name in ("sessions", "keys", "account_reauthenticate")),
    ]


def drawn(client: Client, path: str, status: int = 200) -> str:
    response = client.get(path)
    assert response.status_code == status, path
    return whole(response)


def whole(response: Any) -> str:
    page: str = response.content.decode()
    # What a request's query lacks is empty, by Django's own convention.
    assert re.findall(r"⟦missing: (?!request\.GET\.)[^⟧]*⟧", page) == []
    assert page.rstrip().endswith("</html>")
    return page


@pytest.mark.parametrize("language", ["en", "zh-hans"])
@pytest.mark.parametrize("who", ["alice", "bob"])
def test_every_page_is_drawn(
    strict: None, lived_in: Robot, browser: Browser, who: str, language: str
) -> None:
    client = browser(who)
    client.cookies["django_language"] = language
    for path in addresses(lived_in):
        page = drawn(client, path)
        assert f'<html lang="{language}"' in page
        assert "<h1" in page


def test_every_page_has_a_head(lived_in: Robot, browser: Browser) -> None:
    for path in addresses(lived_in):
        response = browser("alice").head(path)
        assert (response.status_code, response.content) == (200, b""), path


def test_an_empty_house_is_drawn(strict: None, space: Space, browser: Browser) -> None:
    for path in (reverse("home"), reverse("robots"), reverse("executions"), reverse("robot-new")):
        drawn(browser("charlie"), path)


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_signing_in_is_drawn(strict: None, client: Client, db: None, language: str) -> None:
    client.cookies["django_language"] = language
    drawn(client, reverse("account_login"))
    refused = client.post(reverse("account_login"), {"username": "nobody", "password": "wrong"})
    assert refused.status_code == 200
    whole(refused)


def test_an_absent_page_is_drawn(strict: None, client: Client, db: None) -> None:
    drawn(client, "/nowhere/", 404)


def test_a_malformed_request_is_drawn(strict: None, client: Client, db: None) -> None:
    response = client.get("/login/", headers={"Host": "evil.example"})
    assert response.status_code == 400
    whole(response)


def test_a_fault_of_ours_is_drawn(
    strict: None, people: dict[str, User], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr("executions.pages._shown", broken)
    client = Client(raise_request_exception=False)
    client.force_login(people["alice"])
    assert "hunter2" not in drawn(client, reverse("home"), 500)


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "The database does not answer."), ("zh-hans", "数据库没有响应。")],
)
def test_a_database_that_is_away_is_drawn(
    strict: None,
    people: dict[str, User],
    monkeypatch: pytest.MonkeyPatch,
    language: str,
    words: str,
) -> None:
    def away(*_arguments: object) -> None:
        raise OperationalError(2002, "Can't connect to server on 'db'")

    monkeypatch.setattr("executions.pages._shown", away)
    client = Client(raise_request_exception=False)
    client.force_login(people["alice"])
    client.cookies["django_language"] = language
    page = drawn(client, reverse("home"), 503)
    assert words in page
    assert "'db'" not in page


def test_a_missing_csrf_token_is_drawn(strict: None, people: dict[str, User], robot: Robot) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(people["alice"])
    response = client.post(reverse("robot-run", args=[robot.uid]), {"params": "{}"})
    assert response.status_code == 403
    whole(response)
    assert not Execution.objects.exists()


HOSTILE = "<script>alert(1)</script>\"'&"


def test_what_people_wrote_is_text(strict: None, space: Space, browser: Browser) -> None:
    robot = make_robot(space, name=HOSTILE)
    Robot.objects.filter(pk=robot.pk).update(description=HOSTILE)
    execution = make_execution(robot, params={HOSTILE: HOSTILE})
    lifecycle.start(execution, Source("", 0, 0))
    lifecycle.finish(execution.pk, Ending(Status.FAILED, FailureReason.ERROR, HOSTILE))
    make_robot(space, name="idle")
    for path in addresses(robot):
        assert "<script>alert" not in drawn(browser("alice"), path)
    for path in ("robots", "executions"):
        page = drawn(browser("alice"), f"{reverse(path)}?q=%3Cscript%3Ealert(1)")
        assert "<script>alert" not in page


def test_every_page_forbids_foreign_scripts(lived_in: Robot, browser: Browser) -> None:
    for path in (*addresses(lived_in), "/login/", "/nowhere/"):
        headers = browser("alice").get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "same-origin"


def test_the_pages_hold_no_inline_script(lived_in: Robot, browser: Browser) -> None:
    for path in addresses(lived_in):
        page = drawn(browser("alice"), path)
        for tag in re.findall(r"<script[^>]*>", page):
            assert "src=" in tag or 'type="application/json"' in tag, (path, tag)
        assert re.findall(r"<[^>]+\son\w+=|<[^>]+\sstyle=", page) == [], path


#: How many queries a page costs: four for the session, its user and the header, the rest for the page.
QUERIES = {
    "home": 10,
    "robots": 9,
    "executions": 8,
}


@pytest.mark.parametrize("name", QUERIES)
def test_the_price_of_a_page_does_not_grow(
    lived_in: Robot, space: Space, browser: Browser, name: str
) -> None:
    client = browser("alice")
    counts = []
    for rows in (1, 30):
        for number in range(rows):
            make_execution(make_robot(space, name=f"{rows} {number}", source=f"print({number})"))
        with CaptureQueriesContext(connection) as queries:
            assert client.get(reverse(name)).status_code == 200
        counts.append(len(queries))
    assert counts == [QUERIES[name]] * 2, [each["sql"][:150] for each in queries.captured_queries]


def test_uploading_from_a_page_makes_the_next_version(
    strict: None, lived_in: Robot, browser: Browser
) -> None:
    client = browser("bob")
    path = reverse("robot-upload", args=[lived_in.uid])
    file = SimpleUploadedFile("b.py", b"print(2)\n")
    whole(client.post(path, {"package": file}, follow=True))
    lived_in.refresh_from_db()
    assert lived_in.enabled_version is not None
    assert lived_in.enabled_version.number == 2
