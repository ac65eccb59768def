"""Events and log text over REST: any cursor, any limit, the same stream."""

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.files.storage import default_storage
from django.core.management import call_command
from rest_framework.test import APIClient

from accounts.models import User
from executions import lifecycle, retention, sealing, segments
from executions.choices import EventKind, Status
from executions.events import Draft, Source, append
from executions.hub import hub
from executions.lifecycle import Ending
from executions.models import Execution, ExecutionSegment, ExecutionStream
from tests.api.helpers import problem_of, wheres

pytestmark = pytest.mark.django_db
Api = Callable[[User | None], APIClient]


@pytest.fixture
def path(execution: Execution) -> str:
    """The events of a run that has said twenty lines, ten at a time, and has ended."""
    lifecycle.start(execution, Source("", 0, 0))
    for first in (0, 10):
        lines = [f"line {number}" for number in range(first, first + 10)]
        append(execution.pk, [Draft(EventKind.LOG, {"stream": "stdout"}, lines)])
    result = Draft(EventKind.RESULT, {"value": {"ok": True}})
    lifecycle.finish(execution.pk, Ending(Status.COMPLETED, exit_code=0), drafts=[result])
    return f"/api/v1/executions/{execution.uid}/events/"


def get(client: APIClient, path: str, **query: Any) -> dict[str, Any]:
    response = client.get(path, query)
    assert response.status_code == 200, response.content
    body: dict[str, Any] = response.json()
    return body


def test_the_whole_stream_is_one_page(api: Api, people: dict[str, User], path: str) -> None:
    body = get(api(people["alice"]), path)
    assert [each["seq"] for each in body["events"]] == [1, 2, 3, 4, 5, 6]
    kinds = [each["kind"] for each in body["events"]]
    assert kinds == ["status", "status", "log", "log", "result", "status"]
    assert (body["last_seq"], body["epoch"], body["closed"]) == (6, 1, True)
    assert [each["data"].get("first_line") for each in body["events"][2:4]] == [1, 11]
    assert body["events"][4]["data"] == {"value": {"ok": True}}
    assert body["events"][5]["data"]["exit_code"] == 0
    assert all(set(each) == {"seq", "kind", "at", "data"} for each in body["events"])
    assert all(each["at"].endswith("Z") for each in body["events"])


@pytest.mark.parametrize(
    ("after", "first"),
    [("", 1), ("0", 1), ("3", 4), ("1:3", 4), (" 3 ", 4), ("5", 6), ("6", None), ("1:6", None)],
)
def test_a_cursor_is_a_number_with_or_without_epoch(
    api: Api, people: dict[str, User], path: str, after: str, first: int | None
) -> None:
    events = get(api(people["alice"]), path, after=after)["events"]
    assert [each["seq"] for each in events] == (list(range(first, 7)) if first else [])


@pytest.mark.parametrize("after", ["7", "999", "2:5", "2:0", "0:3", "2:999"])
def test_a_cursor_of_another_stream_starts_again(
    api: Api, people: dict[str, User], path: str, after: str
) -> None:
    body = get(api(people["alice"]), path, after=after)
    assert [each["seq"] for each in body["events"]] == [1, 2, 3, 4, 5, 6]
    assert (body["reset"], body["epoch"]) == (True, 1)
    assert get(api(people["alice"]), path, after="5")["reset"] is False


def test_after_a_restore_a_cursor_of_before_starts_again(
    api: Api, people: dict[str, User], execution: Execution
) -> None:
    client, path = api(people["alice"]), f"/api/v1/executions/{execution.uid}/events/"
    append(execution.pk, [Draft(EventKind.LOG, {"stream": "stdout"}, ["line"])])
    before = client.get(path, {"after": "1"})
    call_command("restored", stdout=StringIO())
    again = client.get(path, {"after": "1"}, HTTP_IF_NONE_MATCH=before["ETag"])
    assert (again.json()["reset"], len(again.json()["events"])) == (True, 2)
    known = get(client, path, after="2:1")
    assert (known["reset"], [each["seq"] for each in known["events"]]) == (False, [2])


