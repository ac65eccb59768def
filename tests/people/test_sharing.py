"""Shares by page: a link that anybody reads without signing in, and its end."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from executions.models import Execution
from robots.models import Robot
from sharing.models import Share
from spaces.models import SpaceUser
from tests.factories import make_execution, make_robot
from tests.people.conftest import Acme

pytestmark = pytest.mark.django_db
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "title": "City", "default": "Bern"},
        "secret": {"type": "string", "format": "password", "default": "hunter1"},
        "account": {
            "type": "object",
            "properties": {"pin": {"type": "string", "format": "password"}},
            "default": {"pin": "hunter3"},
        },
    },
}


@pytest.fixture
def run(acme: Acme) -> Execution:
    robot = make_robot(acme.space, name="packer")
    robot.versions.update(parameters=SCHEMA)
    robot.refresh_from_db()
    return make_execution(robot, params={"city": "Oslo", "secret": "hunter2"})


def pages(run: Execution) -> dict[str, str]:
    return {"robot": f"/robots/{run.robot.uid}/", "execution": f"/executions/{run.uid}/"}


def link(acme: Acme, what: str, **form: Any) -> str:
    page = acme.post("alice", f"{what}share/", **form).content.decode()
    found = re.search(r">(http[^<]*/s/[0-9a-f]{64}/)</code>", page)
    assert found is not None
    return found[1].removeprefix("http://127.0.0.1:8000")


@pytest.mark.parametrize("kind", ["robot", "execution"])
def test_whoever_has_the_link_reads_it(acme: Acme, run: Execution, kind: str) -> None:
    what = pages(run)[kind]
    path = link(acme, what, days=3)
    share = Share.objects.get()
    assert share.expire_time is not None
    assert timedelta(days=2) < share.expire_time - timezone.now() <= timedelta(days=3)
    for client in (Client(), acme.browser("charlie"), acme.browser("dora")):
        answer = client.get(path)
        page = answer.content.decode()
        assert answer.status_code == 200
        assert "packer" in page
        assert "Shared by link" in page
        assert "hunter" not in page
        assert ("Oslo" if kind == "execution" else "Bern") in page
        # Not a word of where it is, who ran it, or what else could be done with it.
        main = page.partition('id="main"')[2]
        assert not re.search(
            rf"alice|Orders|Acme|{run.uid}|{run.robot.uid}|/ws/|Cancel the run", main
        )
        assert answer["X-Robots-Tag"] == "noindex"
        assert answer["Cache-Control"] == "no-store"
        assert answer["Referrer-Policy"] == "same-origin"
        assert '<meta name="robots" content="noindex, nofollow">' in page
        assert client.get(what).status_code in (302, 404)


def test_the_events_of_a_shared_run_are_read_by_its_page(acme: Acme, run: Execution) -> None:
    page = Client().get(link(acme, pages(run)["execution"])).content.decode()
    urls = re.search(r'<script id="urls" type="application/json">(.*?)</script>', page)
    assert urls is not None
    events = re.search(r'"(/api[^"]+)"', urls[1])
    assert events is not None
    assert Client().get(events[1]).json()["events"][0]["kind"] == "status"


@pytest.mark.parametrize("end", ["off", "late", "removed", "deleted", "unknown", "malformed"])
def test_one_that_has_ended_is_as_absent(acme: Acme, run: Execution, end: str) -> None:
    path = link(acme, pages(run)["execution"])
    never = Client().get(f"/s/{'0' * 64}/")
    if end == "off":
        said = acme.said("alice", f"/shares/{path.split('/')[2]}/off/")
        assert said == (200, "The share has ended.")
    elif end == "late":
        Share.objects.update(expire_time=timezone.now() - timedelta(seconds=1))
    elif end == "removed":
        SpaceUser.objects.filter(space=acme.space, user=acme.people["alice"]).delete()
    elif end == "deleted":
        Robot.objects.update(deleted=True)
    else:
        path = "/s/%F0%9F%98%80/" if end == "malformed" else path.replace("a", "b", 1)[:-3] + "zz/"
    answer = Client().get(path)
    assert answer.status_code == never.status_code == 404
    assert answer.content == never.content
    assert b"Page not found" in answer.content


@pytest.mark.parametrize(("who", "status"), [("bob", 403), ("charlie", 404), ("dora", 404)])
def test_others_share_nothing_and_end_nothing(
    acme: Acme, run: Execution, who: str, status: int
) -> None:
    for what in pages(run).values():
        assert "Share…" in acme.get("alice", what)
        assert "Share…" not in acme.get(who, what)
        assert acme.browser(who).get(f"{what}share/").status_code == status
        assert acme.post(who, f"{what}share/", days=1).status_code == status
    assert not Share.objects.exists()
    path = link(acme, pages(run)["robot"])
    for deed in ("off", "on"):
        acme.said(who, f"/shares/{path.split('/')[2]}/{deed}/")
    assert Client().get(path).status_code == 200


@pytest.mark.parametrize("days", ["0", "366", "x", "-1"])
def test_a_wrong_time_is_said_at_its_field(acme: Acme, run: Execution, days: str) -> None:
    answer = acme.post("alice", f"{pages(run)['robot']}share/", days=days)
    assert answer.status_code == 422
    assert answer.context["form"].errors.keys() == {"days"}
    assert f'value="{days}"' in answer.content.decode()
    assert not Share.objects.exists()


def test_ones_own_are_listed_and_switched(acme: Acme, run: Execution) -> None:
    for what in pages(run).values():
        link(acme, what)
    client = acme.browser("alice")
    listed = client.get("/shares/").context["page"]
    assert [each.what for each in listed] == [run, run.robot]
    assert acme.browser("bob").get("/shares/").context["page"] == []
    key = listed[0].share_key
    assert "Switched off" in acme.post("alice", f"/shares/{key}/off/").content.decode()
    said = acme.said("alice", f"/shares/{key}/on/")
    assert said == (200, "The share can be read again, by the same link.")
    assert Client().get(f"/s/{key}/").status_code == 200
    Robot.objects.update(deleted=True)
    assert "no longer yours to see" in acme.get("alice", "/shares/")
