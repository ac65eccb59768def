"""Files of a run: listed, and downloaded in a way that no browser runs."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from rest_framework.test import APIClient

from accounts.models import ApiKey, User
from executions.models import Artifact, Execution
from tests.api.helpers import problem_of
from tests.interop.wire import Call

pytestmark = pytest.mark.django_db
Api = Callable[[User | None], APIClient]
CONTENT = b"<script>alert(1)</script>" * 20_000


def keep(execution: Execution, name: str, content_type: str = "text/html") -> Artifact:
    return Artifact.objects.create(
        execution=execution,
        name=name,
        size=len(CONTENT),
        content_type=content_type,
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        storage_key=default_storage.save("artifacts/kept", ContentFile(CONTENT)),
    )


def whole(response: Any) -> bytes:
    async def read() -> bytes:
        return b"".join([chunk async for chunk in response.streaming_content])

    return async_to_sync(read)()


def test_files_are_listed_with_where_to_get_them(
    api: Api, people: dict[str, User], execution: Execution
) -> None:
    artifact = keep(execution, "deep/page.html")
    found = api(people["bob"]).get(f"/api/v1/executions/{execution.uid}/artifacts/").json()
    assert [(each["name"], each["size"]) for each in found] == [("deep/page.html", len(CONTENT))]
    assert found[0]["id"] == str(artifact.uid)
    assert found[0]["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    response = api(people["bob"]).get(found[0]["url"])
    assert whole(response) == CONTENT


def test_a_download_is_an_attachment_that_no_browser_runs(
    api: Api, people: dict[str, User], execution: Execution
) -> None:
    artifact = keep(execution, "deep/page.html")
    path = f"/api/v1/executions/{execution.uid}/artifacts/{artifact.uid}/download/"
    response = api(people["alice"]).get(path)
    assert response["Content-Disposition"] == 'attachment; filename="page.html"'
    assert response["Content-Type"] == "text/html"
    assert response["Content-Length"] == str(len(CONTENT))
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert response["Cache-Control"] == "no-cache, no-transform"
    assert whole(response) == CONTENT


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("发票.pdf", "attachment; filename*=utf-8''%E5%8F%91%E7%A5%A8.pdf"),
        ('a"b.txt', 'attachment; filename="a\\"b.txt"'),
        ("a\r\nSet-Cookie: x=1", None),
    ],
)
def test_a_file_name_is_quoted(
    api: Api, people: dict[str, User], execution: Execution, name: str, header: str | None
) -> None:
    artifact = keep(execution, name)
    path = f"/api/v1/executions/{execution.uid}/artifacts/{artifact.uid}/download/"
    response = api(people["alice"]).get(path)
    assert response.status_code == 200
    assert "Set-Cookie" not in response
    if header:
        assert response["Content-Disposition"] == header
    whole(response)


def test_a_file_that_storage_lost_is_gone(
    api: Api, people: dict[str, User], execution: Execution
) -> None:
    artifact = keep(execution, "page.html")
    default_storage.delete(artifact.storage_key)
    path = f"/api/v1/executions/{execution.uid}/artifacts/{artifact.uid}/download/"
    problem_of(api(people["alice"]).get(path), 404, "artifact_gone")


@pytest.mark.parametrize(
    ("who", "answer"), [("bob", 200), ("charlie", 404), ("dora", 404), (None, 401)]
)
def test_only_members_download(
    api: Api, people: dict[str, User], execution: Execution, who: str | None, answer: int
) -> None:
    artifact = keep(execution, "page.html")
    path = f"/api/v1/executions/{execution.uid}/artifacts/{artifact.uid}/download/"
    response = api(people[who] if who else None).get(path)
    assert response.status_code == answer
    if answer == 200:
        whole(response)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every file that storage opens from now on."""
    files: list[Any] = []
    opening = default_storage.open

    def noting(name: str, mode: str = "rb") -> Any:
        files.append(opening(name, mode))
        return files[-1]

    monkeypatch.setattr(default_storage, "open", noting)
    return files


def left_after_one_piece(response: Any) -> None:
    async def read() -> None:
        async for _piece in response.streaming_content:
            break

    async_to_sync(read)()
    response.close()


@pytest.mark.parametrize("leave", [whole, left_after_one_piece, lambda response: response.close()])
def test_a_download_closes_its_file_however_it_ends(
    api: Api,
    people: dict[str, User],
    execution: Execution,
    opened: list[Any],
    leave: Callable[[Any], None],
) -> None:
    artifact = keep(execution, "page.html")
    path = f"/api/v1/executions/{execution.uid}/artifacts/{artifact.uid}/download/"
    response = api(people["alice"]).get(path)
    assert [each.closed for each in opened] == [False]
    leave(response)
    assert [each.closed for each in opened] == [True]


def test_the_head_of_a_download_is_all_but_the_file(
    api: Api, people: dict[str, User], execution: Execution, opened: list[Any]
) -> None:
    artifact = keep(execution, "page.html")
    path = f"/api/v1/executions/{execution.uid}/artifacts/{artifact.uid}/download/"
    response = api(people["alice"]).head(path)
    assert response.status_code == 200
    assert response["Content-Length"] == str(len(CONTENT))
    assert response["Content-Disposition"] == 'attachment; filename="page.html"'
    assert b"".join(response.streaming_content) == b""
    assert all(each.closed for each in opened)
    problem_of(api(people["charlie"]).get(path), 404, "not_found")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_is_done_to_a_file(
    people: dict[str, User], execution: Execution, method: str
) -> None:
    artifact = keep(execution, "page.html")
    path = f"/api/v1/executions/{execution.uid}/artifacts/{artifact.uid}/download/"
    client = APIClient(enforce_csrf_checks=True)
    response = client.generic(method, path)
    problem_of(response, 405, "method_not_allowed")
    assert response["Allow"] == "GET, HEAD"


@pytest.mark.django_db(transaction=True)
async def test_a_client_that_hangs_up_leaves_no_file_open(
    people: dict[str, User],
    execution: Execution,
    opened: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("executions.streams._CHUNK", 10)  # so that it is far from done
    artifact = await sync_to_async(keep)(execution, "page.html")
    _key, secret = await sync_to_async(ApiKey.issue)(user=people["alice"], name="ci")
    path = f"/api/v1/executions/{execution.uid}/artifacts/{artifact.uid}/download/"
    call = await Call(b"", method="GET", path=path, token=secret).open()
    assert call.status == 200
    assert await call.chunk()
    assert [each.closed for each in opened] == [False]
    await call.hang_up()
    assert [each.closed for each in opened] == [True]
