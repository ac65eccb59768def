"""The server itself: clients that do not read, or leave, or are many; its start and its end."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from asgiref.testing import ApplicationCommunicator
from django.db import connection

from accounts.models import ApiKey
from executions.choices import EventKind, FailureReason, Status
from executions.events import Draft, append
from executions.lifecycle import Ending, finish
from executions.models import Execution, ExecutionEvent
from rpa_platform.asgi import application
from rpa_platform.server import BackpressureServer, Gate
from spaces.models import Space
from tests.executions.clients import SocketClient
from tests.executions.server import ROOT, Server, check_end, lines_of, managed, until
from tests.factories import make_execution, make_robot

pytestmark = pytest.mark.django_db(transaction=True)

STALLED = 24
STREAM_MIB = 24
BOUND = 512 * 1024
EVENTS = ExecutionEvent._meta.db_table
#: A second for the poll that finds what another process has appended; the rest is for a busy machine.
SOON = 10.0

Opening = Callable[[Server, Execution, str], socket.socket]


@pytest.fixture
def key(execution: Execution) -> str:
    return ApiKey.issue(user=execution.requested_by, name="watcher")[1]


@pytest.fixture(scope="module")
def one_server(django_db_setup: None) -> Iterator[Server]:
    with Server(RPA_ENGINE="none") as running:
        yield running


@pytest.fixture
def server(one_server: Server, transactional_db: None) -> Server:
    """The same for all, and none that runs robots: what streams tell is what the tests append."""
    return one_server


def fill(execution: Execution, mib: int) -> int:
    """Append so much output, of a kind that cannot be made smaller; the number of its last event."""
    for _event in range(mib * 16):
        lines = [os.urandom(500).hex() for _line in range(64)]
        head = append(execution.pk, [Draft(EventKind.LOG, {"stream": "stdout"}, lines=lines)])
    connection.close()
    return head.last_seq


def opened(server: Server, request: str, *, receive: int = 0) -> socket.socket:
    """A connection on which a request was sent and the head of the answer was read."""
    client = socket.socket()
    if receive:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    client.settimeout(SOON)
    client.connect(("127.0.0.1", server.port))
    client.sendall(request.replace("\n", "\r\n").encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.recv(1)
    assert head.split()[1] in {b"200", b"101"}, head
    return client


def event_stream(server: Server, execution: Execution, key: str) -> socket.socket:
    request = (
        f"GET /api/v1/executions/{execution.uid}/stream HTTP/1.1\n"
        f"Host: {server.address}\nAuthorization: Bearer {key}\n\n"
    )
    return opened(server, request, receive=4096)


def websocket(
    server: Server, execution: Execution, key: str, path: str = "/ws/executions/{}/"
) -> socket.socket:
    request = (
        f"GET {path.format(execution.uid)} HTTP/1.1\n"
        f"Host: {server.address}\nAuthorization: Bearer {key}\nConnection: Upgrade\n"
        "Upgrade: websocket\nSec-WebSocket-Version: 13\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n\n"
    )
    return opened(server, request, receive=4096)


def resident(server: Server) -> int:
    return int(Path(f"/proc/{server.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def threads(server: Server) -> int:
    return len(list(Path(f"/proc/{server.pid}/task").iterdir()))


def connections(server: Server) -> int:
    found = 0
    for each in Path(f"/proc/{server.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found += str(each.readlink()).startswith("socket:")
    return found


def read_up_to(server: Server, execution: Execution, key: str, seq: int) -> float:
    """Read the stream from its begin until this event; the seconds that took."""
    began = time.monotonic()
    address = f"http://{server.address}/api/v1/executions/{execution.uid}/stream"
    last = f"id: {seq}"
    with httpx.stream(
        "GET", address, headers={"Authorization": f"Bearer {key}"}, timeout=60
    ) as answer:
        for line in answer.iter_lines():
            if line == last:
                return time.monotonic() - began
    raise AssertionError("The stream ended too early.")


@pytest.mark.parametrize("open_one", [event_stream, websocket])
def test_clients_that_never_read_cost_little_and_delay_nobody(
    server: Server, execution: Execution, key: str, open_one: Opening
) -> None:
    last = fill(execution, STREAM_MIB)
    other = make_execution(execution.robot)
    alone = min(read_up_to(server, execution, key, last) for _ in range(2))
    memory, before = resident(server), connections(server)
    with ExitStack() as stack:
        for _client in range(STALLED):
            stack.enter_context(closing(open_one(server, execution, key)))
        # Whoever reads gets all of it meanwhile: so the others have been sent all that they take.
        beside = min(read_up_to(server, execution, key, last) for _ in range(2))
        assert (resident(server) - memory) / STALLED <= BOUND
        assert beside < 5 * alone + SOON
        following = event_stream(server, other, key)
        with closing(following):
            news = append(other.pk, [Draft(EventKind.LOG, {"stream": "stdout"}, lines=["news"])])
            wanted = f"id: {news.last_seq}\n".encode()
            heard = b""
            while wanted not in heard:
                heard += following.recv(4096)
    until(lambda: connections(server) <= before, "All connections are gone.")


@pytest.mark.parametrize("open_one", [event_stream, websocket])
def test_watchers_need_no_threads_of_their_own(
    server: Server, execution: Execution, key: str, open_one: Opening
) -> None:
    with ExitStack() as stack:
        clients = [
            stack.enter_context(closing(open_one(server, execution, key))) for _ in range(200)
        ]
        append(execution.pk, [Draft(EventKind.LOG, {"stream": "stdout"}, lines=["for all"])])
        for client in clients:
            heard = b""
            while b"for all" not in heard:
                heard += client.recv(4096)
        # 16 for requests, 9 of the hub, the loop, and what libraries start.
        assert threads(server) < 50


def test_a_large_result_is_an_event_like_any(
    server: Server, execution: Execution, key: str
) -> None:
    """For a library in between, a mebibyte is the most."""
    result = {"value": "x" * (2**20 + 1000)}
    append(execution.pk, [Draft(EventKind.RESULT, result)])
    finish(execution.pk, Ending(Status.CANCELLED))
    client = SocketClient(server.address, str(execution.uid), key, seed=1)
    asyncio.run(asyncio.wait_for(client.watch(), SOON))
    assert client.events[1]["data"] == result
    assert [each["seq"] for each in client.events] == [1, 2, 3]


def cut_off(client: socket.socket, flood: bytes) -> bool:
    """Whether the server ends the connection while its client says this again and again."""
    try:
        for _time in range(5000):
            client.sendall(flood)
    except ConnectionError:
        return True
    return False


def test_a_client_that_says_too_much_is_cut_off(
    server: Server, execution: Execution, key: str
) -> None:
    """Reading a flood of small messages would take all of the server's time, long ones its memory."""
    small = b"\x81\x82\0\0\0\0[]" * 1000
    long = b"\x81\xfe" + (60_000).to_bytes(2) + bytes(4) + b"x" * 60_000
    piece = b"\xfe\x0f\xa0" + bytes(4) + b"x" * 4000
    pieces = b"\x01" + piece + b"\x00" + piece + b"\x80" + piece
    memory = resident(server)
    for path in ("/ws/", "/ws/executions/{}/"):
        for flood in (small, long, pieces):
            with closing(websocket(server, execution, key, path)) as client:
                assert cut_off(client, flood)
            began = time.monotonic()
            httpx.get(f"http://{server.address}/healthz", timeout=SOON).raise_for_status()
            assert time.monotonic() - began < SOON / 4
    assert resident(server) - memory < 16 * BOUND
    assert "Exception" not in server.log


