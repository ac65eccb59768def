"""What breaks the rules of tenancy there keeps to them here: one officer, one owner, types by the rule, staff."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from accounts.models import User
from audit.chain import verify
from audit.models import Entry
from enterprises.models import Enterprise, EnterpriseUser
from interop.astron.importing import Report
from interop.models import Imported
from joining.models import Application
from spaces.limits import most_users, type_of
from spaces.models import Space, SpaceUser
from tests.interop.test_import import FIXTURE, brought

pytestmark = pytest.mark.django_db

COLUMNS = {
    "agent_enterprise": ("id", "uid", "name", "service_type", "deleted"),
    "agent_enterprise_user": ("id", "enterprise_id", "uid", "role", "create_time"),
    "agent_space": ("id", "name", "uid", "enterprise_id", "type", "deleted"),
    "agent_space_user": ("id", "space_id", "uid", "role", "create_time"),
    "agent_apply_record": ("id", "enterprise_id", "space_id", "apply_uid", "status"),
}
Bring = Callable[[Mapping[str, Any]], Report]


@pytest.fixture
def bring(permissions: None, tmp_path: Path) -> Bring:
    """Import rows of these tables; the report must be the same when it is done again, but for what is new."""

    def run(tables: Mapping[str, Any]) -> Report:
        path = tmp_path / "dump.sql"
        with path.open("w") as dump:
            for table, rows in tables.items():
                for row in rows:
                    values = ", ".join("NULL" if each is None else repr(each) for each in row)
                    names = ", ".join(COLUMNS[table])
                    dump.write(f"INSERT INTO {table} ({names}) VALUES ({values});\n")
        return brought(path)

    return run


def officers(pk: int) -> dict[str, int]:
    return dict(EnterpriseUser.objects.filter(enterprise=pk).values_list("user__uid", "role"))


def owners(pk: int) -> dict[str, int]:
    return dict(SpaceUser.objects.filter(space=pk).values_list("user__uid", "role"))


BROKEN: dict[str, list[tuple[Any, ...]]] = {
    "agent_enterprise": [
        (1, "u1", "Sound", 1, 0),
        (2, "u1", "Two officers", 1, 0),
        (3, "u1", "Two, and none has made it", 2, 0),
        (4, "u1", "The creator is staff", 1, 0),
        (5, "u1", "No officer", 1, 0),
        (6, "u1", "Nobody", 1, 1),
    ],
    "agent_enterprise_user": [
        (1, 1, "u1", 1, None),
        (2, 1, "u2", 2, None),
        (3, 2, "u2", 1, "2020-01-01 00:00:00"),
        (4, 2, "u1", 1, "2024-01-01 00:00:00"),
        (5, 3, "u3", 1, "2024-01-01 00:00:00"),
        (6, 3, "u2", 1, "2020-01-01 00:00:00"),
        (7, 4, "u2", 2, "2020-01-01 00:00:00"),
        (8, 4, "u1", 3, "2024-01-01 00:00:00"),
        (9, 5, "u4", 3, "2019-01-01 00:00:00"),
        (10, 5, "u3", 2, "2024-01-01 00:00:00"),
        (11, 5, "u2", 2, "2020-01-01 00:00:00"),
    ],
    "agent_space": [
        (1, "Sound", "u1", 1, 3, 0),
        (2, "Two owners", "u1", 1, 3, 0),
        (3, "No owner", "u1", 1, 3, 0),
        (4, "Nobody", "u1", 1, 3, 0),
        (5, "Free in a team", "u1", 1, 1, 0),
        (6, "No type at all", "u1", 3, None, 0),
        (7, "Personal of a team", "u3", None, 3, 0),
        (8, "Personal and pro", "u3", None, 2, 0),
        (9, "A stranger is in", "u1", 1, 3, 0),
        (10, "The same stranger", "u1", 1, 3, 0),
    ],
    "agent_space_user": [
        *((n, n, "u1", 1, None) for n in (1, 5, 9, 10)),
        (2, 2, "u2", 1, "2020-01-01 00:00:00"),
        (21, 2, "u1", 1, "2024-01-01 00:00:00"),
        (3, 3, "u2", 3, None),
        (6, 6, "u3", 1, None),
        (7, 7, "u3", 1, None),
        (8, 8, "u3", 1, None),
        (91, 9, "u9", 3, None),
        (101, 10, "u9", 2, None),
    ],
    "agent_apply_record": [(1, 1, 1, "u9", 1)],
}

REPAIRED = {
    "agent_enterprise 2: its one officer is u1: u2 is governor now.",
    "agent_enterprise 3: its one officer is u2: u3 is governor now.",
    "agent_enterprise 4: it had no officer: u1 is that now.",
    "agent_enterprise 5: it had no officer: u2 is that now.",
    "agent_space 2: its one owner is u1: u2 is admin now.",
    "agent_space 3: it had no owner: u2 is that now.",
    "agent_space 5: its type was 1: it is 3 by the rules.",
    "agent_space 6: its type was 0: it is 4 by the rules.",
    "agent_space 7: its type was 3: it is 1 by the rules.",
    "agent_space 9: u9 was not in its enterprise, and is staff there now.",
}
NOBODY_LEFT = {
    "agent_enterprise 6: it has no officer, and nobody is left in it who could be.",
    "agent_space 4: it has no owner, and nobody is left in it who could be.",
}


def test_each_repair_is_one_remark(bring: Bring) -> None:
    report = bring(BROKEN)
    assert set(report.remarks) == REPAIRED | NOBODY_LEFT
    assert len(report.remarks) == len(REPAIRED | NOBODY_LEFT)
    assert report.counts["agent_enterprise", "repaired"] == 4
    assert report.counts["agent_space", "repaired"] == 6
    assert officers(1) == {"u1": 1, "u2": 2, "u9": 3}
    assert officers(2) == {"u1": 1, "u2": 2}
    assert officers(3) == {"u2": 1, "u3": 2}
    assert officers(4) == {"u1": 1, "u2": 2}
    assert officers(5) == {"u2": 1, "u3": 2, "u4": 3}
    assert owners(2) == {"u1": 1, "u2": 2}
    assert owners(3) == {"u2": 1}
    types = dict(Space.objects.values_list("pk", "type"))
    assert types == {1: 3, 2: 3, 3: 3, 4: 3, 5: 3, 6: 4, 7: 1, 8: 2, 9: 3, 10: 3}
    personal = Space.objects.get(pk=7)
    assert most_users(type_of(personal)) == most_users(1)
    # Who was let into the enterprise may wait to be let into another space of it.
    assert Application.objects.get().applicant.uid == "u9"
    verify()


def test_doing_it_again_repairs_nothing(bring: Bring) -> None:
    bring(BROKEN)
    told = Entry.objects.count()
    again = bring(BROKEN)
    assert set(again.remarks) == NOBODY_LEFT
    assert {what for _table, what in again.counts} == {"known"}
    assert Entry.objects.count() == told


def test_who_rules_here_goes_on_when_the_other_system_has_somebody_new(bring: Bring) -> None:
    bring(BROKEN)
    EnterpriseUser.objects.filter(enterprise=1, user="u1").update(role=2)
    EnterpriseUser.objects.filter(enterprise=1, user="u2").update(role=1)
    newer = {"agent_enterprise_user": [(50, 1, "u5", 1, "2001-01-01 00:00:00")]}
    report = bring(newer)
    assert officers(1) == {"u2": 1, "u1": 2, "u5": 2, "u9": 3}
    assert "agent_enterprise 1: its one officer is u2: u5 is governor now." in report.remarks


def test_what_is_not_theirs_is_left_alone(bring: Bring) -> None:
    ours = User.objects.create(username="zoe", uid="zoe")
    empty = Enterprise.objects.create(pk=77, name="Ours, and empty", creator=ours)
    report = bring(BROKEN)
    assert not empty.members.exists()
    assert not any("77" in each for each in report.remarks)


def test_what_holds_to_the_rules_is_not_repaired(permissions: None) -> None:
    report = brought(FIXTURE)
    assert not [each for each in report.counts if each[1] == "repaired"]
    assert Imported.objects.filter(table="agent_space").count() == 2
