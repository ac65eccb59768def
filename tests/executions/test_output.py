"""What a robot prints, taken apart: nothing that it can write does any harm."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executions.choices import EventKind
from executions.events import Draft
from executions.runner import output
from executions.runner.output import (
    MAX_LINE,
    MAX_RESULT,
    Item,
    Line,
    OutputReader,
    ResultFile,
    parse_message,
    result_line,
)

_KINDS = ["progress", "step", "result", "result_file"]
_GOOD: dict[str, Any] = {
    "percent": 5,
    "message": "words",
    "id": "a",
    "state": "started",
    "name": "A step",
    "parent": None,
    "type": "step",
    "value": 1,
}

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.text(st.characters(), max_size=20)
    | st.sampled_from(["started", "passed", "suite", *_KINDS]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
messages = st.builds(
    lambda kind, good, wild: {"kind": kind, **{key: _GOOD[key] for key in good}, **wild},
    st.sampled_from(_KINDS) | anything,
    st.sets(st.sampled_from(sorted(_GOOD))),
    st.dictionaries(st.sampled_from([*sorted(_GOOD), "kind"]), anything, max_size=3),
)


def wire(message: object) -> bytes:
    return b"\x1b]7313;" + json.dumps(message).encode() + b"\x07"


@given(messages)
def test_a_message_has_its_effect_or_none(message: dict[str, Any]) -> None:
    items = OutputReader().feed(b"before" + wire(message) + b"after\n")
    assert items[-1] == Line("beforeafter")
    for said in items[:-1]:
        if isinstance(said, Draft):
            assert said.kind in {EventKind.PROGRESS, EventKind.STEP, EventKind.RESULT}
            json.dumps(said.data, allow_nan=False, ensure_ascii=False).encode()
        else:
            assert said == ResultFile()


@pytest.mark.parametrize("wrong", [[], {}, ["started"], {"a": 1}, 7, None])
def test_a_step_whose_state_is_no_state_is_none(wrong: object) -> None:
    assert parse_message(json.dumps({"kind": "step", "id": "a", "state": wrong}).encode()) is None


@pytest.mark.parametrize("wrong", [[], {}, ["suite"], {"a": 1}, 7, None, "other"])
def test_a_step_of_no_known_type_is_a_step(wrong: object) -> None:
    message = {"kind": "step", "id": "a", "state": "passed", "type": wrong}
    draft = parse_message(json.dumps(message).encode())
    assert isinstance(draft, Draft)
    assert draft.data["type"] == "step"


def test_a_fault_of_ours_in_reading_a_message_does_not_end_the_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_message: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(output, "_progress", fails)
    assert OutputReader().feed(wire({"kind": "progress", "percent": 1}) + b"\n") == [Line("")]
    assert "could not be read" in caplog.text


def read(content: bytes, size: int) -> list[Item]:
    """`content` as it comes in chunks of `size` bytes."""
    reader = OutputReader()
    chunks = [content[at : at + size] for at in range(0, len(content), size)]
    return [item for chunk in chunks for item in reader.feed(chunk)] + reader.finish()


def given_in(content: bytes, size: int) -> list[bytes]:
    lines = [item for item in read(content, size) if isinstance(item, Line)]
    return [line.result for line in lines if line.result is not None]


@pytest.mark.parametrize("size", [5, 1000, 65536])
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\nmore\n"])
def test_the_whole_of_a_line_with_a_result_is_kept(size: int, end: bytes) -> None:
    value = {"x": "Zoë" * 9000}
    line = b"::result " + json.dumps(value, ensure_ascii=False).encode()
    content = b"before\n" + line[:70] + wire({"kind": "progress", "percent": 1}) + line[70:] + end
    (whole,) = given_in(content, size)
    assert result_line(whole).data == {"value": value}
    shown = [item.text for item in read(content, size) if isinstance(item, Line)]
    assert all(len(text.encode()) <= MAX_LINE + 3 for text in shown)


def test_a_message_after_a_cut_line_with_a_result_takes_nothing_from_it() -> None:
    line = b"::result " + json.dumps("a" * (MAX_LINE + 50)).encode()
    (whole,) = given_in(line + wire({"kind": "progress", "percent": 1}), 10**6)
    assert whole == line
    reader = OutputReader()
    reader.feed(line[: MAX_LINE + 1])
    reader.feed(line[MAX_LINE + 1 :])
    (last,) = reader.finish()
    assert isinstance(last, Line)
    assert last.result == line


@pytest.mark.parametrize("start", [b" ::result ", b"::result", b"x" * MAX_LINE + b"::result "])
def test_other_lines_are_not_kept(start: bytes) -> None:
    assert given_in(start + b"{}" * MAX_LINE + b"\n", 4096) == []


def test_what_is_kept_is_bounded() -> None:
    (whole,) = given_in(b"::result " + b" " * (3 * MAX_RESULT) + b"1\n", 65536)
    assert MAX_RESULT < len(whole) <= MAX_RESULT + 2 * MAX_LINE
