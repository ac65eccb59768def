"""`manage.py verify_audit`: says where the chain ends, or which entry was touched, and then ends with 1."""

from pathlib import Path

import pytest
from django.core.management.base import CommandError
from django.db import models

from audit.models import Entry
from audit.recording import tell
from tests.audit.entries import forget_everything
from tests.commands.calling import called, process

pytestmark = pytest.mark.django_db


def test_it_names_the_end_or_the_first_broken_entry() -> None:
    forget_everything()
    for _again in range(3):
        tell("test.deed")
    said = called("verify_audit")
    assert "3 entries are as they were written" in said
    known = said.split()[-1]
    assert known.startswith("3:")
    called("verify_audit", "--known", known)
    models.QuerySet(Entry).filter(number=2).update(actor="mallory")
    with pytest.raises(CommandError, match=r"Entry 2 was changed\."):
        called("verify_audit")
    with pytest.raises(CommandError):
        called("verify_audit", "--known", "3:no-digest")


def test_it_ends_with_zero_on_an_untouched_platform(data: Path) -> None:
    process(data, "migrate", "-v0")
    ended = process(data, "verify_audit")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert process(data, "verify_audit", "--known", "nonsense").returncode == 2
