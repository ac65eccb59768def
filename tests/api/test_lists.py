"""Pages of lists: each row once, whatever is added meanwhile, at a price that does not grow."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from accounts.models import User
from executions.models import Artifact, Execution
from robots.models import Robot
from spaces.models import Space, SpaceRole
from tests.api.helpers import pages, problem_of, wheres
from tests.factories import make_execution, make_robot, make_space

pytestmark = pytest.mark.django_db
Api = Callable[[User | None], APIClient]
LIST = "/api/v1/executions/"


def test_a_walk_meets_each_run_once(api: Api, people: dict[str, User], robot: Robot) -> None:
    made = [str(make_execution(robot).uid) for _ in range(11)]
    found = list(pages(api(people["alice"]), LIST, limit=4))
    assert [len(each) for each in found] == [4, 4, 3]
    assert [row["id"] for page in found for row in page] == made[::-1]


def test_rows_that_come_meanwhile_disturb_no_walk(
    api: Api, people: dict[str, User], robot: Robot
) -> None:
    made = [str(make_execution(robot).uid) for _ in range(7)]
    met = []
    for page in pages(api(people["alice"]), LIST, limit=2):
        met += [row["id"] for row in page]
        make_execution(robot)
    assert met == made[::-1]


def test_one_may_walk_back(api: Api, people: dict[str, User], robot: Robot) -> None:
    for _number in range(5):
        make_execution(robot)
    alice = api(people["alice"])
    first = alice.get(LIST, {"limit": 2}).json()
    second = alice.get(first["next"]).json()
    assert first["previous"] is None
    assert alice.get(second["previous"]).json()["results"] == first["results"]


@pytest.mark.parametrize(
    ("limit", "rows"), [("1", 1), ("200", 60), ("201", 60), ("9" * 18, 60), ("", 50)]
)
def test_a_limit_that_is_too_large_counts_as_the_largest(
    api: Api, people: dict[str, User], robot: Robot, limit: str, rows: int
) -> None:
    first = make_execution(robot)
    fields = {
        "robot": robot,
        "version": first.version,
        "space": robot.space,
        "requested_by": people["alice"],
        "origin": "api",
        "timeout_seconds": 1,
    }
    Execution.objects.bulk_create(Execution(**fields) for _ in range(59))
    assert len(api(people["alice"]).get(LIST, {"limit": limit}).json()["results"]) == rows


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1.5", "²", "٣", "007", "9" * 5000])
@pytest.mark.parametrize("path", ["executions/", "robots/", "spaces/", "enterprises/", "invites/"])
def test_what_is_no_limit_is_refused(
    api: Api, people: dict[str, User], robot: Robot, path: str, limit: str
) -> None:
    answer = api(people["alice"]).get(f"/api/v1/{path}", {"limit": limit})
    assert wheres(problem_of(answer, 422, "invalid")) == ["limit"]


@pytest.mark.parametrize("value", ["x", "2", "yes", "tru", "\0"])
@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("executions/", "mine"),
        ("spaces/", "personal"),
        ("spaces/", "all"),
        ("spaces/", "deleted"),
        ("enterprises/", "deleted"),
    ],
)
def test_a_switch_that_is_neither_on_nor_off_is_refused(
    api: Api, people: dict[str, User], robot: Robot, path: str, name: str, value: str
) -> None:
    answer = api(people["alice"]).get(f"/api/v1/{path}", {name: value})
    assert wheres(problem_of(answer, 400, "invalid")) == [name]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("executions/", "space"),
        ("robots/", "space"),
        ("spaces/", "enterprise"),
        ("spaces/{space}/members/", "role"),
        ("spaces/{space}/invites/", "status"),
        ("spaces/{space}/applications/", "status"),
        ("enterprises/{enterprise}/members/", "role"),
        ("enterprises/{enterprise}/invites/", "status"),
        ("applications/", "status"),
        ("invites/", "status"),
    ],
)
def test_a_number_has_the_digits_of_ascii(
    api: Api, people: dict[str, User], space: Space, path: str, name: str
) -> None:
    alice = api(people["alice"])
    address = "/api/v1/" + path.format(space=space.pk, enterprise=space.enterprise_id)
    for value in ("x", "٣", "1_0", "1.0", "+1", "\0", "1" * 5000):
        body = problem_of(alice.get(address, {name: value}), 400, "invalid")
        assert wheres(body) == [name]
    for unknown in ("0", "-1", "9" * 30):
        assert alice.get(address, {name: unknown}).json()["results"] == []


def test_an_address_has_the_digits_of_ascii(
    api: Api, people: dict[str, User], space: Space
) -> None:
    alice = api(people["alice"])
    for kind, key in (("spaces", space.pk), ("enterprises", space.enterprise_id)):
        arabic = str(key).translate({ord("0") + digit: 0x660 + digit for digit in range(10)})
        assert alice.get(f"/api/v1/{kind}/{key}/").status_code == 200
        for wrong in (arabic, f"+{key}", f" {key}", f"{key}_0", "9" * 30, "x"):
            problem_of(alice.get(f"/api/v1/{kind}/{wrong}/"), 404, "not_found")


@pytest.mark.parametrize("cursor", ["nonsense", "cj0xJnA9eA==", "cD0xMDAwMDAwMDAwMDAwMDAwMDAwMDA="])
def test_a_bad_cursor_is_a_problem(
    api: Api, people: dict[str, User], execution: Execution, cursor: str
) -> None:
    problem_of(api(people["alice"]).get(f"{LIST}?cursor={cursor}"), 404, "not_found")


#: How many queries a list costs: two for the session and its user, the rest for the list.
QUERIES = {
    "/api/v1/executions/": 6,
    "/api/v1/robots/": 3,
    "/api/v1/spaces/": 3,
    "/api/v1/enterprises/": 3,
    "/api/v1/robots/{robot}/versions/": 4,
    "/api/v1/executions/{execution}/artifacts/": 4,
    "/api/v1/executions/{execution}/events/": 5,
    "/api/v1/executions/{execution}/": 3,
    "/api/v1/robots/{robot}/": 3,
}


def fill(people: dict[str, User], robot: Robot, execution: Execution, rows: int) -> None:
    """`rows` more of everything that a list shows."""
    alice = people["alice"]
    taken = Robot.objects.count()
    for number in range(taken, taken + rows):
        make_execution(robot, rerun_of=execution)
        make_robot(robot.space, name=f"robot {number}", source=f"print({number})\n")
        make_space(f"space {number}", {alice: SpaceRole.OWNER})
        version = robot.versions.latest("number")
        version.pk, version.number, version._state.adding = None, version.number + 1, True
        version.save()
        Artifact.objects.create(
            execution=execution, name=f"{number}.txt", size=1, content_type="text/plain"
        )


@pytest.mark.parametrize("path", QUERIES)
def test_the_price_of_a_list_does_not_grow(
    api: Api,
    people: dict[str, User],
    robot: Robot,
    execution: Execution,
    space: Space,
    path: str,
) -> None:
    alice = api(people["alice"])
    address = path.format(robot=robot.uid, execution=execution.uid)
    counts = []
    for rows in (2, 18):
        fill(people, robot, execution, rows)
        with CaptureQueriesContext(connection) as queries:
            assert alice.get(address).status_code == 200
        counts.append(len(queries))
    assert counts == [QUERIES[path]] * 2, [each["sql"] for each in queries.captured_queries]