@pytest.mark.parametrize(
    "after", ["-1", "x", "1.5", "1:", ":1", "1:2:3", "1e3", "9" * 30, "٣", "1:٣", "٣:1"]
)
def test_another_cursor_is_refused(
    api: Api, people: dict[str, User], path: str, after: str
) -> None:
    body = problem_of(api(people["alice"]).get(path, {"after": after}), 422, "invalid")
    assert wheres(body) == ["after"]


@pytest.mark.parametrize(("limit", "rows"), [("1", 1), ("5", 5), ("1000", 6), ("", 6)])
def test_a_limit_bounds_the_page(
    api: Api, people: dict[str, User], path: str, limit: str, rows: int
) -> None:
    assert len(get(api(people["alice"]), path, limit=limit)["events"]) == rows


@pytest.mark.parametrize(
    "limit", ["0", "1001", "-1", "x", "1.5", "²", "0000001000000", "000000001" * 600, "9" * 5000]
)
def test_a_limit_outside_the_edges_is_refused(
    api: Api, people: dict[str, User], path: str, limit: str
) -> None:
    body = problem_of(api(people["alice"]).get(path, {"limit": limit}), 422, "invalid")
    assert wheres(body) == ["limit"]


def test_pages_of_one_are_the_stream(api: Api, people: dict[str, User], path: str) -> None:
    seen: list[dict[str, Any]] = []
    while True:
        page = get(api(people["alice"]), path, after=seen[-1]["seq"] if seen else "", limit=1)
        seen += page["events"]
        if page["closed"] and seen[-1]["seq"] == page["last_seq"]:
            break
    assert seen == get(api(people["alice"]), path)["events"]


def streamed(response: Any) -> bytes:
    async def read() -> bytes:
        return b"".join([chunk async for chunk in response.streaming_content])

    return async_to_sync(read)()


def test_the_log_is_text_to_keep(
    api: Api, people: dict[str, User], path: str, execution: Execution
) -> None:
    response = api(people["bob"]).get(path.replace("/events/", "/log/"))
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert response["Content-Disposition"] == f'attachment; filename="{execution.uid}.log"'
    assert response["X-Content-Type-Options"] == "nosniff"
    assert streamed(response).decode() == "".join(f"line {number}\n" for number in range(20))


def test_a_run_without_output_has_an_empty_log(
    api: Api, people: dict[str, User], execution: Execution
) -> None:
    response = api(people["alice"]).get(f"/api/v1/executions/{execution.uid}/log/")
    assert streamed(response) == b""


@pytest.mark.django_db(transaction=True)
def test_a_log_of_which_a_part_is_missing_is_cut_off(
    api: Api, people: dict[str, User], path: str, execution: Execution
) -> None:
    sealing.seal(execution.pk)
    segments._member.cache_clear()
    default_storage.delete(ExecutionSegment.objects.get().object_key)
    response = api(people["alice"]).get(path.replace("/events/", "/log/"))
    assert response.status_code == 200  # the head is sent before anything is read
    with pytest.raises(LookupError, match="no event 1"):
        streamed(response)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_log_says_what_is_no_longer_kept(
    api: Api, people: dict[str, User], path: str, execution: Execution, when: str
) -> None:
    def remove() -> None:
        retention.remove(ExecutionStream.objects.get(pk=execution.pk))

    if when == "before":
        remove()
    response = api(people["alice"]).get(path.replace("/events/", "/log/"))
    if when == "meanwhile":
        remove()
    assert streamed(response) == b"[Events 1 to 6 are no longer kept.]\n"


def test_a_reader_who_has_all_is_told_to_stop(api: Api, people: dict[str, User], path: str) -> None:
    stream = path.replace("/events/", "/stream")
    assert api(people["alice"]).get(stream, {"after": "6"}).status_code == 204
    assert api(people["alice"]).get(stream, headers={"Last-Event-ID": "6"}).status_code == 204
    # An EventSource comes back to the address that it first opened, and says where it is by the header.
    back = api(people["alice"]).get(stream, {"after": "2"}, headers={"Last-Event-ID": "6"})
    assert back.status_code == 204
    bad = api(people["alice"]).get(stream, {"after": "x"})
    assert wheres(problem_of(bad, 422, "invalid")) == ["after"]