def test_a_crowd_is_let_in_a_few_at_a_time() -> None:
    """However many wait at the port, and however often that was so: the others come between."""

    class Port:
        numberAccepts = 100
        let_in = 0

        def doRead(self) -> None:
            self.let_in += self.numberAccepts
            self.numberAccepts += 20  # as twisted's, which lets in more and more at once

    port = Port()
    BackpressureServer(application, host="127.0.0.1", port=0).listen_success(port)
    for _turn in range(10):
        port.doRead()
    assert port.let_in <= 100


async def test_the_last_piece_of_an_answer_may_come_when_its_client_has_gone() -> None:
    class Gone:
        def unregisterProducer(self) -> None:
            raise AttributeError("as twisted's, whose channel is no more")

    server = BackpressureServer(application, host="127.0.0.1", port=0)
    protocol = Gone()
    server.connections = {protocol: {"connected": 1.0, "gate": Gate(), "disconnected": 2.0}}
    await server.handle_reply(protocol, {"type": "http.response.body", "body": b"the end"})


async def test_a_watcher_that_leaves_takes_its_subscription_along(
    execution: Execution, key: str
) -> None:
    before = asyncio.all_tasks()
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": f"/api/v1/executions/{execution.uid}/stream",
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"authorization", f"Bearer {key}".encode())],
    }
    call = ApplicationCommunicator(application, scope)
    await call.send_input({"type": "http.request"})
    assert (await call.receive_output(timeout=10))["status"] == 200
    assert b"PENDING" in (await call.receive_output(timeout=10))["body"]
    watching = asyncio.all_tasks() - before
    await call.send_input({"type": "http.disconnect"})
    await call.wait(timeout=10)
    await asyncio.wait(watching, timeout=10)
    assert asyncio.all_tasks() == before


