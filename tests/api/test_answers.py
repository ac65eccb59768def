"""Real answers of a filled house, each compared with what the API's description says of it."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone
from jsonschema import Draft202012Validator
from rest_framework.test import APIClient

from accounts.models import User
from enterprises.models import EnterpriseUser
from executions import lifecycle, streams
from executions.choices import EventKind, FailureReason, PendingReason, Status
from executions.events import Draft, Source
from executions.lifecycle import Ending
from executions.models import Execution, Runner
from joining import services as joining
from joining.models import InviteRole
from robots import services as robots
from robots.models import Robot, RobotVersion
from sharing import services as sharing
from spaces.models import Space, SpaceRole, SpaceUser
from tests.access.house import House, build_house
from tests.access.routes import ROUTES
from tests.access.test_route_walk import address, contents, knock
from tests.factories import make_execution, make_robot, make_space, make_user, owner_of

pytestmark = pytest.mark.django_db
Api = Callable[[User | None], APIClient]
#: The description itself.
UNDESCRIBED = ("api/v1/schema/", "api/v1/docs/")


class Description:
    """What the API says of itself, asked whether an answer is one of those."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.paths = schema["paths"]
        self._components = copy.deepcopy(schema["components"])
        for name, each in self._components["schemas"].items():
            # What no description names must not be answered. A problem says more where it can.
            if "properties" in each and name != "Problem":
                each.setdefault("additionalProperties", False)

    def faults(self, pattern: str, method: str, response: Any) -> list[str]:
        """What the answer to this method at an address of this pattern has that is not described."""
        names = re.sub(r"\(\?P<(\w+)>[^)]*\)|<\w+:(\w+)>", lambda m: f"{{{m[1] or m[2]}}}", pattern)
        path = f"/{names}"
        operations = self.paths.get(path) or self.paths[path.replace("{pk}", "{id}")]
        answers = operations[method.lower()]["responses"]
        name = f"{method} {path} {response.status_code}"
        described = answers.get(str(response.status_code))
        if described is None:
            if response.status_code < 400:
                return [f"{name}: not described"]
            described = self._components["responses"]["Problem"]
        contents = described.get("content")
        if contents is None:
            return [f"{name}: a body"] if not response.streaming and response.content else []
        kind = response["Content-Type"].partition(";")[0]
        if response.streaming:  # a file has the type that it has
            return []
        if kind not in contents:
            return [f"{name}: {kind}"]
        if not kind.endswith("json"):
            return []
        checked = {**contents[kind]["schema"], "components": self._components}
        validator = Draft202012Validator(
            checked, format_checker=Draft202012Validator.FORMAT_CHECKER
        )
        found = validator.iter_errors(json.loads(response.content))
        return [f"{name} {each.json_path}: {each.message[:200]}" for each in found]


@pytest.fixture
def description(client: Client) -> Description:
    return Description(client.get("/api/v1/schema/").json())


@pytest.fixture
def house(people: dict[str, User], space: Space) -> House:
    """One of everything, in each state that it can have."""
    built = build_house(people, space)
    things = built.things
    owner, robot = owner_of(things.space), things.robot
    resting = make_robot(things.space, name="resting")
    robots.enable_version(resting, None, by=owner)
    sharing.share(robot, by=owner, days=3)
    sharing.switch_off(sharing.share(resting, by=owner), by=owner)
    people["ivy"] = make_user("ivy")
    joining.invite_user(things.enterprise, people["ivy"].uid, InviteRole.MEMBER, by=owner)
    personal = make_space("Alice's", {owner.user: SpaceRole.OWNER})
    joining.invite_user(personal, people["charlie"].uid, InviteRole.MEMBER, by=owner)
    now = timezone.now()
    SpaceUser.objects.filter(user=owner.user).update(last_visit_time=now)
    EnterpriseUser.objects.filter(user=owner.user).update(last_visit_time=now)
    runner = Runner.objects.create(host="here", pid=1, slots=9, tier="process")
    for value in ({"a": 1}, ["a"], "text", 1.5, None):
        claimed, source = _started(make_execution(robot, by=people["bob"]), runner)
        drafts = [Draft(EventKind.RESULT, {"value": value})]
        lifecycle.finish(
            claimed, Ending(Status.COMPLETED, exit_code=0), drafts=drafts, source=source
        )
    for reason in FailureReason:
        lifecycle.finish(make_execution(robot).pk, Ending(Status.FAILED, reason, "It broke."))
    for why in PendingReason:
        lifecycle.explain_queueing(make_execution(robot).pk, why)
    lifecycle.finish(make_execution(robot, rerun_of=things.execution).pk, Ending(Status.CANCELLED))
    _started(make_execution(robot), runner)
    _tried_again(make_robot(things.space, name="patient"))
    return built


