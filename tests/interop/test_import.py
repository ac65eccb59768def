"""Bringing an AstronAgent organisation across: whole, once, by the same numbers, and from no hostile file."""

import bz2
import gzip
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.actors import Actor
from accounts.models import User
from audit.chain import verify
from audit.models import Entry
from enterprises.models import Enterprise, EnterprisePermission, EnterpriseRole, EnterpriseUser
from enterprises.purging import purge_enterprise
from interop.astron.dump import Dump, DumpRefused
from interop.astron.importing import HANDLERS, LEFT, Importer, Report
from interop.models import Imported
from joining import services as joining
from joining.models import Application, Invite, InviteStatus
from spaces.access import may
from spaces.models import Space, SpacePermission, SpaceRole, SpaceUser
from tests.factories import make_enterprise, make_user

FIXTURE = Path(__file__).with_name("astron.sql")
WANTED = {*HANDLERS, *LEFT}


def brought(path: Path = FIXTURE, name: str = "astron") -> Report:
    with Dump(path, WANTED) as dump:
        return Importer(dump, name=name, zone=ZoneInfo("Asia/Shanghai")).run()


@pytest.mark.django_db
def test_an_empty_platform_has_it_by_the_same_numbers(permissions: None) -> None:
    report = brought()
    assert dict(Enterprise.objects.values_list("pk", "name")) == {
        1: "星辰科技",
        7: 'O\'Brien; "& Sons" -- (no comment)',
        11: "Gone",
    }
    first = Enterprise.objects.get(pk=1)
    assert (first.creator.uid, first.service_type, first.org_id) == ("u-1001", 2, 77)
    assert first.create_time == datetime(2025, 3, 1, 1, 0, tzinfo=UTC)
    assert Enterprise.objects.get(pk=11).deleted
    space = Space.objects.get(pk=21)
    assert (space.name, space.description, space.type) == ("默认空间", "a\\b\tc", 4)
    assert Space.objects.get(pk=22).enterprise is None
    member = EnterpriseUser.objects.get(enterprise=1, user__uid="u-1001")
    assert (member.nickname, member.role) == ("老板\n😀", EnterpriseRole.OFFICER)
    assert SpaceUser.objects.get(space=21, user__uid="u-1002").role == SpaceRole.MEMBER
    assert not SpacePermission.objects.get(permission_key="robot.delete").admin
    assert EnterprisePermission.objects.get(permission_key="space.create").staff
    assert not Space.objects.filter(pk=666).exists()
    people = {user.uid: user for user in User.objects.all()}
    assert set(people) == {"u-1001", "u-1002", "u-1003", "casdoor/李雷"}
    assert people["casdoor/李雷"].username == "casdoor_李雷"
    assert not any(user.has_usable_password() for user in people.values())
    assert may(Actor(people["u-1001"]), "robot.delete", space=space)
    lines = list(report.lines())
    assert "agent_enterprise: 3 brought" in lines
    assert "agent_enterprise_user: 3 brought, 2 skipped" in lines
    assert "agent_enterprise_user 5: its role 9 means nothing" in lines
    assert "agent_space 23: its enterprise_id 555 was not brought across" in lines
    assert "agent_share_record: 2 of type 0 left" in lines


@pytest.mark.django_db
def test_what_waits_to_join_waits_on(permissions: None) -> None:
    report = brought()
    assert dict(Application.objects.values_list("pk", "status")) == {31: 1, 32: 2}
    pending, approved = Application.objects.order_by("pk")
    assert (pending.space_id, pending.enterprise_id, pending.applicant_id) == (21, 1, "u-1003")
    assert (pending.apply_nickname, pending.auditor) == ("小王", None)
    assert pending.apply_time == datetime(2025, 6, 1, 2, 0, tzinfo=UTC)
    assert approved.auditor_id == "u-1001"
    assert dict(Invite.objects.values_list("pk", "status")) == {41: 1, 42: 1, 43: 4}
    invite = Invite.objects.get(pk=41)
    assert invite.state == InviteStatus.INITIAL
    assert invite.expire_time == datetime(2099, 6, 1, 0, 0, tzinfo=UTC)
    assert (invite.space_id, invite.enterprise_id, invite.role) == (21, 1, 2)
    assert Invite.objects.get(pk=42).state == InviteStatus.EXPIRED
    # It does not say when its time is over: that is seven days after it was sent.
    assert Invite.objects.get(pk=43).expire_time == datetime(2025, 6, 8, 2, 0, tzinfo=UTC)
    assert {
        "agent_apply_record 33: they are a member already",
        "agent_apply_record 34: nobody applies to join a personal space",
        "agent_apply_record 35: they have applied here already",
        "agent_apply_record 36: its status 7 means nothing",
        "agent_invite_record 44: they have an open invite already",
        "agent_invite_record 45: they are a member already",
        "agent_invite_record 46: it does not say when it expires",
        "agent_invite_record 47: its space_id 23 was not brought across",
    } <= set(report.remarks)
    joined = joining.accept_invite(invite, by=Actor(User.objects.get(uid="u-1003")))
    assert joined.status == InviteStatus.JOINED
    assert SpaceUser.objects.get(space=21, user__uid="u-1003").role == SpaceRole.ADMIN


