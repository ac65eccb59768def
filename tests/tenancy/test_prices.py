"""Lists cost the same number of queries however long they are."""

from typing import Any

import pytest
from django.db import connection, models
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from enterprises.models import EnterpriseUser
from executions.choices import TERMINAL, Origin, Status
from executions.models import Execution
from joining.models import Application, Invite
from robots.models import Robot
from sharing.models import Share
from spaces.models import Space, SpaceRole, SpaceUser
from tests.api.helpers import pages
from tests.factories import make_robot, make_user
from tests.tenancy.firm import Firm

pytestmark = pytest.mark.django_db
#: Two for the session and its user, the rest for the list; with permission to list where it has one of its own.
QUERIES = {
    "/api/v1/spaces/{space}/members/": 5,
    "/api/v1/spaces/{space}/applications/": 5,
    "/api/v1/enterprises/{enterprise}/members/": 5,
    "/api/v1/applications/": 3,
    "/api/v1/shares/": 3,
}
#: At most twenty are found, and one query asks for each thing about all of them.
SEARCH = "/api/v1/spaces/{space}/users/"


def fill(firm: Firm, rows: int) -> None:
    stan = firm.people["stan"]
    guests = [make_user(f"guest {rows} {number}") for number in range(rows)]
    EnterpriseUser.objects.bulk_create(
        EnterpriseUser(enterprise=firm.enterprise, user=guest) for guest in guests
    )
    SpaceUser.objects.bulk_create(
        SpaceUser(space=firm.space, user=guest, role=SpaceRole.MEMBER) for guest in guests
    )
    Application.objects.bulk_create(
        Application(enterprise=firm.enterprise, space=firm.space, applicant=each, status=3)
        for guest in guests
        for each in (guest, stan)
    )
    Share.objects.bulk_create(
        Share(sharer=stan, base_id=number, share_type=10, expire_time=timezone.now())
        for number in range(rows)
    )


def test_the_price_of_a_list_does_not_grow(firm: Firm) -> None:
    EnterpriseUser.objects.filter(user=firm.people["stan"]).update(role=2)
    client = firm.api(firm.people["stan"])
    names = {"space": firm.space.pk, "enterprise": firm.enterprise.pk}
    counts: dict[str, list[int]] = {path: [] for path in (*QUERIES, SEARCH)}
    for rows in (2, 30):
        fill(firm, rows)
        for path, found in counts.items():
            query = {"q": "guest"} if path == SEARCH else {}
            with CaptureQueriesContext(connection) as queries:
                assert client.get(path.format(**names), query).status_code == 200
            found.append(len(queries))
    assert counts == {path: [price] * 2 for path, price in (QUERIES | {SEARCH: 8}).items()}
    for path in QUERIES:
        walked = list(pages(client, path.format(**names), limit=10))
        assert [len(page) for page in walked[:3]] == [10, 10, 10], path
        assert len(client.get(SEARCH.format(**names), {"q": "guest"}).json()) == 20


#: Whatever an operator or an officer opens of a large enterprise.
MOST_QUERIES = 14


def test_a_large_enterprise_costs_no_more(firm: Firm, django_assert_max_num_queries: Any) -> None:
    """5,000 members, 200 spaces, 5,000 invites, 5,000 members in one of the spaces."""
    olga, house = firm.people["olga"], firm.enterprise
    people = models.QuerySet(User).bulk_create(
        [User(username=f"p{number}", uid=f"p{number}", password="!") for number in range(5000)]
    )
    uids = [f"p{number}" for number in range(len(people))]
    models.QuerySet(EnterpriseUser).bulk_create(
        EnterpriseUser(enterprise=house, user_id=uid, role=3, **_NOW) for uid in uids
    )
    models.QuerySet(Space).bulk_create(
        Space(name=f"S{number}", creator=olga, enterprise=house, **_NOW) for number in range(200)
    )
    rooms = list(Space.objects.filter(name__startswith="S").values_list("pk", flat=True))
    models.QuerySet(SpaceUser).bulk_create(
        [
            *(SpaceUser(space=firm.space, user_id=uid, role=3, **_NOW) for uid in uids),
            *(SpaceUser(space_id=key, user=olga, role=1, **_NOW) for key in rooms),
            *(SpaceUser(space_id=key, user_id="p1", role=3, **_NOW) for key in rooms),
        ]
    )
    models.QuerySet(Invite).bulk_create(
        Invite(
            type=2,
            enterprise=house,
            invitee_id=uid,
            inviter=olga,
            expire_time=timezone.now(),
            **_NOW,
        )
        for uid in uids
    )
    for who, opened in (("olga", _OF_OFFICER), ("stan", _OF_OWNER), ("root", _OF_OPERATOR)):
        client = firm.api(firm.people[who])
        for page in opened:
            path = page.format(space=firm.space.pk, enterprise=house.pk)
            with django_assert_max_num_queries(MOST_QUERIES):
                answer = client.get(path)
            assert answer.status_code == 200, path
            assert len(answer.content) < 1_000_000, path


