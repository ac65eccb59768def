"""With five thousand members and two hundred spaces in one enterprise, every page costs a few queries."""

from collections.abc import Iterator
from datetime import timedelta
from typing import TypeVar

import pytest
from django.db import connection
from django.db.models import Model, QuerySet
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from enterprises.models import EnterpriseUser
from joining.models import Application, Invite
from sharing.models import Share
from spaces.models import Space, SpaceUser
from tests.factories import make_execution, make_robot
from tests.people.conftest import Acme
from tests.people.test_drawing import everywhere

M = TypeVar("M", bound=Model)
pytestmark = pytest.mark.django_db
MEMBERS, SPACES, MOST = 5000, 200, 14


def plain(model: type[M]) -> QuerySet[M]:
    """Rows whose making nobody audits: of so many that takes minutes."""
    return QuerySet(model)


def crowd(acme: Acme) -> None:
    """Alice owns all of the spaces; everybody is in Orders; hundreds are invited, or have applied."""
    alice = acme.people["alice"]
    plain(User).bulk_create(
        User(username=f"member-{number:04}", uid=f"uid-{number}") for number in range(MEMBERS)
    )
    people = list(User.objects.filter(username__startswith="member-"))
    plain(Space).bulk_create(
        Space(name=f"Space {number}", creator=alice, enterprise=acme.enterprise)
        for number in range(SPACES)
    )
    spaces = list(Space.objects.filter(name__startswith="Space "))
    now = timezone.now()
    plain(EnterpriseUser).bulk_create(
        EnterpriseUser(enterprise=acme.enterprise, user=each) for each in people
    )
    plain(SpaceUser).bulk_create(SpaceUser(space=acme.space, user=each) for each in people)
    plain(SpaceUser).bulk_create(
        SpaceUser(space=each, user=alice, role=1, last_visit_time=now) for each in spaces
    )
    plain(Application).bulk_create(
        Application(enterprise=acme.enterprise, space=space, applicant=each)
        for space, each in zip(spaces * 2, people, strict=False)
    )
    plain(Invite).bulk_create(
        Invite(
            type=kind,
            space=space,
            enterprise=acme.enterprise,
            invitee=invitee,
            inviter=alice,
            expire_time=now + timedelta(days=1),
        )
        for number, each in enumerate(people[:300])
        for kind, space, invitee in (
            (1, acme.space, each),
            (2, None, each),
            (1, spaces[number % SPACES], alice),
        )
    )


def paths(acme: Acme) -> Iterator[str]:
    robot = make_robot(acme.space)
    run = make_execution(robot)
    plain(Share).bulk_create(
        Share(sharer=acme.people["alice"], base_id=pk, share_type=kind)
        for pk, kind in [(robot.pk, 10), (run.pk, 11)] * 100
    )
    member, invite = acme.uid("bob"), Invite.objects.filter(invitee=acme.people["alice"]).first()
    assert invite is not None
    yield from everywhere(acme.space)
    yield from ("/", "/robots/", "/executions/", "/shares/", "/applications/?all=1")
    yield from (f"/robots/{robot.uid}/", f"/executions/{run.uid}/")
    yield from (f"/robots/{robot.uid}/share/", f"/executions/{run.uid}/share/")
    yield from (f"{start}members/{member}/remove/" for start in (acme.at(), acme.inside()))
    yield from (f"{acme.inside('invite/')}?q=member", f"{acme.at('members/')}?q=member-0&role=3")
    yield from (f"{acme.at('invites/')}?status=", f"/invites/{invite.token}/", "/invites/?all=1")
    yield f"/applications/?space={acme.space.pk}"


def test_every_page_of_a_large_enterprise(acme: Acme) -> None:
    crowd(acme)
    alice: Client = acme.browser("alice")
    dear = {}
    for path in paths(acme):
        with CaptureQueriesContext(connection) as queries:
            answer = alice.get(path)
        assert answer.status_code == 200, path
        if len(queries) > MOST:
            dear[path] = len(queries)
        assert len(answer.context.get("page") or []) <= 50
    assert dear == {}
