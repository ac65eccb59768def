"""How a request gets its thread, and when it gives it back; how static files are served."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path
from django.utils.deprecation import MiddlewareMixin

from rpa_platform.handler import PlatformHandler
from rpa_platform.security import static_files
from rpa_platform.threads import Lane, Threads

#: What the views below wait for, and what they tell; made anew for each test.
gates: dict[str, Any] = {}


def here(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{request.seen_by} {threading.get_ident()}")  # type: ignore[attr-defined]


async def here_too(request: HttpRequest) -> HttpResponse:
    ident = await sync_to_async(threading.get_ident)()
    return HttpResponse(f"{request.seen_by} {ident}")  # type: ignore[attr-defined]


class Memory(threading.local):
    requests = 0


memory = Memory()


def remembered(request: HttpRequest) -> HttpResponse:
    memory.requests += 1
    return HttpResponse(str(memory.requests))


def blocked(request: HttpRequest) -> HttpResponse:
    gates["reached"].set()
    assert gates["open"].wait(10)
    return HttpResponse("let through")


async def patient(request: HttpRequest) -> HttpResponse:
    gates["reached"].set()
    try:
        await asyncio.Event().wait()
    finally:
        gates["left"].set()
    raise AssertionError("Nobody lets this one through.")


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    async def body() -> AsyncIterator[bytes]:
        try:
            yield b"begun "
            await asyncio.to_thread(gates["open"].wait, 10)
            yield (await sync_to_async(lambda: b"from a thread ")())
            yield b"".join(await asyncio.gather(*(sync_to_async(lambda: b"x")() for _ in range(9))))
        finally:
            gates["left"].set()

    return StreamingHttpResponse(body())


def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("on purpose")


urlpatterns = [
    path("here", here),
    path("here-too", here_too),
    path("remembered", remembered),
    path("blocked", blocked),
    path("patient", patient),
    path("stream", stream),
    path("broken", broken),
]
handler500 = "accounts.problems.server_error"


class Seen(MiddlewareMixin):
    """Notes which thread the middleware runs in."""

    def process_request(self, request: HttpRequest) -> None:
        request.seen_by = threading.get_ident()  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def _house(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.Seen"]
    gates.update(reached=threading.Event(), open=threading.Event(), left=threading.Event())


class Browser:
    """Sends requests to one handler, whose threads are counted."""

    def __init__(self, threads: int, most_waiting: int = 100) -> None:
        self._handler = PlatformHandler(Threads(threads, most_waiting=most_waiting))

    async def open(self, place: str) -> ApplicationCommunicator:
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "path": place,
            "query_string": b"",
            "headers": [(b"host", b"localhost")],
        }
        call = ApplicationCommunicator(self._handler, scope)
        await call.send_input({"type": "http.request"})
        return call

    async def get(self, place: str) -> tuple[int, dict[str, str], bytes]:
        return await read(await self.open(place))


async def read(call: ApplicationCommunicator) -> tuple[int, dict[str, str], bytes]:
    head = await call.receive_output(timeout=10)
    headers = {name.decode().lower(): value.decode() for name, value in head["headers"]}
    body = b""
    while True:
        part = await call.receive_output(timeout=10)
        body += part.get("body", b"")
        if not part.get("more_body"):
            await call.wait(timeout=10)
            return head["status"], headers, body


async def passed(gate: threading.Event) -> None:
    assert await asyncio.to_thread(gate.wait, 10)


@pytest.mark.parametrize("view", ["/here", "/here-too"])
async def test_middleware_and_view_share_one_thread_that_is_not_the_loops(view: str) -> None:
    status, _headers, body = await Browser(3).get(view)
    middleware, inside = body.split()
    assert status == 200
    assert middleware == inside
    assert int(inside) != threading.get_ident()


async def test_a_thread_lasts_from_request_to_request() -> None:
    browser = Browser(1)
    assert [(await browser.get("/remembered"))[2] for _ in range(3)] == [b"1", b"2", b"3"]


async def test_more_requests_than_threads_are_all_answered() -> None:
    browser = Browser(3)
    answers = await asyncio.gather(*(browser.get("/here") for _ in range(60)))
    assert {status for status, _headers, _body in answers} == {200}
    assert 1 <= len({body for _status, _headers, body in answers}) <= 3


async def test_a_failing_view_gives_its_thread_back(caplog: pytest.LogCaptureFixture) -> None:
    browser = Browser(1)
    for _ in range(3):
        assert (await browser.get("/broken"))[0] == 500
    assert (await browser.get("/here"))[0] == 200
    assert "on purpose" in caplog.text


async def test_an_open_stream_holds_no_thread_and_may_still_use_one() -> None:
    """With a single thread, whatever held it would stop the others for ever."""
    browser = Browser(1)
    streams = [await browser.open("/stream") for _ in range(20)]
    for each in streams:
        assert (await each.receive_output(timeout=10))["status"] == 200
        assert (await each.receive_output(timeout=10))["body"] == b"begun "
    assert (await browser.get("/here"))[0] == 200
    gates["open"].set()
    for each in streams:
        assert (await each.receive_output(timeout=10))["body"] == b"from a thread "
        assert (await each.receive_output(timeout=10))["body"] == b"x" * 9
        await each.wait(timeout=10)
    assert (await browser.get("/here"))[0] == 200


@pytest.mark.parametrize("view", ["/patient", "/stream"])
async def test_a_client_that_leaves_frees_its_view_and_its_thread(view: str) -> None:
    browser = Browser(1)
    before = asyncio.all_tasks()
    call = await browser.open(view)
    if view == "/stream":
        await call.receive_output(timeout=10)
        gates["open"].set()
    else:
        await passed(gates["reached"])
    await call.send_input({"type": "http.disconnect"})
    await call.wait(timeout=10)
    await passed(gates["left"])
    assert asyncio.all_tasks() == before
    assert (await browser.get("/here"))[0] == 200


async def test_a_thread_is_not_given_away_before_its_work_is_done() -> None:
    """Python cannot stop a thread: the client leaves, the view goes on, and nobody shares its thread."""
    browser = Browser(1)
    call = await browser.open("/blocked")
    await passed(gates["reached"])
    await call.send_input({"type": "http.disconnect"})
    following = asyncio.create_task(browser.get("/here"))
    done, _waiting = await asyncio.wait({following}, timeout=0.2)
    assert not done
    gates["open"].set()
    assert (await following)[0] == 200
    await call.wait(timeout=10)


async def test_where_too_many_wait_another_one_is_refused_at_once() -> None:
    browser = Browser(1, most_waiting=2)
    first = asyncio.create_task(browser.get("/blocked"))
    await passed(gates["reached"])
    waiting = [await browser.open("/here") for _ in range(2)]
    answers = await asyncio.gather(*(browser.get("/here") for _ in range(3)))
    for status, headers, body in answers:
        assert status == 503
        assert headers["retry-after"] == "1"
        assert b'"code": "busy"' in body
    gates["open"].set()
    assert (await first)[0] == 200
    for each in waiting:
        assert (await read(each))[0] == 200
    assert (await browser.get("/here"))[0] == 200


def test_a_lane_keeps_its_thread_until_released_and_others_come_in_their_order() -> None:
    threads = Threads(1, most_waiting=100)
    first, *others = lanes = [Lane(threads) for _ in range(4)]
    order: list[int] = []
    first.submit(order.append, 0).result(10)
    later = [each.submit(order.append, number) for number, each in enumerate(others, start=1)]
    first.submit(order.append, 0).result(10)
    assert order == [0, 0]
    for each in lanes:
        each.release()
    for future in later:
        future.result(10)
    assert order == [0, 0, 1, 2, 3]


def test_a_released_lane_does_each_call_where_there_is_room() -> None:
    threads = Threads(2, most_waiting=100)
    both = threading.Barrier(2, timeout=10)
    lane = Lane(threads)
    lane.release()
    meeting = [lane.submit(both.wait) for _ in range(2)]
    assert {future.result(10) for future in meeting} == {0, 1}


def test_a_call_that_was_cancelled_before_its_turn_is_not_made() -> None:
    threads = Threads(1, most_waiting=100)
    gate, made = threading.Event(), threading.Event()
    busy, lane = Lane(threads), Lane(threads)
    running = busy.submit(gate.wait, 10)
    cancelled = lane.submit(made.set)
    assert cancelled.cancel()
    gate.set()
    assert running.result(10)
    busy.release()
    assert lane.submit(made.is_set).result(10) is False
    lane.release()


@pytest.fixture
def collected(tmp_path: Path, settings: Any) -> Path:
    """The folder of static files, with one of each kind."""
    settings.STATIC_ROOT = tmp_path
    (tmp_path / "css").mkdir()
    for name in ("page.css", "page.0123456789ab.css"):
        (tmp_path / "css" / name).write_text("body{}" * 100)
    (tmp_path.parent / "secret.txt").write_text("not yours")
    return tmp_path


async def fetch(
    place: str, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    async def beyond(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b"beyond"})

    scope = {
        "type": "http",
        "method": method,
        "path": place,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    return await read(ApplicationCommunicator(static_files(beyond), scope))


@pytest.mark.usefixtures("collected")
async def test_a_static_file_is_served_with_the_headers_of_a_page() -> None:
    status, headers, body = await fetch("/static/css/page.css")
    assert (status, body) == (200, b"body{}" * 100)
    assert headers["content-type"].startswith("text/css")
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "immutable" not in headers["cache-control"]


@pytest.mark.usefixtures("collected")
async def test_what_is_named_after_its_content_is_kept_for_ever() -> None:
    _status, headers, _body = await fetch("/static/css/page.0123456789ab.css")
    assert "immutable" in headers["cache-control"]


@pytest.mark.usefixtures("collected")
async def test_static_files_know_conditional_and_partial_requests() -> None:
    _status, headers, _body = await fetch("/static/css/page.css")
    fresh = {"if-modified-since": headers["last-modified"]}
    assert (await fetch("/static/css/page.css", **fresh))[0] == 304
    status, _headers, body = await fetch("/static/css/page.css", range="bytes=0-3")
    assert (status, body) == (206, b"body")
    assert (await fetch("/static/css/page.css", "HEAD"))[2] == b""


@pytest.mark.usefixtures("collected")
@pytest.mark.parametrize(
    "place",
    [
        "/static/css/",
        "/static/../secret.txt",
        "/static//css/page.css",
        "/static/none",
        "/static/\0",
    ],
)
async def test_all_else_is_the_applications_business(place: str) -> None:
    assert (await fetch(place))[2] == b"beyond"