def test_a_robot_in_each_of_two_hundred_spaces_costs_no_more(
    firm: Firm, django_assert_max_num_queries: Any
) -> None:
    """Nor do runs of every kind of each of them, so many of one that nobody counts them."""
    olga, people = firm.people["olga"], [firm.people[who] for who in ("olga", "gary", "sue")]
    pattern = make_robot(firm.space)
    rooms = [Space(name=f"S{n}", creator=olga, enterprise=firm.enterprise) for n in range(200)]
    models.QuerySet(Space).bulk_create([_stamped(room) for room in rooms])
    rooms = list(Space.objects.filter(name__startswith="S").order_by("pk"))
    models.QuerySet(SpaceUser).bulk_create(
        SpaceUser(space=room, user=user, role=1 if user == olga else 3, **_NOW)
        for room in rooms
        for user in people
    )
    models.QuerySet(Robot).bulk_create(
        Robot(space=room, name="one", created_by=olga, enabled_version=pattern.enabled_version)
        for room in rooms
    )
    robots = list(Robot.objects.filter(name="one").order_by("pk"))
    kinds = [*Status.values, *[Status.FAILED] * 25]
    _add_runs([(robot, kind) for kind in kinds for robot in robots])
    _add_runs([(robots[0], Status.PENDING)] * 1100)
    for who in ("olga", "gary", "sue", "root"):
        client = firm.api(firm.people[who])
        for page in ("/", "/?space=", "/robots/", "/executions/", "/executions/?status=FAILED"):
            with django_assert_max_num_queries(MOST_QUERIES):
                answer = client.get(page)
            assert answer.status_code == 200, page
        home = client.get("/").context
        said = home["counts"]
        assert said == {"pending": 1000, "running": 200, "completed": 200, "failed": 1000}
        assert home["over"] == {"pending", "failed"}
        assert [len(home[name]) for name in ("running", "recent")] == [20, 10]


def _stamped(space: Space) -> Space:
    space.create_time = space.update_time = timezone.now()
    return space


def _add_runs(of: list[tuple[Robot, str]]) -> None:
    now = timezone.now()
    Execution.objects.bulk_create(
        [
            Execution(
                robot=robot,
                version_id=robot.enabled_version_id,
                space_id=robot.space_id,
                requested_by_id=robot.created_by_id,
                origin=Origin.API,
                status=status,
                timeout_seconds=1,
                requested_at=now,
                finished_at=now if status in TERMINAL else None,
            )
            for robot, status in of
        ],
        batch_size=500,
    )


_NOW: dict[str, Any] = {"create_time": timezone.now(), "update_time": timezone.now()}
_OF_OFFICER = [
    "/api/v1/permissions/",
    "/api/v1/enterprises/",
    "/api/v1/enterprises/{enterprise}/",
    "/api/v1/enterprises/{enterprise}/permissions/",
    "/api/v1/enterprises/{enterprise}/members/?limit=200",
    "/api/v1/enterprises/{enterprise}/invites/?limit=200",
    "/api/v1/enterprises/{enterprise}/limits/",
    "/api/v1/enterprises/{enterprise}/counts/",
    "/api/v1/enterprises/{enterprise}/users/?q=p12",
    "/api/v1/spaces/?limit=200",
    "/api/v1/spaces/?limit=200&all=true&enterprise={enterprise}",
    "/api/v1/spaces/?deleted=true",
]
_OF_OWNER = [
    "/api/v1/spaces/{space}/",
    "/api/v1/spaces/{space}/permissions/",
    "/api/v1/spaces/{space}/members/?limit=200",
    "/api/v1/spaces/{space}/invites/",
    "/api/v1/spaces/{space}/applications/",
    "/api/v1/spaces/{space}/limits/",
    "/api/v1/spaces/{space}/users/?q=p12",
]
_OF_OPERATOR = [
    "/admin/enterprises/enterprise/",
    "/admin/enterprises/enterprise/{enterprise}/change/",
    "/admin/enterprises/enterprise/{enterprise}/history/",
    "/admin/enterprises/enterprise/{enterprise}/delete/",
    "/admin/enterprises/enterpriseuser/",
    "/admin/enterprises/enterpriseuser/?enterprise__id__exact={enterprise}&role__exact=3",
    "/admin/enterprises/enterpriseuser/?q=p12",
    "/admin/enterprises/enterprisepermission/",
    "/admin/enterprises/enterprisepermission/grid/",
    "/admin/spaces/space/",
    "/admin/spaces/space/{space}/change/",
    "/admin/spaces/spaceuser/?space__id__exact={space}",
    "/admin/spaces/spacepermission/grid/",
    "/admin/joining/invite/",
    "/admin/joining/application/",
    "/admin/accounts/user/",
    "/admin/accounts/user/?q=p12",
]
