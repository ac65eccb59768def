"""Objects in a bucket of a real S3 server: what Django's storage promises, and what ours adds."""

import datetime
import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from botocore import auth
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile

from accounts.refusals import Unavailable
from resources import storage
from resources.s3 import Bucket
from resources.storage import Patience
from rpa_platform import configuration
from tests.resources.conftest import Server, free_ports, options


def test_an_object_is_kept_read_in_parts_and_deleted(bucket: Bucket) -> None:
    key = bucket.save("segments/a/1.gz", ContentFile(bytes(range(256)) * 1000))
    assert key == "segments/a/1.gz"
    assert bucket.size(key) == 256_000
    assert bucket.read_range(key, 255, 3) == b"\xff\x00\x01"
    with bucket.open(key) as file:
        file.seek(1)
        assert file.read(2) == b"\x01\x02"
    bucket.delete(key)
    assert not bucket.exists(key)
    with pytest.raises(FileNotFoundError):
        bucket.open(key)
    with pytest.raises(FileNotFoundError):
        bucket.read_range(key, 0, 1)


def test_nothing_is_overwritten(bucket: Bucket) -> None:
    first = bucket.save("packages/one", ContentFile(b"one"))
    second = bucket.save("packages/one", ContentFile(b"two"))
    try:
        assert second != first
        with bucket.open(first) as file:
            assert file.read() == b"one"
    finally:
        bucket.delete(first)
        bucket.delete(second)


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_off_does_not_matter(
    server: Server, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """The server refuses what was signed more than a quarter of an hour ago, or is to be."""
    bucket = Bucket(**options(server))
    real = auth.get_current_datetime
    monkeypatch.setattr(
        auth, "get_current_datetime", lambda: real() + datetime.timedelta(hours=hours)
    )
    key = bucket.save("artifacts/late", ContentFile(b"late"))
    try:
        with bucket.open(key) as file:
            assert file.read() == b"late"
        monkeypatch.undo()  # and where it is set right, it is learned anew
        assert bucket.size(key) == 4
    finally:
        bucket.delete(key)


class _Faulty(http.server.BaseHTTPRequestHandler):
    """Answers 500 as often as it is told; then there is nothing. No S3 server does this on demand."""

    faults = 0

    def do_GET(self) -> None:
        if type(self).faults > 0:
            type(self).faults -= 1
            self.send_error(500)
        else:
            self.send_error(404)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def faulty(server: Server, request: pytest.FixtureRequest) -> Iterator[Bucket]:
    answering = getattr(request, "param", _Faulty)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), answering) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield Bucket(**options(server, endpoint_url=f"http://127.0.0.1:{httpd.server_port}"))
        httpd.shutdown()


def test_a_fault_of_the_server_is_tried_again_and_then_told(
    faulty: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    monkeypatch.setattr(_Faulty, "faults", 2)
    assert not faulty.exists("any")  # the third answer
    monkeypatch.setattr(_Faulty, "faults", 100)
    with pytest.raises(Unavailable, match="storage does not answer"):
        faulty.exists("any")
    with pytest.raises(Unavailable):
        faulty.open("any")


class _Cutting(_Faulty):
    """Promises more than it sends."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.send_header("ETag", '"x"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(b"a" * 100)
        self.close_connection = True

    do_HEAD = do_GET


@pytest.mark.parametrize("faulty", [_Cutting], indirect=True)
def test_a_body_that_is_cut_each_time_is_told(faulty: Bucket) -> None:
    with pytest.raises(Unavailable):
        faulty.open("any")
    with pytest.raises(Unavailable):
        faulty.read_range("any", 0, 1000)


def test_a_server_that_is_not_there_is_told(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    gone = Bucket(**options(server, endpoint_url=f"http://127.0.0.1:{free_ports(1)[0]}"))
    with pytest.raises(Unavailable):
        gone.save("any", ContentFile(b"x"))
    with pytest.raises(Unavailable):
        gone.listdir("uploads")
    with pytest.raises(Unavailable):
        gone.get_modified_time("any")


class _Away:
    """A storage that is away, and the clock by which it is waited for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.tried = 0
        #: From then on it is there.
        self.back_at = 10.0**9
        monkeypatch.setattr(storage.time, "sleep", self.pass_by)
        monkeypatch.setattr(storage.time, "monotonic", lambda: self.now)

    def pass_by(self, seconds: float) -> None:
        self.now += seconds

    def deed(self) -> str:
        self.tried += 1
        self.now += 0.5
        if self.now < self.back_at:
            raise Unavailable("away")
        return "done"


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> _Away:
    return _Away(monkeypatch)


def test_a_runner_waits_for_a_storage_that_comes_back(away: _Away) -> None:
    away.back_at = 60
    patience = Patience()
    assert patience(away.deed) == "done"
    assert 60 <= away.now < 71
    away.back_at = 1000
    with pytest.raises(Unavailable):
        patience(away.deed)
    assert away.now < 92


def test_all_deeds_together_are_waited_for_once(away: _Away) -> None:
    """One more is tried when it has been too long: the last one may have been at fault itself."""
    patience = Patience()
    with pytest.raises(Unavailable):
        patience(away.deed)
    assert 89 < away.now < 92
    waited, tried = away.now, away.tried
    away.back_at = waited
    assert patience(away.deed) == "done"
    away.back_at = 1000
    for _file in range(200):
        with pytest.raises(Unavailable):
            patience(away.deed)
    assert away.tried == tried + 2
    assert away.now == waited + 1


def test_patience_that_is_given_up_ends_at_once(away: _Away) -> None:
    patience = Patience(over=lambda: away.now > 7)
    with pytest.raises(Unavailable):
        patience(away.deed)
    assert away.now < 7.5
    tried = away.tried
    with pytest.raises(Unavailable):
        patience(away.deed)
    assert away.tried == tried


def test_what_works_is_done_whether_anybody_waits_or_not(away: _Away) -> None:
    away.back_at = 0
    patience = Patience(over=lambda: True)
    assert [patience(away.deed) for _file in range(3)] == ["done"] * 3


@pytest.mark.parametrize(
    ("url", "options"),
    [
        (
            "s3://AK:s%2Fk@s3.example.com/robots",
            ("https://s3.example.com", "robots", "", "AK", "s/k"),
        ),
        ("s3+http://minio:9000/b/a/b/", ("http://minio:9000", "b", "a/b", None, None)),
    ],
)
def test_the_address_of_a_bucket(
    url: str, options: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("RPA_STORAGE_URL", url)
    found = configuration.storage(tmp_path, "")["OPTIONS"]
    names = ("endpoint_url", "bucket_name", "location", "access_key", "secret_key")
    assert tuple(found[name] for name in names) == options


@pytest.mark.parametrize(
    "url", ["s3://key:secret@host", "https://key:secret@host/b", "s3:///b", "s3://h:port/b"]
)
def test_a_wrong_address_is_named_without_its_secret(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("RPA_STORAGE_URL", url)
    with pytest.raises(ImproperlyConfigured, match="RPA_STORAGE_URL") as told:
        configuration.storage(tmp_path, "")
    assert "secret" not in str(told.value).replace("key:secret@host:port", "")