@contextmanager
def broken() -> Iterator[None]:
    """Meanwhile no event can be read."""
    with connection.schema_editor() as editor:
        editor.alter_db_table(ExecutionEvent, EVENTS, f"{EVENTS}_away")
    try:
        yield
    finally:
        with connection.schema_editor() as editor:
            editor.alter_db_table(ExecutionEvent, f"{EVENTS}_away", EVENTS)


def unread(client: socket.socket, end: bytes) -> bytes:
    """All that comes until what ends it, or until the other side has gone."""
    taken = b""
    with suppress(ConnectionResetError):
        while not taken.endswith(end) and (piece := client.recv(2**16)):
            taken += piece
    return taken


def test_streams_that_break_are_closed_and_can_be_taken_up_again(
    server: Server, execution: Execution, key: str
) -> None:
    """Nobody waits for ever on a connection whose application has failed, the second time no more than the first."""
    fill(execution, 1)
    last_chunk, close_1011 = b"0\r\n\r\n", b"\x88\x02" + (1011).to_bytes(2, "big")
    for _time in range(2):
        with broken():
            with closing(event_stream(server, execution, key)) as stream:
                assert unread(stream, last_chunk) == last_chunk
            with closing(websocket(server, execution, key)) as watcher:
                assert unread(watcher, close_1011) == close_1011
        for open_one in (event_stream, websocket):
            with closing(open_one(server, execution, key)) as client:
                assert client.recv(2**16)


def test_an_answer_that_breaks_is_an_error_or_cut_off(
    server: Server, execution: Execution, key: str
) -> None:
    """It never looks complete, and its client is not left waiting, the second time no more than the first."""
    fill(execution, 16)
    path = f"/api/v1/executions/{execution.uid}/log/"
    request = f"GET {path} HTTP/1.1\nHost: {server.address}\nAuthorization: Bearer {key}\n\n"
    for _time in range(2):
        with closing(opened(server, request, receive=4096)) as slow, broken():
            # Far more than the lines take up lies in the table still.
            assert unread(slow, b"0\r\n\r\n")[-5:] != b"0\r\n\r\n"
            answer = httpx.get(
                f"http://{server.address}{path}",
                headers={"Authorization": f"Bearer {key}"},
                timeout=SOON,
            )
            assert answer.status_code == 500


