"""The chain: no entry can be changed, removed or moved without that being found."""

import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, models, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import User
from audit.chain import BEGINNING, Broken, Link, verify
from audit.models import Entry, Head
from audit.recording import recording, tell
from tests.audit.entries import forget_everything
from tests.executions.server import ROOT, environment
from tests.executions.threads import succeed
from tests.factories import make_user

COLUMNS = [each.name for each in Entry._meta.concrete_fields]


@pytest.fixture(autouse=True)
def _at_the_beginning(db: None) -> None:
    forget_everything()


def plain() -> "models.QuerySet[Entry]":
    """As somebody with access to the database has it: nothing is guarded."""
    return models.QuerySet(Entry)


def chain(length: int) -> None:
    for number in range(length):
        tell("test.deed", note=f"no {number}")


@pytest.mark.django_db
def test_an_empty_chain_is_whole() -> None:
    assert verify() == Link(0, BEGINNING)


@pytest.mark.django_db
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_whatever_is_changed_removed_or_moved_is_found(data: Any) -> None:
    length = data.draw(st.integers(1, 6), "length")
    with transaction.atomic():
        chain(length)
        end = verify()
        number = data.draw(st.integers(1, length), "number")
        entry = Entry.objects.get(number=number)
        match data.draw(st.sampled_from(["change", "remove", "swap", "double", "head"]), "how"):
            case "change":
                name = data.draw(st.sampled_from(COLUMNS), "column")
                old = getattr(entry, name)
                if name == "number":
                    new: Any = length + data.draw(st.integers(1, 5))
                elif name == "at":
                    new = old + timedelta(microseconds=data.draw(st.integers(1, 10**9)))
                else:
                    longest = Entry._meta.get_field(name).max_length or 200
                    letters = st.text(st.characters(codec="ascii", exclude_characters="\0"))
                    new = data.draw(letters.filter(lambda text: text[:longest] != old))[:longest]
                plain().filter(number=number).update(**{name: new})
            case "remove":
                plain().filter(number=number)._raw_delete("default")
            case "swap":
                other = data.draw(st.integers(1, length).filter(lambda n: n != number or n == 1))
                if other == number:
                    plain().filter(number=number).update(number=number + 100)
                else:
                    for old_number, new_number in ((number, 0), (other, number), (0, other)):
                        plain().filter(number=old_number).update(number=new_number)
            case "double":
                plain().filter(number=number).update(number=0)
                plain().filter(number=0).update(number=length + 1)
            case "head":
                Head.objects.update(number=data.draw(st.integers(0, length - 1)))
        with pytest.raises(Broken) as found:
            verify()
        assert "Entry" in str(found.value)
        with pytest.raises(Broken):
            verify(end)
        transaction.set_rollback(True)


@pytest.mark.django_db
def test_a_known_end_proves_that_nobody_has_written_the_chain_anew() -> None:
    chain(3)
    known = verify()
    chain(2)
    verify(known)
    with transaction.atomic():
        plain()._raw_delete("default")
        Head.objects.all().delete()
        chain(5)
        verify()
        with pytest.raises(Broken, match="Entry 3: the known digest"):
            verify(known)
        transaction.set_rollback(True)
    with transaction.atomic():
        plain()._raw_delete("default")
        Head.objects.all().delete()
        with pytest.raises(Broken, match="Entry 3, which is known, is missing"):
            verify(known)
        transaction.set_rollback(True)


@pytest.mark.django_db
def test_the_first_broken_entry_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is far from the beginning, and the walk has several batches."""
    monkeypatch.setattr("audit.chain._BATCH", 2)
    chain(7)
    plain().filter(number=5).update(actor="mallory")
    plain().filter(number=6).update(actor="mallory")
    with pytest.raises(Broken, match=r"Entry 5 was changed\."):
        verify()


@pytest.mark.django_db
def test_entries_cannot_be_changed_by_mistake() -> None:
    chain(1)
    entry = Entry.objects.get()
    for deed in (
        entry.save,
        entry.delete,
        Entry.objects.all().delete,
        lambda: Entry.objects.update(actor=""),
    ):
        with pytest.raises(TypeError):
            deed()


@pytest.mark.django_db
def test_what_a_column_cannot_hold_does_not_break_the_chain() -> None:
    user = make_user("long")
    user.first_name = "汉字 😀"
    user.save()
    tell("test." + "x" * 300, on=user, text="\ud800 \0 " + "y" * 1000)
    verify()


@pytest.mark.django_db(transaction=True)
def test_a_change_and_its_entry_are_one_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    user = make_user("whole")
    end = verify()

    def half() -> None:
        with recording():
            user.first_name = "Half"
            user.save()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    user.refresh_from_db()
    assert (user.first_name, verify()) == ("", end)
    monkeypatch.setattr("audit.recording.link", lambda drafts: 1 / 0)
    user.first_name = "Half"
    with pytest.raises(ZeroDivisionError):
        user.save()
    user.refresh_from_db()
    assert (user.first_name, verify()) == ("", end)


@pytest.mark.django_db(transaction=True)
def test_writers_at_the_same_time_keep_the_chain_whole() -> None:
    people = [make_user(f"writer{number}") for number in range(4)]
    before = verify().number

    def write(user: User) -> None:
        for number in range(10):
            user.first_name = f"{number}"
            user.save(update_fields=["first_name"])

    succeed(*[lambda user=user: write(user) for user in people])
    assert verify().number == before + 40


WRITER = """
import sys
import django
django.setup()
from audit.recording import tell
for number in range(60):
    tell("test.deed", by=sys.argv[1], number=number)
"""


@pytest.mark.django_db(transaction=True)
def test_processes_that_write_at_the_same_time_keep_the_chain_whole() -> None:
    before = verify().number
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, name], cwd=ROOT, env=environment())
        for name in ("one", "two")
    ]
    assert [each.wait(120) for each in writers] == [0, 0]
    assert verify().number == before + 120
    connection.close()