def _started(execution: Execution, runner: Runner) -> tuple[int, Source]:
    """The key of the run, which has begun, and where its next event comes from."""
    claimed = lifecycle.claim_next(runner, execution.pk)
    assert claimed is not None
    lifecycle.start(execution, Source(claimed[1], 0, 1))
    return execution.pk, Source(claimed[1], 1, 2)


def _tried_again(robot: Robot) -> None:
    """A run that failed, and the attempt that takes its place."""
    version = robot.enabled_version
    assert version is not None
    version.manifest["retry"] = {"max_attempts": 3, "backoff": 0, "on": ["error"]}
    RobotVersion.objects.filter(pk=version.pk).update(manifest=version.manifest)
    lifecycle.finish(make_execution(robot).pk, Ending(Status.FAILED, FailureReason.ERROR))
    assert Execution.objects.filter(robot=robot).count() == 2


def _deeds() -> Iterator[tuple[str, str]]:
    for pattern, methods in ROUTES.items():
        if pattern.startswith("api/v1/") and pattern not in UNDESCRIBED:
            yield from ((pattern, method) for method in methods)


@pytest.mark.parametrize("actor", ["owner", "operator", "stranger", "anonymous"])
def test_every_answer_is_as_described(house: House, description: Description, actor: str) -> None:
    faults: list[str] = []
    for pattern, method in _deeds():
        response = knock(house.clients[actor], method, pattern, house.things)
        faults += description.faults(pattern, method, response)
    assert faults == []


def test_each_of_a_list_is_described_by_itself(house: House, description: Description) -> None:
    """The states that things can have are in lists and at their own addresses."""
    client, faults, seen = house.clients["owner"], [], 0
    runs, robots = "api/v1/executions/", "api/v1/robots/"
    for pattern, own in (
        (runs, ["", "queue/", "events/", "artifacts/"]),
        (robots, ["", "versions/"]),
    ):
        listed = client.get(f"/{pattern}?limit=200")
        faults += description.faults(pattern, "GET", listed)
        for each in listed.json()["results"]:
            for part in own:
                answer = client.get(f"/{pattern}{each['id']}/{part}")
                faults += description.faults(f"{pattern}<uuid:uid>/{part}", "GET", answer)
                seen += 1
    for share in client.get("/api/v1/shares/").json()["results"]:
        answer = client.get(f"/api/v1/shares/{share['key']}/")
        faults += description.faults("api/v1/shares/<str:key>/", "GET", answer)
    assert faults == []
    assert seen > 40


def test_what_is_for_one_person_is_described(
    api: Api, people: dict[str, User], house: House, description: Description
) -> None:
    things, faults = house.things, []
    for user, pattern in (
        (things.invite.invitee, "api/v1/invites/"),
        (things.invite.invitee, "api/v1/invites/<str:token>/"),
        (people["charlie"], "api/v1/invites/"),
        (people["ivy"], "api/v1/invites/"),
        (things.application.applicant, "api/v1/applications/"),
        (things.space.creator, "api/v1/spaces/last/"),
        (things.space.creator, "api/v1/enterprises/last/"),
    ):
        response = api(user).get(address(pattern, things))
        assert response.status_code == 200
        faults += description.faults(pattern, "GET", response)
    accepting = "api/v1/invites/<str:token>/accept/"
    response = api(things.invite.invitee).post(address(accepting, things))
    assert response.status_code == 200
    assert [*faults, *description.faults(accepting, "POST", response)] == []