@pytest.mark.django_db(transaction=True)
def test_server_sent_events_are_the_same_stream(
    api: Api, people: dict[str, User], path: str
) -> None:
    response = api(people["alice"]).get(path.replace("/events/", "/stream"), {"after": "2"})
    assert response["Content-Type"] == "text/event-stream; charset=utf-8"
    assert response["Cache-Control"] == "no-cache, no-transform"
    assert response["X-Accel-Buffering"] == "no"

    async def read() -> bytes:
        whole = b"".join([chunk async for chunk in response.streaming_content])
        hub().close()
        return whole

    blocks = async_to_sync(read)().decode().strip().split("\n\n")
    fields = [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]
    assert [each["event"] for each in fields] == ["log", "log", "result", "status", "end"]
    assert [each["id"] for each in fields] == ["3", "4", "5", "6", "6"]
    wanted = get(api(people["alice"]), path, after=2)["events"]
    assert [json.loads(each["data"]) for each in fields[:-1]] == wanted
    assert json.loads(fields[-1]["data"]) == {"status": "COMPLETED", "last_seq": 6}


@pytest.mark.django_db(transaction=True)
def test_no_reader_splits_an_event(api: Api, people: dict[str, User], execution: Execution) -> None:
    """Whatever a robot prints: some split lines as Python does, at more than CR and LF."""
    printed = "a\v\f\x1c\x1d\x1e\x85\u2028\u2029z"
    append(execution.pk, [Draft(EventKind.LOG, {"stream": "stdout"}, [printed])])
    lifecycle.finish(execution.pk, Ending(Status.CANCELLED, message=printed))
    client, path = api(people["alice"]), f"/api/v1/executions/{execution.uid}"
    response = client.get(f"{path}/stream")

    async def read() -> bytes:
        whole = b"".join([chunk async for chunk in response.streaming_content])
        hub().close()
        return whole

    whole = async_to_sync(read)().decode()
    assert whole.splitlines() == whole.split("\n")[:-1]
    data = [json.loads(line[6:]) for line in whole.splitlines() if line.startswith("data: ")]
    assert data[:-1] == get(client, f"{path}/events/")["events"]
    assert data[1]["data"]["lines"] == [printed]


@pytest.mark.parametrize("door", ["stream", "log/"])
def test_the_head_of_a_living_run_does_not_wait(
    api: Api, people: dict[str, User], execution: Execution, door: str
) -> None:
    response = api(people["alice"]).head(f"/api/v1/executions/{execution.uid}/{door}")
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/")
    assert b"".join(response.streaming_content) == b""


def test_an_unchanged_page_is_not_sent_again(
    api: Api, people: dict[str, User], execution: Execution
) -> None:
    """An open stream is asked about each time; any news, and any other page, has another tag."""
    client, path = api(people["alice"]), f"/api/v1/executions/{execution.uid}/events/"
    first = client.get(path)
    assert first["Cache-Control"] == "private, no-cache"
    assert {"Authorization", "Cookie"} <= set(first["Vary"].split(", "))
    tag = {"HTTP_IF_NONE_MATCH": first["ETag"]}
    again = client.get(path, **tag)
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
    assert client.get(path, {"after": "1"}, **tag).status_code == 200
    assert client.get(path, {"limit": "1"}, **tag).status_code == 200
    append(execution.pk, [Draft(EventKind.LOG, {"stream": "stdout"}, ["news"])])
    assert len(client.get(path, **tag).json()["events"]) == 2
    # After a restore the same numbers are other events.
    tag = {"HTTP_IF_NONE_MATCH": client.get(path)["ETag"]}
    call_command("restored", stdout=StringIO())
    again = client.get(path, **tag)
    assert again.status_code == 200
    assert again.json()["epoch"] == 2
    assert api(people["dora"]).get(path, **tag).status_code == 404


def test_a_page_of_a_closed_stream_may_be_kept(
    api: Api, people: dict[str, User], path: str
) -> None:
    assert api(people["alice"]).get(path)["Cache-Control"] == "private, max-age=60"
