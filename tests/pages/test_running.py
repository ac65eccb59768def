"""The pages that do something: run, run again, publish, enable."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from executions import lifecycle
from executions.choices import Origin, Status
from executions.events import Source
from executions.lifecycle import Ending
from executions.models import Execution
from robots import services as robot_services
from robots.models import Robot, RobotVersion
from spaces.models import Space, SpacePermission
from tests.factories import make_execution, make_robot, owner_of
from tests.pages.conftest import Browser

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("strict")]
FILLED = {
    "p.name": "Zoë",
    "p.story": "Once\nupon",
    "p.count": "4",
    "p.rate": "1.5",
    "p.loud": "true",
    "p.tone": "polite",
    "p.day": "2026-11-23",
    "p.at": "2026-11-23T19:00:00",
    "p.to": "zoe@example.org",
    "p.site": "https://example.org/",
    "p.secret": "hunter2",
    "p.items": "one\n\n two \n",
    "p.extra": '{"a": [1, null]}',
    "p.code": "ABC",
}
PARAMS = {
    "name": "Zoë",
    "story": "Once\nupon",
    "count": 4,
    "rate": 1.5,
    "loud": True,
    "tone": "polite",
    "day": "2026-11-23",
    "at": "2026-11-23T19:00:00Z",
    "to": "zoe@example.org",
    "site": "https://example.org/",
    "secret": "hunter2",
    "items": ["one", "two"],
    "extra": {"a": [1, None]},
    "code": "ABC",
}


def form_of(response: Any) -> dict[str, Any]:
    """The fields of the run form as a person sees them, by name."""
    return {each.name: each for each in response.context["fields"]}


def errors_in(response: Any) -> dict[str, str]:
    assert "⟦missing" not in response.content.decode()
    return {name: each.error for name, each in form_of(response).items() if each.error}


def test_a_filled_form_is_a_run(form_robot: Robot, browser: Browser) -> None:
    response = browser("bob").post(reverse("robot-run", args=[form_robot.uid]), FILLED)
    execution = Execution.objects.get()
    assert response.status_code == 302
    assert response["Location"] == reverse("execution", args=[execution.uid])
    assert execution.params == PARAMS
    assert (execution.origin, execution.requested_by.username) == (Origin.PAGE, "bob")


def test_empty_fields_are_left_to_their_defaults(form_robot: Robot, browser: Browser) -> None:
    empty = dict.fromkeys(FILLED, "")
    del empty["p.loud"]  # a browser sends no unchecked box
    path = reverse("robot-run", args=[form_robot.uid])
    assert browser("alice").post(path, {**empty, "p.name": "Zoë"}).status_code == 302
    params = Execution.objects.get().params
    assert params == {"name": "Zoë", "loud": False, "count": 3, "tone": "curt"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"p.name": ""}, "name"),
        ({"p.name": "Z"}, "name"),
        ({"p.count": "ten"}, "count"),
        ({"p.count": "10"}, "count"),
        ({"p.count": "1.5"}, "count"),
        ({"p.rate": "nan"}, "rate"),
        ({"p.rate": "0.7"}, "rate"),
        ({"p.tone": "rude"}, "tone"),
        ({"p.day": "2026-13-01"}, "day"),
        ({"p.extra": "{"}, "extra"),
        ({"p.extra": "[1]"}, "extra"),
        ({"p.extra": '{"a": NaN}'}, "extra"),
        ({"p.code": "abc"}, "code"),
    ],
)
def test_a_bad_field_is_named_and_nothing_typed_is_lost(
    form_robot: Robot, browser: Browser, change: dict[str, str], field: str
) -> None:
    response = browser("alice").post(
        reverse("robot-run", args=[form_robot.uid]), {**FILLED, **change}
    )
    assert response.status_code == 422
    assert list(errors_in(response)) == [field]
    assert not Execution.objects.exists()
    shown = form_of(response)
    assert shown["story"].value == "Once\nupon"
    assert str(shown[field].value or "") == change[f"p.{field}"] or field == "extra"


def test_a_field_that_cannot_be_checked_is_named(robot: Robot, browser: Browser) -> None:
    # Such a reference is refused today; a version of before may have one.
    fields = {"x": {"$ref": "#/foo"}, "list": {"type": "array", "items": {"type": ["string"]}}}
    schema = {"type": "object", "foo": [1], "properties": fields}
    RobotVersion.objects.filter(robot=robot).update(parameters=schema)
    path = reverse("robot-run", args=[robot.uid])
    assert errors_in(browser("alice").get(path)) == {}
    response = browser("alice").post(path, {"p.x": "1", "p.list": "[]"})
    assert response.status_code == 422
    assert errors_in(response) == {"x": "It cannot be checked."}


def test_a_number_stays_as_it_was_typed(form_robot: Robot, browser: Browser) -> None:
    client, path = browser("alice"), reverse("robot-run", args=[form_robot.uid])
    refused = client.post(path, {**FILLED, "p.rate": "3", "p.code": "abc"})
    assert form_of(refused)["rate"].value == "3"
    client.post(path, {**FILLED, "p.rate": "3"})
    assert json.dumps(Execution.objects.get().params["rate"]) == "3"


def test_run_is_offered_only_where_it_works(robot: Robot, space: Space, browser: Browser) -> None:
    resting = make_robot(space, name="resting")
    robot_services.enable_version(resting, None, by=owner_of(space))

    def offered(name: str) -> set[str]:
        pages = [browser(name).get(reverse(page)).content.decode() for page in ("home", "robots")]
        found = [set(re.findall(r'aria-label="Run ([^"]*)"', page)) for page in pages]
        assert found[0] == found[1]
        return found[0]

    assert offered("bob") == {robot.name}
    SpacePermission.objects.filter(permission_key="execution.run").update(member=False)
    assert offered("bob") == set()
    assert offered("alice") == {robot.name}
    form = browser("bob").get(reverse("robot-run", args=[robot.uid])).content.decode()
    assert '<button class="button is-primary"' not in form
    assert "You may look at this robot, but not run it" in form


def test_a_password_is_shown_to_nobody(form_robot: Robot, browser: Browser) -> None:
    """Neither in its field nor in the examples beside the form, whether filled in or run before."""
    client = browser("alice")
    bad = {**FILLED, "p.code": "abc"}
    assert b"hunter2" not in client.post(reverse("robot-run", args=[form_robot.uid]), bad).content
    execution = make_execution(form_robot, params=PARAMS)
    again = client.get(reverse("execution-rerun-form", args=[execution.uid]))
    assert b"hunter2" not in again.content


def test_pressing_twice_runs_once(form_robot: Robot, browser: Browser) -> None:
    client, path = browser("alice"), reverse("robot-run", args=[form_robot.uid])
    key = client.get(path).context["idempotency_key"]
    assert key
    assert key != client.get(path).context["idempotency_key"]
    sent = {**FILLED, "idempotency_key": key}
    locations = {client.post(path, sent)["Location"] for _ in range(2)}
    assert len(locations) == 1
    assert Execution.objects.count() == 1


def test_parameters_may_be_typed_as_json(robot: Robot, browser: Browser) -> None:
    client, path = browser("alice"), reverse("robot-run", args=[robot.uid])
    assert client.post(path, {"params": '{"a": [1, "张"]}'}).status_code == 302
    assert Execution.objects.get().params == {"a": [1, "张"]}
    for typed in ("{", "[1]", "5", '{"a": NaN}', '{"a": "' + "x" * 300_000 + '"}'):
        response = client.post(path, {"params": typed})
        assert response.status_code == 422
        assert response.context["error"]
        assert response.context["raw_value"] == typed
    assert Execution.objects.count() == 1


def test_a_resting_robot_says_why_it_does_not_run(robot: Robot, browser: Browser) -> None:
    robot_services.enable_version(robot, None, by=owner_of(robot.space))
    client, path = browser("alice"), reverse("robot-run", args=[robot.uid])
    assert client.get(path).status_code == 200
    response = client.post(path, {"params": "{}"})
    assert response.status_code == 422
    assert "has no enabled version" in response.content.decode()


def test_a_rerun_form_is_filled_with_what_ran(form_robot: Robot, browser: Browser) -> None:
    execution = make_execution(form_robot, params=PARAMS)
    client = browser("bob")
    path = reverse("execution-rerun-form", args=[execution.uid])
    response = client.get(path)
    shown = form_of(response)
    assert shown["name"].value == "Zoë"
    assert shown["items"].value == "one\ntwo"
    assert json.loads(shown["extra"].value) == PARAMS["extra"]
    assert (shown["count"].value, shown["tone"].value) == (4, "polite")
    client.post(path, FILLED)
    again = Execution.objects.latest("pk")
    assert again.rerun_of == execution
    assert again.params == PARAMS


def test_the_examples_run_what_the_form_shows(form_robot: Robot, browser: Browser) -> None:
    context = browser("alice").get(reverse("robot-run", args=[form_robot.uid])).context
    body = re.search(r"-d '(.*)'$", context["curl"], re.DOTALL)
    assert body is not None
    assert json.loads(body[1])["robot"] == str(form_robot.uid)
    assert f"manage.py run {form_robot.uid}" in context["cli"]


def uploads(name: str, content: bytes, /, **more: Any) -> dict[str, Any]:
    return {"package": SimpleUploadedFile(name, content), **more}


def test_a_package_becomes_a_robot(space: Space, browser: Browser) -> None:
    client = browser("bob")
    sent = uploads("tidy-up.py", b"print(1)\n", space=space.pk)
    response = client.post(reverse("robot-new"), sent)
    robot = Robot.objects.get()
    assert response["Location"] == reverse("robot", args=[robot.uid])
    assert (robot.name, robot.space) == ("tidy-up", space)


@pytest.mark.parametrize(
    ("name", "content", "field"),
    [("a.exe", b"MZ", "package"), ("a.zip", b"PK\x03\x04", "package"), ("a.py", b"", "package")],
)
def test_a_refused_package_leaves_nothing_behind(
    space: Space, browser: Browser, name: str, content: bytes, field: str
) -> None:
    sent = uploads(name, content, space=space.pk, name="mine")
    response = browser("alice").post(reverse("robot-new"), sent)
    assert response.status_code == 422
    assert list(response.context["form"].errors) == [field]
    assert "⟦missing" not in response.content.decode()
    assert not Robot.objects.exists()


def test_an_empty_form_is_told_what_it_lacks(space: Space, browser: Browser) -> None:
    response = browser("alice").post(reverse("robot-new"))
    assert response.status_code == 422
    assert set(response.context["form"].errors) == {"space", "package"}
    assert browser("alice").get(reverse("robot-new")).status_code == 200


def test_a_robot_is_put_only_where_one_may_publish(space: Space, browser: Browser) -> None:
    sent = uploads("a.py", b"print(1)\n", space=space.pk)
    response = browser("charlie").post(reverse("robot-new"), sent)
    assert response.status_code == 422
    assert list(response.context["form"].errors) == ["space"]
    assert "Orders" not in response.content.decode()


def test_a_name_that_is_taken_is_told(robot: Robot, space: Space, browser: Browser) -> None:
    sent = uploads("a.py", b"print(1)\n", space=space.pk, name=robot.name)
    response = browser("alice").post(reverse("robot-new"), sent)
    assert response.status_code == 422
    assert "already has a robot" in response.content.decode()


def told(response: Any) -> list[tuple[str, str]]:
    return [(each.level_tag, str(each)) for each in response.context["messages"]]


def test_versions_are_uploaded_and_enabled(robot: Robot, browser: Browser) -> None:
    client = browser("bob")
    upload = reverse("robot-upload", args=[robot.uid])
    assert told(client.post(upload, uploads("b.py", b"print(2)\n"), follow=True)) == [
        ("success", "Version 2 is published and enabled.")
    ]
    enable = reverse("version-enable", args=[robot.uid, 1])
    assert told(client.post(enable, follow=True)) == [("success", "Version 1 is enabled.")]
    robot.refresh_from_db()
    assert robot.enabled_version is not None
    assert robot.enabled_version.number == 1
    assert client.post(reverse("version-enable", args=[robot.uid, 3])).status_code == 404


def test_a_refused_upload_is_told(robot: Robot, browser: Browser) -> None:
    client, upload = browser("alice"), reverse("robot-upload", args=[robot.uid])
    assert told(client.post(upload, {}, follow=True)) == [("error", "Choose a file first.")]
    levels = [
        level for level, _text in told(client.post(upload, uploads("a.exe", b"MZ"), follow=True))
    ]
    assert levels == ["error"]
    assert robot.versions.count() == 1


def test_home_counts_what_is_to_be_looked_at(
    robot: Robot, execution: Execution, browser: Browser
) -> None:
    endings = [Status.COMPLETED, Status.COMPLETED, Status.FAILED, Status.CANCELLED, None]
    for ending in endings:
        run = make_execution(robot)
        lifecycle.start(run, Source("", 0, 0))
        if ending:
            lifecycle.finish(run.pk, Ending(ending))
    counts = browser("alice").get(reverse("home")).context["counts"]
    assert counts == {
        "running": 1,
        "pending": 1,
        "failed": 1,
        "completed": 2,
    }
    nothing = browser("charlie").get(reverse("home")).context
    assert set(nothing["counts"].values()) == {0}
    assert not nothing["recent"]
    assert not nothing["robots"]


def walked(client: Any, path: str, step: str) -> Iterator[list[int]]:
    """The keys of every page, from `path` on, by its `next_url` or `prev_url`."""
    while path:
        context = client.get(path).context
        yield [each.pk for each in context["page"]]
        path = context[step] and f"{reverse('executions')}{context[step]}"


def test_the_list_of_runs_is_walked_both_ways(robot: Robot, browser: Browser) -> None:
    first = make_execution(robot)
    fields = {
        "robot": robot,
        "version": first.version,
        "space": robot.space,
        "requested_by": first.requested_by,
        "origin": Origin.API,
        "timeout_seconds": 1,
    }
    Execution.objects.bulk_create(Execution(**fields) for _ in range(119))
    everything = list(Execution.objects.order_by("-pk").values_list("pk", flat=True))
    pages = list(walked(browser("alice"), reverse("executions"), "next_url"))
    assert [len(each) for each in pages] == [50, 50, 20]
    assert [each for page in pages for each in page] == everything
    last = f"{reverse('executions')}?before={pages[2][0] + 1}"
    back = list(walked(browser("alice"), last, "prev_url"))
    assert sorted((each for page in back for each in page), reverse=True) == everything


def test_runs_are_found_by_robot_and_status(robot: Robot, browser: Browser) -> None:
    first, second = make_execution(robot), make_execution(robot)

    def found(**query: object) -> list[Execution]:
        return list(browser("alice").get(reverse("executions"), query).context["page"])

    assert found(q="GREET") == [second, first]
    assert found(robot=robot.uid, status="PENDING") == [second, first]
    assert found(status="RUNNING") == []
    assert found(robot="nonsense") == []


@pytest.mark.parametrize(("who", "may"), [("alice", True), ("bob", False)])
def test_the_live_page_offers_only_what_is_allowed(
    execution: Execution, browser: Browser, who: str, may: bool
) -> None:
    response = browser(who).get(reverse("execution", args=[execution.uid]))
    assert response.context["can_cancel"] == may
    assert ('id="cancel"' in response.content.decode()) == may
    assert response.context["can_rerun"]
    for address in response.context["urls"].values():
        if not address.startswith("/ws/"):
            assert str(execution.uid) in address
