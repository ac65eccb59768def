"""`manage.py migrate` on an empty data folder: once is enough, and twice does no harm."""

import json
from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import settings

from tests.commands.calling import process


def test_a_fresh_database_needs_one_call(data: Path) -> None:
    first = process(data, "migrate", "-v0")
    assert (first.returncode, first.stdout, first.stderr) == (0, "", "")
    again = process(data, "migrate")
    assert again.returncode == 0
    assert "No migrations to apply." in again.stdout
    # The default permissions are in, as a new installation needs them.
    parts = json.loads(process(data, "doctor", "--json").stdout)
    levels = {each["part"]: each["level"] for each in parts}
    assert levels["migrations"] == levels["permissions"] == levels["database"] == "ok"


def test_the_models_have_no_change_that_no_migration_makes(data: Path) -> None:
    process(data, "migrate", "-v0")
    checked = process(data, "makemigrations", "--check", "--dry-run")
    assert checked.returncode == 0, checked.stdout


def test_the_data_folder_is_the_servers_alone(data: Path) -> None:
    folder = data / "new" / "var"
    assert process(folder, "migrate", "-v0").returncode == 0
    assert folder.stat().st_mode & 0o066 == 0
    assert (folder / "secret_key").stat().st_mode & 0o077 == 0
    assert not (Path(settings.BASE_DIR) / "db.sqlite3").exists()


@pytest.mark.parametrize("command", ["executions", "runners", "export_audit", "drain"])
def test_a_command_that_meets_an_older_database_names_the_remedy(data: Path, command: str) -> None:
    named = [str(uuid4())] if command == "drain" else []
    refused = process(data, command, *named)
    assert refused.returncode == 1
    assert refused.stderr.startswith("The database refused: no such table: ")
    assert refused.stderr.endswith(". Run: manage.py migrate\n")
    assert refused.stderr.count("\n") == 1


def test_a_database_that_cannot_be_opened_is_for_the_doctor(data: Path) -> None:
    url = "mysql://nobody@127.0.0.1:9/none"
    refused = process(data, "executions", RPA_DATABASE_URL=url)
    assert refused.returncode == 1
    assert refused.stderr.endswith(". Look at: manage.py doctor\n")


def test_the_demo_brings_the_database_up_to_date(data: Path) -> None:
    made = process(data, "demo", "--json")
    assert (made.returncode, made.stderr) == (0, "")
    assert "hello" in json.loads(made.stdout)["robots"]
    listed = process(data, "executions", "--user", "alice")
    assert (listed.returncode, listed.stdout, listed.stderr) == (0, "", "")