def test_pages_come_with_static_files_named_after_their_content(server: Server) -> None:
    with httpx.Client(base_url=f"http://{server.address}") as browser:
        page = browser.get("/login/").text
        sheet = page.partition('rel="stylesheet" href="')[2].partition('"')[0]
        answer = browser.get(sheet)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/css")
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.skipif(
    "mysql" not in os.environ.get("RPA_TEST_DATABASE_URL", ""), reason="SQLite's connections live"
)
def test_connections_that_the_database_has_dropped_are_replaced(
    server: Server, execution: Execution, key: str
) -> None:
    """Whichever thread comes next, for a view or for a stream that has begun its answer."""
    with httpx.Client(
        base_url=f"http://{server.address}",
        headers={"Authorization": f"Bearer {key}"},
        timeout=SOON,
    ) as client:
        with ThreadPoolExecutor(8) as callers:
            list(callers.map(client.get, ["/api/v1/executions/"] * 32))
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT id FROM information_schema.processlist "
                "WHERE db = DATABASE() AND id <> CONNECTION_ID()"
            )
            others = [row[0] for row in cursor.fetchall()]
            for number in others:
                cursor.execute(f"KILL {number}")
        assert len(others) > 2
        requested = Execution.objects.exclude(pk=execution.pk)
        for count in range(1, 5):
            call = {"project_id": str(execution.robot.uid), "params": {"n": count}}
            with client.stream("POST", "/rpa/v1/exec", json=call):
                until(lambda count=count: requested.count() == count, "It was requested.", SOON)
            assert client.get("/api/v1/executions/").status_code == 200


def test_a_busy_port_is_one_clear_line(transactional_db: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, err = managed("serve", "--port", str(port), RPA_ENGINE="none")
    assert code == 1
    assert out == ""
    assert err.splitlines() == [
        f"CommandError: Cannot listen on 127.0.0.1:{port}: Address already in use."
    ]


STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print("asked", flush=True))
print("ready", flush=True)
while True:
    time.sleep(1)
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_within_the_grace_whatever_goes_on(space: Space, how: signal.Signals) -> None:
    """A robot that will not go, watchers of both kinds, and half a request: told, cut off, exit code 0."""
    key = ApiKey.issue(user=space.creator, name="watcher")[1]
    robot = make_robot(space, "stubborn", STUBBORN)
    with Server(RPA_SLOTS="1", RPA_CANCEL_GRACE="1") as server, ExitStack() as stack:
        run = make_execution(robot)
        until(lambda: lines_of(run), "The robot is ready.")
        for open_one in (event_stream, websocket):
            stack.enter_context(closing(open_one(server, run, key)))
        half = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        half.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n1234")
        os.kill(server.pid, how)
        began = time.monotonic()
        assert server.wait() == 0
        assert time.monotonic() - began < SOON
        assert "Traceback" not in server.log
        assert "destroyed" not in server.log
    ended = check_end(run)
    assert (ended.status, ended.failure_reason) == (Status.FAILED, FailureReason.LOST)
    assert lines_of(run) == ["ready", "asked"]


HASTY = """
import os, sys
from rpa_platform.server import BackpressureServer, reactor

def leave():
    os.kill(os.getpid(), int(sys.argv[2]))

async def nothing(scope, receive, send):
    pass

reactor.addSystemEventTrigger("before", "startup", leave)
BackpressureServer(nothing, host="127.0.0.1", port=int(sys.argv[1])).run()
print("left")
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_comes_while_it_starts_ends_it(how: signal.Signals) -> None:
    """It listens already, and twisted does not take signals yet."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    started = subprocess.run(
        [sys.executable, "-c", HASTY, str(port), str(how.value)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (started.returncode, started.stdout) == (0, "left\n"), started.stderr


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize(
    ("path", "mebibytes"), [("/login/", 5), ("/api/v1/executions/", 5), ("/robots/new/", 101)]
)
def test_a_body_that_is_too_long_is_refused_as_soon_as_that_is_known(
    server: Server, path: str, mebibytes: int, announced: bool
) -> None:
    """At its headers, or at the first byte too many; and one byte less goes to the view."""
    limit = mebibytes * 2**20
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\n".encode()

    def answer_to(size: int) -> bytes:
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            if announced:
                connection.sendall(head + b"Content-Length: %d\r\n\r\n" % size)
                if size <= limit:
                    connection.sendall(b"x" * size)
            else:
                connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
                connection.sendall(b"%x\r\n%s\r\n" % (limit, b"x" * limit))
                connection.sendall(b"0\r\n\r\n" if size == limit else b"1\r\nx\r\n")
            return connection.recv(4096)

    refused = answer_to(limit + 1)
    assert refused.startswith(b"HTTP/1.1 413 Content Too Large\r\n")
    assert b'"code": "too_large"' in refused
    passed = answer_to(limit)
    assert passed.startswith(b"HTTP/1.1 4")
    assert b"Content Too Large" not in passed
