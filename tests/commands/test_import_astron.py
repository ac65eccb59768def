"""`manage.py import_astron`: all or nothing, and a report of what became of the rows."""

from pathlib import Path

import pytest
from django.core.management.base import CommandError

from audit.models import Entry
from enterprises.models import Enterprise
from spaces.models import Space
from tests.commands.calling import called
from tests.interop.test_import import FIXTURE

pytestmark = pytest.mark.django_db


def test_a_dry_run_changes_nothing_and_says_the_same(permissions: None) -> None:
    told = Entry.objects.count()
    dry = called("import_astron", str(FIXTURE), "--dry-run").splitlines()
    assert not Enterprise.objects.exists()
    assert Entry.objects.count() == told
    real = called("import_astron", str(FIXTURE), "--time-zone", "Asia/Shanghai").splitlines()
    assert dry == [*real, "Nothing was changed: this was a dry run."]
    assert Enterprise.objects.count() == 3
    assert Entry.objects.filter(action="astron.import").exists()
    assert Entry.objects.filter(action="enterprise.add", object_id="7").exists()
    again = called("import_astron", str(FIXTURE))
    assert "agent_enterprise: 3 known" in again


def test_a_file_that_is_broken_in_the_middle_brings_nothing(
    permissions: None, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.sql"
    broken.write_text(
        FIXTURE.read_text() + "INSERT INTO agent_space (id, name) VALUES (9,'x'),(10,NOW());"
    )
    with pytest.raises(CommandError, match="only plain values"):
        called("import_astron", str(broken))
    assert not Enterprise.objects.exists()
    assert not Space.objects.exists()


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    other = tmp_path / "other.sql"
    other.write_text("CREATE TABLE `x` (\n `id` int\n);\n")
    for source in (str(tmp_path / "nowhere"), str(other), "mysql://root@127.0.0.1:1/none"):
        with pytest.raises(CommandError, match="Nothing was brought across"):
            called("import_astron", source)