@pytest.mark.django_db
def test_what_was_purged_here_is_not_brought_again(permissions: None) -> None:
    brought()
    Enterprise.objects.filter(pk=1).update(deleted=True)
    for _step in purge_enterprise(Enterprise.objects.get(pk=1)):
        pass
    Imported.objects.filter(table__in=["agent_enterprise_user", "agent_invite_record"]).delete()
    report = brought()
    assert not Enterprise.objects.filter(pk=1).exists()
    assert not Space.objects.filter(pk=21).exists()
    assert (
        "agent_enterprise_user 1: its enterprise_id 1 was removed here for ever" in report.remarks
    )
    assert "agent_invite_record 41: its space_id 21 was removed here for ever" in report.remarks
    verify()


@pytest.mark.django_db
def test_doing_it_again_brings_nothing_and_leaves_what_was_changed_here(permissions: None) -> None:
    brought()
    Space.objects.filter(pk=21).update(name="Ours now")
    SpacePermission.objects.filter(permission_key="robot.delete").update(admin=True)
    counted = [Enterprise, EnterpriseUser, Space, SpaceUser, SpacePermission, User, Imported]
    counted += [Application, Invite]
    before = [model._default_manager.count() for model in counted]
    told = Entry.objects.count()
    report = brought()
    assert [model._default_manager.count() for model in counted] == before
    assert Entry.objects.count() == told
    assert Space.objects.get(pk=21).name == "Ours now"
    assert SpacePermission.objects.get(permission_key="robot.delete").admin
    assert report.counts["agent_space", "known"] == 2
    assert not report.counts["agent_space", "brought"]
    verify()


@pytest.mark.django_db
def test_taken_numbers_and_names_get_others(permissions: None) -> None:
    ours = make_user("u-1001")
    User.objects.filter(pk=ours.pk).update(uid="u-1001")
    ours.refresh_from_db()
    house = make_enterprise("星辰科技", {ours: EnterpriseRole.OFFICER})
    Enterprise.objects.filter(pk=house.pk).delete()
    house = Enterprise.objects.create(pk=1, name="星辰科技", creator=ours)
    make_user("u-1002")  # another person, who happens to have that name
    report = brought()
    there = Imported.objects.get(table="agent_enterprise", theirs=1)
    assert there.ours not in (1, 7, 11)
    mapped = Enterprise.objects.get(pk=there.ours)
    assert (mapped.name, mapped.creator) == ("星辰科技 (2)", ours)
    assert Space.objects.get(pk=21).enterprise == mapped
    assert mapped.members.count() == 2
    assert house.members.count() == 0
    assert User.objects.get(uid="u-1002").username == "u-1002_2"
    assert f"agent_enterprise 1 is {there.ours} here." in report.remarks
    brought(name="another system")
    assert Enterprise.objects.filter(name="星辰科技 (3)").exists()


HEAD = "CREATE TABLE `agent_space` (\n  `id` bigint,\n  `name` text\n);\nINSERT INTO `agent_space` VALUES "


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "(1,'never ends);",
        HEAD + "(1,'x')",
        HEAD + "(1,'x',2);",
        HEAD + "(1);",
        HEAD + "(1,LOAD_FILE('/etc/passwd'));",
        HEAD + "(1,@@version);",
        HEAD + "(1,(SELECT 1));",
        HEAD + "(1,'x') ON DUPLICATE KEY UPDATE id=1;",
        HEAD + "(1,'x'),;",
        HEAD + "(1,'" + "x" * 70_000 + "');",
        HEAD + "(" + ",".join(["1"] * 100) + ");",
        "INSERT INTO `agent_space` VALUES (1,'no columns told');",
        "INSERT INTO agent_space (id, id) VALUES (1, 2);",
        "/* never ends",
        HEAD + "(1,'x');" + HEAD + "(2,'y');",
        HEAD + "(1,'it''",
        HEAD + "(1,'\udcff');",
        "CREATE TABLE `agent_space(;` (" + HEAD,
        "CREATE TABLE agent_space LIKE other; INSERT INTO agent_space VALUES (1);",
        "CREATE TABLE agent_space (" + ",".join(f"c{n} int" for n in range(100)) + ");"
        "INSERT INTO agent_space VALUES (1);",
        "",
    ],
)
def test_what_is_no_honest_dump_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "dump.sql"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))

    def read() -> None:
        with Dump(path, WANTED) as dump:
            list(dump.rows("agent_space"))

    with pytest.raises(DumpRefused):
        read()


