"""Sealing moves events into storage, and no reader can tell."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.db import OperationalError, connection
from django.utils import timezone

from executions import claims, clock, events, frames, sealing, segments
from executions.choices import EventKind, Status
from executions.events import Draft, append, head_of, read_page
from executions.lifecycle import Ending, finish
from executions.models import (
    Execution,
    ExecutionEvent,
    ExecutionSegment,
    ExecutionStream,
    UnclaimedObject,
)
from executions.sealing import NotSealed, seal, seal_due
from robots.models import Robot
from tests.factories import make_execution

pytestmark = pytest.mark.django_db(transaction=True)


def everything(execution: Execution, *, size: int = 3000) -> list[str]:
    """The whole stream as a reader of small pages gets it."""
    texts: list[str] = []
    while page := read_page(execution.pk, after=len(texts), size=size):
        assert [each.seq for each in page] == [len(texts) + 1 + at for at in range(len(page))]
        texts += [each.text for each in page]
    return texts


def say(execution: Execution, events: int, *, width: int = 40) -> None:
    for number in range(events):
        append(
            execution.pk, [Draft(EventKind.LOG, {"stream": "stdout"}, ("x" * width, str(number)))]
        )


def rows(execution: Execution) -> int:
    return ExecutionEvent.objects.filter(execution=execution).count()


#: All that Python, and other readers of lines, take for the end of one.
ENDS = "a\v\f\x1c\x1d\x1e\x85\u2028\u2029z"


def test_an_event_is_one_line_for_every_reader(
    execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that was sealed as it was, before that was so."""
    append(execution.pk, [Draft(EventKind.LOG, {"stream": "stdout"}, [ENDS, "张" + ENDS])])
    append(execution.pk, [Draft(EventKind.RESULT, {"value": {ENDS: ENDS * 400}})])
    texts = everything(execution)
    assert [each.splitlines() for each in texts] == [[each] for each in texts]
    assert json.loads(texts[1])["data"]["lines"] == [ENDS, "张" + ENDS]
    assert json.loads(texts[2])["data"]["value"] == {ENDS: ENDS * 400}
    monkeypatch.setattr(frames, "_LINE_ENDS", ())
    assert everything(execution) != texts
    assert seal(execution.pk) == 3
    assert rows(execution) == 0
    monkeypatch.undo()
    assert everything(execution) == texts


def test_every_way_of_reading_gives_the_same_bytes(execution: Execution) -> None:
    say(execution, 250, width=1500)
    before = everything(execution)
    assert seal(execution.pk) == 251
    assert rows(execution) == 0
    assert everything(execution) == before
    for after in (0, 1, 100, 249, 250):
        assert [each.text for each in read_page(execution.pk, after=after, size=1)] == [
            before[after]
        ]
        bounded = read_page(execution.pk, after=after, up_to=after + 2, size=10**6)
        assert [each.text for each in bounded] == before[after : after + 2]
    assert read_page(execution.pk, after=251) == []


def test_rows_and_segments_make_one_stream(execution: Execution) -> None:
    for _round in range(4):
        say(execution, 7)
        before = everything(execution)
        seal(execution.pk)
        assert everything(execution) == before
    say(execution, 3)
    assert ExecutionSegment.objects.filter(execution=execution).count() == 4
    assert rows(execution) == 3
    assert len(everything(execution)) == head_of(execution.pk).last_seq == 32


def test_nothing_to_seal_is_no_segment(execution: Execution) -> None:
    seal(execution.pk)
    assert seal(execution.pk) == 0
    assert ExecutionSegment.objects.count() == 1


def test_a_long_stream_becomes_several_segments(
    execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "SEGMENT_BYTES", 20_000)
    monkeypatch.setattr(sealing, "MEMBER_BYTES", 5_000)
    say(execution, 300)
    before = everything(execution)
    while seal(execution.pk):
        assert everything(execution) == before
    segments = list(ExecutionSegment.objects.order_by("first_seq"))
    assert len(segments) > 1
    assert all(len(each.members) > 1 for each in segments[:-1])
    assert [each.first_seq for each in segments] == [1, *(each.last_seq + 1 for each in segments)][
        :-1
    ]


