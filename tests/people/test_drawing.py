"""Every page of enterprises, spaces and people is drawn, in both languages, for whoever may see it."""

import re

import pytest
from django.urls import reverse

from accounts.actors import Actor
from accounts.models import User
from executions.models import Execution
from joining import services as joining
from joining.models import InviteRole
from robots.models import Robot
from sharing import services as sharing
from sharing.models import Share
from spaces.keys import make_key
from spaces.models import Space
from tests.factories import make_enterprise, make_space
from tests.pages.conftest import Browser
from tests.pages.test_rendering import drawn

pytestmark = pytest.mark.django_db
LISTS = ("spaces", "spaces-deleted", "space-new", "enterprises", "enterprises-deleted")
LISTS += ("enterprise-new", "invitations", "applications", "applications-mine")
HOSTILE = "<script>alert(1)</script>\"'&"
OF_PLACES = ("", "-members", "-invite", "-invites", "-settings", "-transfer", "-delete")


def everywhere(space: Space) -> list[str]:
    assert space.enterprise is not None
    places = {"space": space.pk, "enterprise": space.enterprise.pk}
    return [
        *(reverse(f"people:{name}") for name in LISTS),
        *(
            reverse(f"people:{kind}{name}", args=[pk])
            for kind, pk in places.items()
            for name in OF_PLACES
        ),
        reverse("people:enterprise-spaces", args=[space.enterprise.pk]),
        reverse("people:space-keys", args=[space.pk]),
        reverse("sharing:shares"),
    ]


@pytest.fixture
def busy(space: Space, robot: Robot, execution: Execution, people: dict[str, User]) -> Space:
    """Orders, with something of everything that a page can show."""
    alice, bob, dora = (people[name] for name in ("alice", "bob", "dora"))
    owner = Actor(alice)
    assert space.enterprise is not None
    joining.invite_user(space, dora.uid, InviteRole.MEMBER, by=owner)
    joining.invite_user(space.enterprise, dora.uid, InviteRole.ADMIN, by=owner)
    make_space("Closed", {alice: 1}, space.enterprise)
    joining.apply_to_join(make_space("Open", {alice: 1}, space.enterprise), by=Actor(bob))
    for what in (robot, execution):
        sharing.share(what, by=owner)
    make_key(space, by=owner, name=HOSTILE)
    for deleted in (make_space("Old", {alice: 1}), make_enterprise("Older", {alice: 1})):
        type(deleted).objects.filter(pk=deleted.pk).update(deleted=True)
    return space


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_every_page_is_drawn(strict: None, busy: Space, browser: Browser, language: str) -> None:
    for who in ("alice", "dora"):
        client = browser(who)
        client.cookies["django_language"] = language
        for path in everywhere(busy) if who == "alice" else map(reverse, ("people:invitations",)):
            assert f'<html lang="{language}"' in drawn(client, path)


def test_what_people_wrote_is_text(strict: None, busy: Space, browser: Browser) -> None:
    enterprise = busy.enterprise
    assert enterprise is not None
    for place in (busy, enterprise):
        place.name = HOSTILE
        place.avatar_url = '/"><script>alert(2)</script>'
        place.save()
    busy.description = HOSTILE
    busy.save()
    busy.members.update(nickname=HOSTILE)
    for path in [*everywhere(busy), f"{reverse('people:spaces')}?q=%3Cscript%3Ealert(1)"]:
        page = drawn(browser("alice"), path)
        assert "<script>alert" not in page, path
    for path in map(reverse, ("people:invitations", "people:applications-mine")):
        assert "<script>alert" not in drawn(browser("dora"), path)
        assert "<script>alert" not in drawn(browser("bob"), path)


def test_they_hold_no_inline_script_and_a_strict_policy(busy: Space, browser: Browser) -> None:
    shared = [reverse("sharing:shared", args=[each.share_key]) for each in Share.objects.all()]
    for path in [*everywhere(busy), *shared]:
        response = browser("alice").get(path)
        page = response.content.decode()
        for tag in re.findall(r"<script[^>]*>", page):
            assert "src=" in tag or 'type="application/json"' in tag, (path, tag)
        assert re.findall(r"<[^>]+\son\w+=|<[^>]+\sstyle=", page) == [], path
        assert "unsafe" not in response.headers["Content-Security-Policy"]
