"""`/rpa/v1`: what is malformed is refused byte for byte as AstronAgent's own server refuses it."""

import json
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import Client

from tests.interop.wire import Call, answer_of, post

pytestmark = pytest.mark.django_db
NO_HEADER = (
    '{"type":"missing","loc":["header","Authorization"],"msg":"Field required","input":null}'
)
NO_BODY = '{"type":"missing","loc":["body"],"msg":"Field required","input":null}'


def send(body: Any, **more: Any) -> Call:
    call: Call = async_to_sync(post)(body, **more)
    return call


def text_of(call: Call) -> str:
    return b"".join(call.chunks).decode()


def missing(given: str) -> str:
    return (
        '{"type":"missing","loc":["body","project_id"],"msg":"Field required","input":'
        + given
        + "}"
    )


def shape(given: str) -> str:
    return (
        '{"type":"model_attributes_type","loc":["body"],"msg":"Input should be a valid dictionary '
        'or object to extract fields from","input":' + given + "}"
    )


def no_string(name: str, given: str) -> str:
    return (
        f'{{"type":"string_type","loc":["body","{name}"],"msg":"Input should be a valid string",'
        f'"input":{given}}}'
    )


def no_json(position: int, fault: str) -> str:
    return (
        f'{{"type":"json_invalid","loc":["body",{position}],"msg":"JSON decode error","input":{{}},'
        f'"ctx":{{"error":"{fault}"}}}}'
    )


def test_ping_says_pong(client: Client) -> None:
    response = client.get("/rpa/v1/ping")
    assert response.content == b'"pong"'
    assert response["Content-Type"] == "application/json"
    assert response["Content-Length"] == "6"


@pytest.mark.parametrize(
    ("path", "method", "allowed"),
    [
        ("ping", "POST", "GET"),
        ("ping", "HEAD", "GET"),
        ("ping", "DELETE", "GET"),
        ("exec", "GET", "POST"),
        ("exec", "DELETE", "POST"),
    ],
)
def test_other_methods_are_not_allowed(path: str, method: str, allowed: str) -> None:
    response = Client(enforce_csrf_checks=True).generic(method, f"/rpa/v1/{path}")
    assert (response.status_code, response["Allow"]) == (405, allowed)
    assert response["Content-Type"] == "application/json"
    if method != "HEAD":
        assert response.content == b'{"detail":"Method Not Allowed"}'


@pytest.mark.parametrize(
    ("body", "details"),
    [
        (b'{"sid":"s","a":1}', [missing('{"sid":"s","a":1}')]),
        (b'{"project_id":null}', [no_string("project_id", "null")]),
        (b'{"project_id":5}', [no_string("project_id", "5")]),
        (b'{"sid":1,"project_id":"p"}', [no_string("sid", "1")]),
        (b'{"project_id":"p","exec_position":[]}', [no_string("exec_position", "[]")]),
        (
            b'{"project_id":"p","params":[1]}',
            [
                '{"type":"dict_type","loc":["body","params"],"msg":"Input should be a valid dictionary","input":[1]}'
            ],
        ),
        (
            b'{"project_id":"p","params":"{}"}',
            [
                '{"type":"dict_type","loc":["body","params"],"msg":"Input should be a valid dictionary","input":"{}"}'
            ],
        ),
        (b'{"sid":1}', [no_string("sid", "1"), missing('{"sid":1}')]),
        ('{"project_id":["张"]}'.encode(), [no_string("project_id", '["张"]')]),
        (b"", [NO_BODY]),
        (b"null", [NO_BODY]),
        (b"[1]", [shape("[1]")]),
        (b'"x"', [shape('"x"')]),
        (b"5", [shape("5")]),
        (b" ", [no_json(1, "Expecting value")]),
        (b"{", [no_json(1, "Expecting property name enclosed in double quotes")]),
        (b"{} x", [no_json(3, "Extra data")]),
        (b"nonsense", [no_json(0, "Expecting value")]),
    ],
)
def test_a_malformed_body_is_refused_to_the_byte(db: None, body: bytes, details: list[str]) -> None:
    call = send(body, token="Bearer x")
    assert call.status == 422
    assert call.headers["content-type"] == "application/json"
    assert text_of(call) == '{"detail":[' + ",".join(details) + "]}"


def test_null_is_as_good_as_nothing(transactional_db: None) -> None:
    optional = ("sid", "version", "phone_number", "exec_position", "params", "progress")
    call = send({"project_id": "p", **dict.fromkeys(optional)}, token="x")
    assert answer_of(call)["code"] == 55001


@pytest.mark.parametrize(
    ("body", "details"),
    [
        (b'{"project_id":"p"}', [NO_HEADER]),
        (b"{}", [NO_HEADER, missing("{}")]),
        (b"", [NO_HEADER, NO_BODY]),
        (b"{", [no_json(1, "Expecting property name enclosed in double quotes")]),
    ],
)
def test_a_missing_header_is_told_first(db: None, body: bytes, details: list[str]) -> None:
    call = send(body)
    assert (call.status, text_of(call)) == (422, '{"detail":[' + ",".join(details) + "]}")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1" * 5000])
def test_numbers_that_json_has_not_are_refused(db: None, number: str) -> None:
    body = f'{{"project_id":"p","params":{{"a":{number}}}}}'.encode()
    assert send(body, token="x").status == 422


@pytest.mark.parametrize("body", [b'{"project_id":"\xff"}', b"[" * 100_000])
def test_a_body_that_cannot_be_read_is_a_400(db: None, body: bytes) -> None:
    call = send(body, token="x")
    assert call.status == 400
    assert text_of(call) == '{"detail":"There was an error parsing the body"}'


@pytest.mark.parametrize(
    "content_type",
    ["-", "application/json", "APPLICATION/JSON; charset=latin-1", "application/vnd.x+json"],
)
def test_json_has_many_content_types(transactional_db: None, content_type: str) -> None:
    call = send(b'{"project_id":"p"}', token="x", content_type=content_type)
    assert answer_of(call)["code"] == 55001


def test_other_content_types_are_a_string(db: None) -> None:
    call = send(b'{"project_id":"p"}', token="x", content_type="text/plain")
    given = '"{\\"project_id\\":\\"p\\"}"'
    assert (call.status, text_of(call)) == (422, '{"detail":[' + shape(given) + "]}")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_json_comes_in_any_unicode(transactional_db: None, encoding: str) -> None:
    call = send('{"project_id":"张"}'.encode(encoding), token="x")
    assert answer_of(call)["code"] == 55001


def test_a_bad_cursor_is_malformed(db: None) -> None:
    call = send({"project_id": "p"}, token="x", last_event_id="nonsense")
    assert call.status == 422
    assert json.loads(text_of(call))["detail"][0]["loc"] == ["header", "Last-Event-ID"]


def test_the_head_is_the_references(transactional_db: None) -> None:
    head = send({"project_id": "p"}, token="x").headers
    assert head["content-type"] == "text/event-stream; charset=utf-8"
    assert head["cache-control"] == "no-cache, no-transform"
    assert head["x-accel-buffering"] == "no"
    assert "content-encoding" not in head
    assert "content-length" not in head


def test_a_sid_is_echoed_or_made(transactional_db: None) -> None:
    made = {
        answer_of(send({"project_id": "p", "sid": sid}, token="x"))["sid"] for sid in ("", None)
    }
    assert len(made) == 2
    assert all(made)
    assert answer_of(send({"project_id": "p", "sid": "走"}, token="x"))["sid"] == "走"
