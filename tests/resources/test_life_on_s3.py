"""The platform on a bucket: packages, runs, artifacts, sealed streams, direct uploads and downloads."""

import io
from collections.abc import AsyncIterable, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from asgiref.sync import async_to_sync
from django.core.files.base import ContentFile
from django.core.management import call_command
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from executions import sealing
from executions.choices import Status
from executions.models import Artifact, Execution, ExecutionSegment
from resources.s3 import Bucket
from robots.models import Robot
from spaces.models import Space
from tests.factories import make_execution, make_robot

pytestmark = pytest.mark.django_db(transaction=True)
Api = Callable[[User | None], APIClient]
SCRIPT = """\
import pathlib
for number in range(2000): print(f"line {number} of them")
pathlib.Path("output/my picture.svg").write_text("<svg/>")
"""


@pytest.fixture
def client(api: Api, people: dict[str, User]) -> APIClient:
    return api(people["alice"])


def test_a_run_is_read_from_the_bucket(
    bucket: Bucket, space: Space, finished: Callable[[Execution], Execution], client: APIClient
) -> None:
    execution = finished(make_execution(make_robot(space, source=SCRIPT)))
    assert execution.status == Status.COMPLETED
    path = f"/api/v1/executions/{execution.uid}/events/?limit=1000"
    before = client.get(path).json()
    assert sealing.seal(execution.pk)
    segment = ExecutionSegment.objects.get(execution=execution.pk)
    assert bucket.exists(segment.object_key)
    assert client.get(path).json() == before
    artifact = Artifact.objects.get(execution=execution)
    answer = client.get(f"/api/v1/executions/{execution.uid}/artifacts/{artifact.uid}/download/")
    if answer.status_code == 302:
        fetched = httpx.get(answer["Location"])
        assert fetched.status_code == 200
        assert fetched.headers["Content-Type"] == "image/svg+xml"
        assert 'attachment; filename="my picture.svg"' in fetched.headers["Content-Disposition"]
        assert fetched.content == b"<svg/>"
        assert httpx.get(answer["Location"].partition("?")[0]).status_code == 403
    else:
        content = async_to_sync(all_of)(answer.streaming_content)
        answer.close()
        assert (answer.status_code, content) == (200, b"<svg/>")


async def all_of(pieces: AsyncIterable[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


def begin(client: APIClient, robot: Robot) -> dict[str, Any]:
    answer = client.post(f"/api/v1/robots/{robot.uid}/uploads/", {"file_name": "second.py"})
    assert answer.status_code == 201, answer.content
    begun: dict[str, Any] = answer.json()
    return begun


def publish(client: APIClient, robot: Robot, token: str) -> Any:
    path = f"/api/v1/robots/{robot.uid}/versions/"
    return client.post(path, {"upload": token}, format="multipart")


def put(begun: dict[str, Any], content: bytes) -> int:
    files = {"file": ("second.py", io.BytesIO(content))}
    return httpx.post(begun["url"], data=begun["form"], files=files).status_code


@pytest.mark.parametrize("bucket", ["by presigned addresses"], indirect=True)
def test_a_package_may_go_straight_into_the_bucket(
    bucket: Bucket, space: Space, api: Api, people: dict[str, User], client: APIClient
) -> None:
    robot, other = make_robot(space), make_robot(space, name="other")
    begun = begin(client, robot)
    early = publish(client, robot, begun["upload"])
    assert (early.status_code, early.json()["code"]) == (422, "bad_upload")
    assert put(begun, b"print('second')\n") in (200, 204)
    # Nobody else's, nowhere else, nothing else.
    for who, where, token in (
        ("bob", robot, begun["upload"]),
        ("alice", other, begun["upload"]),
        ("alice", robot, begun["upload"] + "x"),
    ):
        refused = publish(api(people[who]), where, token)
        assert (refused.status_code, refused.json()["code"]) == (422, "bad_upload")
    published = publish(client, robot, begun["upload"])
    assert published.status_code == 201, published.content
    assert (published.json()["number"], published.json()["file_name"]) == (2, "second.py")
    assert bucket.listdir("uploads")[1] == []
    assert publish(client, robot, begun["upload"]).status_code == 422


@pytest.mark.parametrize("bucket", ["by presigned addresses"], indirect=True)
def test_an_upload_is_refused_by_the_bucket_where_it_is_too_large(
    bucket: Bucket, space: Space, client: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("robots.uploads.MAX_ARCHIVE_BYTES", 10)
    begun = begin(client, make_robot(space))
    assert put(begun, b"x" * 11) == 400
    assert put(begun, b"x" * 10) in (200, 204)


@pytest.mark.parametrize("bucket", ["by the platform"], indirect=True)
def test_where_clients_do_not_reach_the_bucket_they_are_told(
    bucket: Bucket, space: Space, client: APIClient
) -> None:
    robot = make_robot(space)
    answer = client.post(f"/api/v1/robots/{robot.uid}/uploads/", {"file_name": "x.py"})
    assert (answer.status_code, answer.json()["code"]) == (409, "direct_upload_not_offered")


def test_abandoned_uploads_are_swept(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = bucket.save("uploads/fresh", ContentFile(b"x"))
    call_command("prune", stdout=io.StringIO())
    assert bucket.exists(fresh)
    monkeypatch.setattr("robots.uploads._SWEEP_AFTER", timedelta(0))
    assert timezone.now() > bucket.get_modified_time(fresh)
    call_command("prune", stdout=io.StringIO())
    assert not bucket.exists(fresh)


def test_a_package_and_a_token_or_neither_is_refused(space: Space, client: APIClient) -> None:
    path = f"/api/v1/robots/{make_robot(space).uid}/versions/"
    file = ContentFile(b"print()", name="x.py")
    for sent in ({}, {"package": file, "upload": "x"}):
        assert client.post(path, sent, format="multipart").status_code == 400