def test_what_is_due_is_sealed_while_it_runs_and_after_its_end(
    execution: Execution, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    monkeypatch.setattr(sealing, "SEAL_BYTES", 4000)
    Execution.objects.filter(pk=execution.pk).update(status=Status.RUNNING)
    say(execution, 10)
    assert seal_due() == 0
    say(execution, 90)
    assert seal_due() == 101
    say(execution, 5)
    assert seal_due() == 0
    settings.RPA_ARCHIVE_AFTER = 3600
    finish(execution.pk, Ending(Status.COMPLETED))
    assert seal_due() == 0
    late = timezone.now() + timedelta(hours=2)
    monkeypatch.setattr(timezone, "now", lambda: late)
    assert seal_due() == 6
    assert rows(execution) == 0
    assert ExecutionStream.objects.get(pk=execution.pk).seal_at is None
    assert seal_due() == 0
    assert len(everything(execution)) == 107


def test_an_object_that_came_back_wrong_changes_nothing(
    execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(execution, 20)
    before = everything(execution)
    save = default_storage.save

    def spoiled(name: str, content: Any) -> str:
        key = save(name, content)
        Path(default_storage.path(key)).write_bytes(b"something else")
        return key

    monkeypatch.setattr(default_storage, "save", spoiled, raising=False)
    with pytest.raises(NotSealed):
        seal(execution.pk)
    assert everything(execution) == before
    assert rows(execution) == 21
    monkeypatch.undo()
    assert seal(execution.pk) == 21
    assert everything(execution) == before


def test_two_sealers_leave_one_segment(
    execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(execution, 50)
    before = everything(execution)
    both = threading.Barrier(2)
    commit = sealing._commit

    def together(*arguments: Any) -> None:
        both.wait(20)
        commit(*arguments)

    monkeypatch.setattr(sealing, "_commit", together)
    threads = [threading.Thread(target=_sealed, args=(execution.pk,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ExecutionSegment.objects.count() == 1
    assert UnclaimedObject.objects.count() == 1
    assert everything(execution) == before


def _sealed(number: int) -> None:
    try:
        seal(number)
    finally:
        connection.close()


def interrupted(
    execution: Execution, monkeypatch: pytest.MonkeyPatch, before_commit: Callable[[], None]
) -> int:
    """Seal it, with something else in between that others do while the sealer is stopped."""
    commit = sealing._commit

    def late(*arguments: Any) -> None:
        before_commit()
        commit(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(sealing, "_commit", late)
        return seal(execution.pk)


def sweep_all() -> int:
    return sum(claims.sweep(each) for each in claims.unclaimed())


def age(**by: int) -> None:
    UnclaimedObject.objects.update(created_at=clock.now() - timedelta(**by))


@pytest.mark.parametrize("swept", [True, False])
def test_a_sealer_that_was_stopped_for_an_hour_loses_nothing(
    execution: Execution, monkeypatch: pytest.MonkeyPatch, swept: bool
) -> None:
    """Whether its object was swept meanwhile, or only may have been."""
    say(execution, 20)
    before = everything(execution)

    def meanwhile() -> None:
        age(hours=2)
        assert not swept or sweep_all() == 1

    with pytest.raises(NotSealed, match="not claimed in time"):
        interrupted(execution, monkeypatch, meanwhile)
    assert everything(execution) == before
    assert rows(execution) == 21
    assert sweep_all() == (0 if swept else 1)
    assert seal(execution.pk) == 21
    assert everything(execution) == before


def test_a_claim_is_refused_before_a_sweep_may_begin(
    execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile() -> None:
        age(minutes=50)
        assert not claims.unclaimed().exists()

    with pytest.raises(NotSealed):
        interrupted(execution, monkeypatch, meanwhile)
    assert rows(execution) == 1


def test_what_was_claimed_since_it_was_found_is_not_swept(
    execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(execution, 20)
    before = everything(execution)
    found = list[UnclaimedObject]()
    interrupted(execution, monkeypatch, lambda: found.extend(UnclaimedObject.objects.all()))
    assert [claims.sweep(each) for each in found] == [False]
    assert default_storage.exists(found[0].object_key)
    assert everything(execution) == before


def test_a_claim_waits_for_a_sweep_of_the_same_object(
    execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(execution, 20)
    before = everything(execution)
    deleting, sealing_it = threading.Event(), threading.Event()
    delete = default_storage.delete

    def slowly(key: str) -> None:
        deleting.set()
        assert sealing_it.wait(20)
        time.sleep(0.3)
        delete(key)

    def sweep(found: UnclaimedObject) -> None:
        try:
            claims.sweep(found)
        finally:
            connection.close()

    threads = list[threading.Thread]()

    def meanwhile() -> None:
        found = UnclaimedObject.objects.get()
        threads.append(threading.Thread(target=sweep, args=(found,)))
        threads[0].start()
        assert deleting.wait(20)
        sealing_it.set()

    monkeypatch.setattr(default_storage, "delete", slowly, raising=False)
    with pytest.raises(NotSealed):
        interrupted(execution, monkeypatch, meanwhile)
    threads[0].join()
    assert everything(execution) == before
    assert rows(execution) == 21


def test_what_a_sweeper_has_deleted_that_died_is_never_claimed(
    execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The object is gone, and the note is still there: it looks as if nothing had happened."""
    delete = default_storage.delete

    def deadly(key: str) -> None:
        delete(key)
        raise KeyboardInterrupt

    def meanwhile() -> None:
        age(hours=2)
        with monkeypatch.context() as patch:
            patch.setattr(default_storage, "delete", deadly, raising=False)
            with pytest.raises(KeyboardInterrupt):
                sweep_all()
        assert UnclaimedObject.objects.exists()

    with pytest.raises(NotSealed):
        interrupted(execution, monkeypatch, meanwhile)
    assert sweep_all() == 1
    assert rows(execution) == 1


def test_notes_go_by_the_time_of_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """A runner whose own clock is an hour behind notes what nobody may sweep yet."""
    there = clock.now() + timedelta(hours=5)
    monkeypatch.setattr(clock, "now", lambda: there)
    claims.note("segments/x/1.gz")
    assert UnclaimedObject.objects.get().created_at == there
    assert not claims.unclaimed().exists()
    claims.claim("segments/x/1.gz")
    claims.note("segments/x/2.gz")
    monkeypatch.setattr(clock, "now", lambda: there + timedelta(hours=2))
    assert [each.object_key for each in claims.unclaimed()] == ["segments/x/2.gz"]


STEPS = ("_collect", "_upload", "_verify", "_commit", "_trim", "_settle")


def test_readers_see_no_hole_at_any_step(
    execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(execution, 230)
    before = everything(execution)
    seen: list[str] = []

    def watched(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def deed(*arguments: Any) -> Any:
            assert everything(execution) == before
            answer = step(*arguments)
            assert everything(execution) == before
            seen.append(name)
            return answer

        return deed

    for name in STEPS:
        monkeypatch.setattr(sealing, name, watched(name, getattr(sealing, name)))
    monkeypatch.setattr(sealing, "SLICE", 7)
    seal(execution.pk)
    seal(execution.pk)
    assert set(seen) == set(STEPS)


def test_rows_go_oldest_first_and_a_few_at_a_time(
    execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the robot goes on: nobody ever meets a row behind one that is gone."""
    say(execution, 30)
    commit, gone = sealing._commit, list[list[int]]()

    def going_on(*arguments: Any) -> None:
        commit(*arguments)
        say(execution, 2)
        monkeypatch.setattr(sealing, "writing", watched)

    @contextmanager
    def watched() -> Iterator[None]:
        had = set(ExecutionEvent.objects.values_list("seq", flat=True))
        with events.writing():
            yield
        gone.append(sorted(had - set(ExecutionEvent.objects.values_list("seq", flat=True))))
        assert len(everything(execution)) == 33

    monkeypatch.setattr(sealing, "_commit", going_on)
    monkeypatch.setattr(sealing, "SLICE", 7)
    assert seal(execution.pk) == 31
    assert gone == [list(range(first, min(first + 7, 32))) for first in range(1, 32, 7)]
    assert rows(execution) == 2


def test_a_seal_that_fails_at_any_statement_loses_nothing(robot: Robot) -> None:
    """What it has done by then is whole, and the next one does the rest."""
    for fatal in count(1):
        execution = make_execution(robot)
        say(execution, 12)
        before = everything(execution)
        passed = 0

        def executing(execute: Callable[..., Any], *arguments: Any, fatal: int = fatal) -> Any:
            nonlocal passed
            passed += 1
            if passed == fatal:
                raise OperationalError("away")
            return execute(*arguments)

        try:
            with connection.execute_wrapper(executing):
                seal(execution.pk)
        except OperationalError:
            assert everything(execution) == before
            seal(execution.pk)
        assert everything(execution) == before
        assert rows(execution) == 0
        assert ExecutionSegment.objects.filter(execution=execution).count() == 1
        if passed < fatal:
            break
    assert fatal > 8
    named = ExecutionSegment.objects.values("object_key")
    assert not UnclaimedObject.objects.filter(object_key__in=named).exists()


def test_a_sealer_that_packed_more_than_who_was_first_removes_only_what_is_sealed(
    execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(execution, 60)
    before = everything(execution)
    commit = sealing._commit

    def late(*arguments: Any) -> None:
        with monkeypatch.context() as first:
            first.setattr(sealing, "_commit", commit)
            first.setattr(sealing, "SEGMENT_BYTES", 1)
            first.setattr(sealing, "MEMBER_BYTES", 1000)
            assert 0 < seal(execution.pk) < 61
        commit(*arguments)

    monkeypatch.setattr(sealing, "_commit", late)
    seal(execution.pk)
    monkeypatch.undo()
    assert everything(execution) == before
    assert rows(execution) > 0
    seal(execution.pk)
    assert everything(execution) == before
    assert rows(execution) == 0


def test_an_end_that_comes_while_somebody_else_seals_is_sealed_too(
    execution: Execution, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.RPA_ARCHIVE_AFTER = 0
    say(execution, 20)
    read = sealing.read_rows

    def late(*arguments: Any, **bounds: Any) -> Any:
        monkeypatch.setattr(sealing, "read_rows", read)
        assert seal(execution.pk) == 21
        finish(execution.pk, Ending(Status.CANCELLED))
        return read(*arguments, **bounds)

    monkeypatch.setattr(sealing, "read_rows", late)
    assert seal(execution.pk) == 0
    assert rows(execution) == 1
    assert seal_due() == 1
    assert rows(execution) == 0


def test_one_that_cannot_be_sealed_waits_and_keeps_no_other_waiting(
    robot: Robot, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.RPA_ARCHIVE_AFTER = 0
    bad, good = make_execution(robot), make_execution(robot)
    for each in (bad, good):
        finish(each.pk, Ending(Status.CANCELLED))
    before = everything(bad)
    save, tried = default_storage.save, list[str]()

    def failing(name: str, content: Any) -> str:
        tried.append(name)
        if str(bad.uid) in name:
            raise OSError("no room")
        return save(name, content)

    monkeypatch.setattr(default_storage, "save", failing, raising=False)
    assert seal_due() == 2
    assert (rows(bad), rows(good)) == (2, 0)
    assert len(tried) == 2
    assert seal_due() == 0
    assert len(tried) == 2
    monkeypatch.undo()
    later = timezone.now() + timedelta(hours=1)
    monkeypatch.setattr(timezone, "now", lambda: later)
    assert seal_due() == 2
    assert rows(bad) == 0
    assert everything(bad) == before


def test_an_event_that_moves_between_a_readers_two_looks_is_met(
    execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asked the segments first and the rows second would find it in neither."""
    say(execution, 20)
    before = everything(execution)
    sealed: list[int] = []

    def moving(look: Callable[..., Any]) -> Callable[..., Any]:
        def looked(*arguments: Any, **named: Any) -> Any:
            found = look(*arguments, **named)
            sealed.append(seal(execution.pk))
            return found

        return looked

    monkeypatch.setattr(events, "read_rows", moving(events.read_rows))
    monkeypatch.setattr(segments, "read", moving(segments.read))
    assert everything(execution) == before
    assert sealed[0] == len(before)


_KILLED = """
import os, sys, django
django.setup()
from executions import sealing
step, when, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
sealing.SLICE = 7
real = getattr(sealing, step)
def deadly(*arguments, **options):
    if when == "before":
        os.kill(os.getpid(), 9)
    real(*arguments, **options)
    os.kill(os.getpid(), 9)
setattr(sealing, step, deadly)
sealing.seal(number)
"""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "step", ["_collect", "_upload", "_verify", "_commit", "_trim", "remove_rows"]
)
def test_a_sealer_killed_at_any_step_loses_nothing(
    execution: Execution, step: str, when: str, other_process: Callable[..., int]
) -> None:
    say(execution, 60)
    before = everything(execution)
    assert other_process(_KILLED, step, when, str(execution.pk)) == -9
    assert everything(execution) == before
    say(execution, 5)
    after = everything(execution)
    assert after[:61] == before
    while seal(execution.pk):
        pass
    assert rows(execution) == 0
    assert everything(execution) == after
    named = set(ExecutionSegment.objects.values_list("object_key", flat=True))
    unclaimed = set(UnclaimedObject.objects.values_list("object_key", flat=True))
    folder = f"segments/{execution.uid}"
    there = {f"{folder}/{name}" for name in default_storage.listdir(folder)[1]}
    assert named <= there <= named | unclaimed
    assert named.isdisjoint(unclaimed)  # what is unclaimed is swept


@pytest.fixture
def other_process() -> Callable[..., int]:
    """Run a program on this test's database and storage; returns its exit code."""
    from django.conf import settings

    def run(program: str, *arguments: str) -> int:
        name = connection.settings_dict["NAME"]
        url = f"sqlite:///{name}"
        if connection.vendor == "mysql":
            url = os.environ["RPA_TEST_DATABASE_URL"].rpartition("/")[0] + f"/{name}"
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "rpa_platform.settings",
            "RPA_DATA_DIR": str(settings.RPA_DATA_DIR),
            "RPA_DATABASE_URL": url,
        }
        answer = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert answer.returncode == -9, answer.stderr
        return answer.returncode

    return run
