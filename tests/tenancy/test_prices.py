"""Lists cost the same number of queries however long they are."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from enterprises.models import EnterpriseUser
from joining.models import Application
from sharing.models import Share
from spaces.models import SpaceRole, SpaceUser
from tests.api.helpers import pages
from tests.factories import make_user
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
