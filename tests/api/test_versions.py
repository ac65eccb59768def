"""Versions over REST: uploaded, refused, enabled, rolled back."""

import io
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from accounts.models import User
from robots import packages
from robots.models import Robot, RobotVersion
from tests.api.helpers import problem_of, wheres

pytestmark = pytest.mark.django_db
Api = Callable[[User | None], APIClient]
YAML = b"tasks:\n  Greet:\n    shell: python main.py\nartifactsDir: output\n"


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), content)
    return out.getvalue()


def member(name: str, content: bytes = b"x") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("robot.yaml", YAML)
        archive.writestr(name, content)
    return out.getvalue()


def upload(client: APIClient, robot: Robot, name: str, content: bytes, **more: Any) -> Any:
    file = SimpleUploadedFile(name, content)
    path = f"/api/v1/robots/{robot.uid}/versions/"
    return client.post(path, {"package": file, **more}, format="multipart")


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("second.py", b"print(2)\n", "script"),
        ("suite.robot", b"*** Tasks ***\nGreet\n    Log    hello\n", "suite"),
        ("robot.zip", zipped(robot_dot_yaml=YAML, main_dot_py=b"print(3)\n"), ""),
    ],
)
def test_each_kind_of_package_becomes_the_next_version(
    api: Api, people: dict[str, User], robot: Robot, name: str, content: bytes, kind: str
) -> None:
    response = upload(api(people["bob"]), robot, name, content, note="better")
    assert response.status_code == 201, response.content
    body = response.json()
    assert (body["number"], body["enabled"], body["note"]) == (2, True, "better")
    assert (body["file_name"], body["size"], body["created_by"]) == (name, len(content), "bob")
    version = robot.versions.get(number=2)
    assert kind in version.kind
    with default_storage.open(version.storage_key) as kept:
        assert kept.read() == content
    robot.refresh_from_db()
    assert robot.enabled_version == version


def test_a_version_may_wait(api: Api, people: dict[str, User], robot: Robot) -> None:
    body = upload(api(people["alice"]), robot, "b.py", b"print(2)\n", enable="false").json()
    assert not body["enabled"]
    robot.refresh_from_db()
    assert robot.enabled_version is not None
    assert robot.enabled_version.number == 1


def test_the_same_bytes_make_no_further_version(
    api: Api, people: dict[str, User], robot: Robot
) -> None:
    numbers = [
        upload(api(people["alice"]), robot, "b.py", b"print(2)\n").json()["number"] for _ in "ab"
    ]
    assert numbers == [2, 2]
    assert robot.versions.count() == 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("robot.exe", b"MZ\x90\x00"),
        ("robot", b"print(1)"),
        ("robot.zip", b"PK\x03\x04 and then nothing"),
        ("robot.zip", b"no archive at all"),
        ("robot.py", b"\xff\xfe\x00binary"),
        ("robot.zip", zipped(readme_dot_txt=b"no robot here")),
        ("robot.zip", zipped(robot_dot_yaml=b"tasks: [")),
        ("robot.zip", zipped(robot_dot_yaml=b"a: &a [*a, *a]\ntasks: *a")),
        ("robot.zip", member("../outside.py")),
        ("robot.zip", member("/etc/passwd")),
        ("robot.zip", member("C:\\windows\\x.py")),
        ("bomb.zip", member("bomb.bin", b"\0" * (8 * 2**20))[:4096]),
    ],
)
def test_a_hostile_package_is_refused_with_its_fault(
    api: Api, people: dict[str, User], robot: Robot, name: str, content: bytes
) -> None:
    response = upload(api(people["alice"]), robot, name, content)
    assert response.status_code == 422, response.content
    body = problem_of(response, 422, response.json()["code"])
    assert body["code"].startswith("package_")
    assert len(body["errors"]) == 1
    assert robot.versions.count() == 1


def test_an_empty_file_and_a_missing_one_are_named(
    api: Api, people: dict[str, User], robot: Robot
) -> None:
    alice, path = api(people["alice"]), f"/api/v1/robots/{robot.uid}/versions/"
    assert wheres(problem_of(upload(alice, robot, "a.py", b""), 400, "invalid")) == ["package"]
    missing = alice.post(path, {"note": "nothing"}, format="multipart")
    assert wheres(problem_of(missing, 400, "invalid")) == ["package"]
    text = alice.post(path, {"package": "print(1)"}, format="multipart")
    assert wheres(problem_of(text, 400, "invalid")) == ["package"]
    problem_of(alice.post(path, {"package": "print(1)"}), 415, "unsupported_media_type")


def test_a_package_over_the_limit_is_refused(
    api: Api, people: dict[str, User], robot: Robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"#" * (packages.MAX_SINGLE_FILE_BYTES + 1)
    problem_of(upload(api(people["alice"]), robot, "a.py", content), 422, "package_too_large")
    monkeypatch.setattr(packages, "MAX_ARCHIVE_BYTES", 100)
    problem_of(upload(api(people["alice"]), robot, "a.zip", b"PK" * 51), 422, "package_too_large")
    assert RobotVersion.objects.count() == 1


def test_a_broken_multipart_body_is_a_problem(
    api: Api, people: dict[str, User], robot: Robot
) -> None:
    path = f"/api/v1/robots/{robot.uid}/versions/"
    response = api(people["alice"]).post(path, b"oops", content_type="multipart/form-data")
    problem_of(response, 400, "parse_error")


def test_a_file_name_says_nothing_of_folders(
    api: Api, people: dict[str, User], robot: Robot
) -> None:
    body = upload(api(people["alice"]), robot, "..\\..\\b.py", b"print(2)\n").json()
    assert body["file_name"] == "b.py"


def enable(client: APIClient, robot: Robot, number: object) -> Any:
    return client.post(f"/api/v1/robots/{robot.uid}/enable/", {"version": number})


def test_a_rollback_enables_an_older_version(
    api: Api, people: dict[str, User], robot: Robot
) -> None:
    alice = api(people["alice"])
    upload(alice, robot, "b.py", b"print(2)\n")
    for wanted in (1, 2, None, 1):
        response = enable(alice, robot, wanted)
        assert (response.status_code, response.json()["enabled_version"]) == (200, wanted)
        robot.refresh_from_db()
        assert (robot.enabled_version.number if robot.enabled_version else None) == wanted
    flags = {
        each["number"]: each["enabled"]
        for each in alice.get(f"/api/v1/robots/{robot.uid}/versions/").json()["results"]
    }
    assert flags == {2: False, 1: True}


def test_only_an_existing_version_is_enabled(
    api: Api, people: dict[str, User], robot: Robot
) -> None:
    alice = api(people["alice"])
    for number in (0, 2, -1, 10**30):
        problem_of(enable(alice, robot, number), 404, "not_found")
    for nonsense in ("one", [1], {}):
        assert wheres(problem_of(enable(alice, robot, nonsense), 400, "invalid")) == ["version"]
    problem_of(alice.post(f"/api/v1/robots/{robot.uid}/enable/", {}), 400, "invalid")


def test_a_published_version_never_changes(robot: Robot) -> None:
    version = robot.versions.get()
    version.note = "rewritten"
    with pytest.raises(TypeError, match="never changes"):
        version.save()