@pytest.mark.parametrize("unit", ["/* ", "' ", "'' ", r"\\' ", "-- ", "`", "(", "x'"])
@pytest.mark.parametrize("head", [HEAD + "(1,'x'); ", "CREATE TABLE agent_space (x "])
def test_a_hostile_file_is_read_in_the_time_of_its_size(
    tmp_path: Path, head: str, unit: str
) -> None:
    """Ten times the file is about ten times the work: a square would be a hundred."""
    took = []
    for size in (100_000, 1_000_000):
        path = tmp_path / "dump.sql"
        path.write_text(head + unit * (size // len(unit)) + ";")
        began = time.process_time()
        with suppress(DumpRefused), Dump(path, WANTED) as dump:
            list(dump.rows("agent_space"))
        took.append(time.process_time() - began)
    assert took[1] < 40 * max(took[0], 0.005), took


BARE = """
CREATE TABLE agent_space (id bigint NOT NULL AUTO_INCREMENT, name varchar(50) DEFAULT 'a, (b)' COMMENT "not, this",
  -- nor, this
  `key` decimal(10,2) CHECK (length(name) > 1), PRIMARY KEY(id), KEY by_name(name, id), period int,
  UNIQUE (name), CONSTRAINT c CHECK (name <> ''), INDEX `i` (`id`)) ENGINE=InnoDB;
INSERT INTO agent_space VALUES (1,'x',2.50,NULL), (2,'y',NULL,3);
"""


@pytest.mark.parametrize(
    ("table", "quote"),
    [
        ("agent_space", ""),
        ("`agent_space`", "`"),
        ('"agent_space"', '"'),
        ("`astron`.`agent_space`", "`"),
        ('"the db" . "agent_space"', '"'),
        ("astron.agent_space", ""),
    ],
)
@pytest.mark.parametrize("listed", [True, False])
def test_names_are_read_however_they_are_quoted(
    tmp_path: Path, table: str, quote: str, listed: bool
) -> None:
    names = ", ".join(f"{quote}{each}{quote}" for each in ("id", "name", "type"))
    columns = f" ({names})" if listed else ""
    first, second, third = names.split(", ")
    text = (
        f"CREATE TABLE {table} ({first} bigint(20) NOT NULL,{second} varchar(50),\n{third} tinyint);\n"
        f"INSERT INTO {table}{columns} VALUES (1,'it''s; \\\"x\\\"',3);\n"
        f"insert into {table}{columns} value (2, NULL, 4);\n"
    )
    path = tmp_path / "dump.sql"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    with Dump(path, WANTED) as dump:
        assert dump.tables == {"agent_space"}
        assert list(dump.rows("agent_space")) == [
            {"id": 1, "name": 'it\'s; "x"', "type": 3},
            {"id": 2, "name": None, "type": 4},
        ]


def test_a_table_that_was_written_by_hand_has_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "dump.sql"
    path.write_text(BARE)
    with Dump(path, WANTED) as dump:
        assert list(dump.rows("agent_space")) == [
            {"id": 1, "name": "x", "key": "2.50", "period": None},
            {"id": 2, "name": "y", "key": None, "period": 3},
        ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(BARE.encode()), "compressed with gzip: unpack it first"),
        (bz2.compress(BARE.encode()), "compressed with bzip2: unpack it first"),
        (BARE.encode("utf-16"), "not UTF-8"),
        (BARE.encode("utf-16-be"), "no text in UTF-8"),
        (
            b"INSERT INTO a.agent_space (id) VALUES (1);INSERT INTO b.agent_space (id) VALUES (2);",
            "of another database",
        ),
    ],
)
def test_what_cannot_be_read_says_so(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "dump.sql"
    path.write_bytes(content)
    with pytest.raises(DumpRefused, match=said), Dump(path, WANTED):
        pass


def quoted(value: Any) -> str:
    """As mysqldump writes it."""
    if value is None or isinstance(value, int):
        return "NULL" if value is None else str(value)
    for plain, escape in (
        ("\\", "\\\\"),
        ("\0", "\\0"),
        ("\n", "\\n"),
        ("\r", "\\r"),
        ("'", "\\'"),
    ):
        value = value.replace(plain, escape)
    return f"'{value}'"


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(-(2**63), 2**63 - 1),
            st.none() | st.text(st.characters(codec="utf-8"), max_size=30),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_every_value_comes_back(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    path = tmp_path_factory.mktemp("dump") / "dump.sql"
    told = ",".join(f"({quoted(number)},{quoted(text)})" for number, text in rows)
    path.write_text(f"{HEAD}{told};\n", encoding="utf-8", newline="")
    with Dump(path, WANTED) as dump:
        assert [(each["id"], each["name"]) for each in dump.rows("agent_space")] == rows


@settings(max_examples=150, deadline=None)
@given(
    noise=st.lists(
        st.sampled_from(
            [*"'\"`;-/*#\\(),", "--", "/*", "*/", "\n", "x", "INSERT INTO `agent_space` VALUES "]
        )
    )
)
def test_no_noise_breaks_the_reader(
    tmp_path_factory: pytest.TempPathFactory, noise: list[str]
) -> None:
    path = tmp_path_factory.mktemp("dump") / "dump.sql"
    path.write_text(HEAD + "(1,'x');" + "".join(noise) + "\n")
    with suppress(DumpRefused), Dump(path, WANTED) as dump:
        list(dump.rows("agent_space"))


@pytest.fixture
def scratch() -> Iterator[str]:
    """An AstronAgent database on the server of the tests."""
    if connection.vendor == "sqlite" or shutil.which("mariadb") is None:
        pytest.skip("It needs a MariaDB server, and its client.")
    name = f"{connection.settings_dict['NAME']}_astron"[:64]
    client("-e", f"DROP DATABASE IF EXISTS `{name}`; CREATE DATABASE `{name}` CHARSET utf8mb4")
    try:
        client(name, text=FIXTURE.read_text())
        yield name
    finally:
        client("-e", f"DROP DATABASE `{name}`")


def client(*arguments: str, program: str = "mariadb", text: str = "") -> str:
    at = connection.settings_dict
    where = [f"--host={at['HOST']}", f"--port={at['PORT'] or 3306}", f"--user={at['USER']}"]
    if at["PASSWORD"]:
        where.append(f"--password={at['PASSWORD']}")
    encoding = "--default-character-set=utf8mb4"
    done = subprocess.run(
        [program, *where, encoding, *arguments],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def state() -> Any:
    return [
        list(model._default_manager.order_by("pk").values_list(*fields))
        for model, fields in (
            (Enterprise, ("pk", "name", "creator", "service_type", "create_time", "deleted")),
            (EnterpriseUser, ("enterprise", "user", "role", "nickname")),
            (Space, ("pk", "name", "description", "creator", "enterprise", "type")),
            (SpaceUser, ("space", "user", "role", "last_visit_time")),
            (Invite, ("pk", "space", "enterprise", "invitee", "expire_time", "status")),
            (Application, ("pk", "space", "applicant", "apply_time", "status", "auditor")),
        )
    ]


def address_of(database: str) -> str:
    at = connection.settings_dict
    secret = f":{at['PASSWORD']}" if at["PASSWORD"] else ""
    return f"mysql://{at['USER']}{secret}@{at['HOST']}:{at['PORT'] or 3306}/{database}"


@pytest.mark.django_db
def test_the_own_database_of_the_platform_is_refused() -> None:
    from interop.astron.live import Live

    if connection.vendor == "sqlite":
        pytest.skip("It needs a MariaDB server.")
    address = address_of(str(connection.settings_dict["NAME"]))
    with pytest.raises(DumpRefused, match="own database"), Live(address, WANTED):
        pass


@pytest.mark.django_db(transaction=True)
def test_a_database_and_its_own_dump_tell_the_same(scratch: str, tmp_path: Path) -> None:
    """What mariadb-dump really writes, and what the server itself answers."""
    from interop.astron.live import Live

    dumped, ansi = tmp_path / "real.sql", tmp_path / "ansi.sql"
    dumped.write_text(client(scratch, program="mariadb-dump"))
    ansi.write_text(client("--compatible=ansi", scratch, program="mariadb-dump"))
    found = []
    sources: list[Any] = [Dump(each, WANTED) for each in (FIXTURE, dumped, ansi)]
    for opened in [*sources, Live(address_of(scratch), WANTED)]:
        with opened as source:
            Importer(source, name="astron", zone=ZoneInfo("Asia/Shanghai")).run()
        found.append(state())
        for model in (SpaceUser, Invite, Application, Space, EnterpriseUser, Enterprise, Imported):
            model._default_manager.all().delete()
    assert found[0][0]
    assert found[0] == found[1] == found[2] == found[3]
