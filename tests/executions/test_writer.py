"""What a robot's only writer makes of its output: order, bounds, and what is over the limit."""

import json
from typing import Any

import pytest
from django.db import OperationalError

from executions import lifecycle
from executions.choices import EventKind, Status
from executions.events import Draft, Source, read_page
from executions.lifecycle import Ending
from executions.models import Execution, Runner
from executions.runner import writer as module
from executions.runner.output import Line
from executions.runner.writer import StreamWriter

pytestmark = pytest.mark.django_db(transaction=True)


def writer_of(execution: Execution, *, log_limit: int = 10_000) -> StreamWriter:
    """Of the run, which has started."""
    claimed = lifecycle.claim_next(Runner.objects.create(host="here", pid=1, slots=1))
    assert claimed is not None
    run, token = claimed
    assert run == execution
    writer = StreamWriter(run.pk, token, log_limit=log_limit)
    writer.commit(1, lambda source: lifecycle.start(run, source))
    return writer


def said(execution: Execution) -> list[tuple[str, Any]]:
    """What came after the start, in short."""
    events = [json.loads(each.text) for each in read_page(execution.pk, after=2)]
    told: list[tuple[str, Any]] = []
    for event in events:
        data = event["data"]
        if event["kind"] == "log":
            told.append((data["stream"], data["lines"]))
        else:
            told.append((event["kind"], data.get("code") or data.get("status")))
    return told


def test_lines_and_messages_keep_their_order(execution: Execution) -> None:
    writer = writer_of(execution)
    note = Draft(EventKind.NOTICE, {"code": "note"})
    writer.add("stdout", [Line("one"), Line("two"), note, Line("three")])
    writer.add("stderr", [Line("four")])
    writer.add("stdout", [Line("five")])
    writer.flush()
    writer.flush()
    writer.add("stdout", [Line("six")])
    writer.finish(Ending(Status.COMPLETED, exit_code=0))
    assert said(execution) == [
        ("stdout", ["one", "two"]),
        ("notice", "note"),
        ("stdout", ["three"]),
        ("stderr", ["four"]),
        ("stdout", ["five"]),
        ("stdout", ["six"]),
        ("status", "COMPLETED"),
    ]


@pytest.mark.parametrize(
    ("name", "bound", "lines"), [("_MAX_LINES", 3, 7), ("_MAX_BYTES", 3 * 9, 7)]
)
def test_much_is_not_kept_until_it_is_due(
    execution: Execution, monkeypatch: pytest.MonkeyPatch, name: str, bound: int, lines: int
) -> None:
    writer = writer_of(execution)
    monkeypatch.setattr(module, name, bound)
    writer.add("stdout", [Line(f"line  {number:02}") for number in range(lines)])
    assert [len(each) for _stream, each in said(execution)] == [3, 3]


def test_over_the_limit_it_is_said_once_counted_at_the_end_and_nothing_is_kept(
    execution: Execution,
) -> None:
    """Not even what would still fit: a log with holes that nobody sees is worse than a short one."""
    writer = writer_of(execution, log_limit=20)
    writer.add("stdout", [Line("x" * 9), Line("y" * 50), Line("z")])
    writer.add("stderr", [Line("z"), Draft(EventKind.NOTICE, {"code": "note"}), Line("z" * 4)])
    writer.finish(Ending(Status.COMPLETED, exit_code=0))
    assert said(execution) == [
        ("stdout", ["x" * 9]),
        ("notice", "log_limited"),
        ("notice", "note"),
        ("notice", "log_limited"),
        ("status", "COMPLETED"),
    ]
    last = json.loads(read_page(execution.pk, after=5)[0].text)["data"]
    assert (last["lines"], last["bytes"]) == (4, 51 + 2 + 2 + 5)


def test_within_the_limit_nothing_is_said_of_it(execution: Execution) -> None:
    writer = writer_of(execution, log_limit=20)
    writer.add("stdout", [Line("x" * 9), Line("y" * 9)])
    writer.finish(Ending(Status.COMPLETED, exit_code=0))
    assert said(execution) == [("stdout", ["x" * 9, "y" * 9]), ("status", "COMPLETED")]


@pytest.mark.parametrize("lines", [[], ["last"]])
def test_an_end_whose_answer_was_lost_is_said_again_without_harm(
    execution: Execution, monkeypatch: pytest.MonkeyPatch, lines: list[str]
) -> None:
    writer = writer_of(execution)
    finish = lifecycle.finish

    def lost(*arguments: Any, **named: Any) -> None:
        monkeypatch.setattr(lifecycle, "finish", finish)
        finish(*arguments, **named)
        raise OperationalError("the connection was lost")

    monkeypatch.setattr(lifecycle, "finish", lost)
    writer.add("stdout", [Line(each) for each in lines])
    writer.finish(Ending(Status.COMPLETED, exit_code=0))
    assert lifecycle.finish is finish
    assert said(execution) == [("stdout", lines)] * len(lines) + [("status", "COMPLETED")]


def test_what_another_writer_may_not_say_is_refused(execution: Execution) -> None:
    """It takes note of nothing that was refused: what it says next is refused as well."""
    writer = writer_of(execution)
    lifecycle.finish(execution.pk, Ending(Status.CANCELLED))
    for _time in range(2):
        writer.add("stdout", [Line("late")])
        with pytest.raises(lifecycle.StreamClosed):
            writer.flush()
    taken: list[Source] = []
    writer.commit(0, taken.append)
    assert [(each.start, each.end) for each in taken] == [(1, 1)]