def test_lists_with_neighbours_and_filters_are_described(
    house: House, description: Description
) -> None:
    client, faults = house.clients["owner"], []
    first = client.get("/api/v1/executions/?limit=2")
    second = client.get(first.json()["next"])
    assert second.json()["next"]
    assert second.json()["previous"]
    empty = client.get("/api/v1/executions/?robot=00000000-0000-0000-0000-000000000000")
    wrong = client.get("/api/v1/executions/?status=nonsense")
    for response in (first, second, empty, wrong):
        faults += description.faults("api/v1/executions/", "GET", response)
    assert wrong.status_code == 400
    assert faults == []


def test_what_is_repeated_or_known_already_is_described(
    house: House, description: Description
) -> None:
    client, things = house.clients["owner"], house.things
    runs, rerun = "api/v1/executions/", "api/v1/executions/<uuid:uid>/rerun/"
    for pattern, body in ((runs, {"robot": str(things.robot.uid)}), (rerun, {})):
        for status in (201, 200):
            response = client.post(
                address(pattern, things),
                body,
                content_type="application/json",
                headers={"Idempotency-Key": f"again {pattern}"},
            )
            assert response.status_code == status
            assert description.faults(pattern, "POST", response) == []
    for pattern in ("api/v1/executions/<uuid:uid>/events/", "api/v1/shares/<str:key>/events/"):
        whole = client.get(address(pattern, things))
        known = {"If-None-Match": whole["ETag"]}
        response = client.get(address(pattern, things), headers=known)
        assert response.status_code == 304
        assert description.faults(pattern, "GET", response) == []


#: What is made there is read in a list, or by its new owner alone.
WITHOUT_ADDRESS = {
    "api/v1/spaces/<int:pk>/members/",
    "api/v1/spaces/<int:pk>/invites/",
    "api/v1/spaces/<int:pk>/api-keys/",
    "api/v1/enterprises/<int:pk>/invites/",
    "api/v1/robots/(?P<uid>[^/.]+)/versions/",
}


def test_what_was_made_is_at_its_location(house: House, description: Description) -> None:
    client, without = house.clients["owner"], set()
    for pattern, method in _deeds():
        if method != "POST":
            continue
        with transaction.atomic():
            sent = contents(method, pattern, house.things)
            answer = client.post(address(pattern, house.things), **sent)
            if answer.status_code == 201 and "Location" in answer:
                made = answer.json()
                there = client.get(answer["Location"])
                assert there.status_code == 200
                assert there.json() | made == made | there.json(), pattern
                path = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"{\1}", f"/{pattern}")
                described = description.paths[path]["post"]["responses"]["201"]
                assert "Location" in described["headers"]
            elif answer.status_code == 201:
                without.add(pattern)
            transaction.set_rollback(True)
    assert without == WITHOUT_ADDRESS


def test_a_file_in_the_object_storage_is_described(
    house: House, description: Description, monkeypatch: pytest.MonkeyPatch
) -> None:
    pattern = "api/v1/executions/<uuid:uid>/artifacts/<uuid:artifact>/download/"
    monkeypatch.setattr(streams, "objects", lambda: Elsewhere())
    response = house.clients["owner"].get(address(pattern, house.things))
    assert response.status_code == 302
    assert description.faults(pattern, "GET", response) == []


class Elsewhere:
    """An object storage that clients reach."""

    def download_address(self, key: str, **_more: Any) -> str:
        return f"https://objects.example.org/{key}"
