"""Tables of people to invite: what is read of them, what is refused, and what is told of each row."""

import csv
import io
import zipfile
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from openpyxl import Workbook

from accounts.models import User
from joining.models import Invite
from tests.factories import make_user
from tests.tenancy.firm import Firm

pytestmark = pytest.mark.django_db


def workbook(*rows: Any) -> bytes:
    book = Workbook()
    sheet: Any = book.active
    for row in rows:
        sheet.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def send(firm: Firm, name: str, data: bytes, who: str = "stan", path: str = "") -> Any:
    body = {"file": SimpleUploadedFile(name, data)}
    return firm.ask(who, "post", path or firm.in_space("invites/table/"), body, format="multipart")


def results(answer: Any) -> list[list[str]]:
    assert answer.status_code == 200, answer.content
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    text = answer.content.decode("utf-8-sig")
    heading, *rows = csv.reader(io.StringIO(text))
    assert heading == ["row", "account", "result", "message"]
    assert all(message for *_facts, message in rows)
    return [row[:3] for row in rows]


PEOPLE = [
    ["zoe"],
    ["Ann@Example.org"],
    [],
    [13800138000],
    ["nobody"],
    ["stan"],
    ["zoe"],
    ["x" * 300],
]
TOLD = [
    ["2", "zoe", "invited"],
    ["3", "Ann@Example.org", "invited"],
    ["5", "13800138000", "invited"],
    ["6", "nobody", "no_such_user"],
    ["7", "stan", "already_member"],
    ["8", "zoe", "already_invited"],
    ["9", "", "malformed"],
]


@pytest.mark.parametrize("kind", ["xlsx", "csv", "gb.csv"])
def test_each_row_is_told_what_came_of_it(firm: Firm, kind: str) -> None:
    make_user("ann")
    make_user("13800138000")
    rows = [["用户名" if kind == "gb.csv" else "Username"], *PEOPLE]
    if kind == "xlsx":
        data = workbook(*rows)
    else:
        text = "\r\n".join(str(row[0]) if row else "" for row in rows)
        data = text.encode("gb18030" if kind == "gb.csv" else "utf-8-sig")
    assert results(send(firm, f"people.{kind}", data)) == TOLD
    assert Invite.objects.count() == 3


def test_empty_rows_are_no_rows(firm: Firm) -> None:
    """However many there are between those that are read, each of these is told of."""
    names = [f"nobody{number}" for number in range(500)]
    text = "\r\r\n".join(["Username", *names])
    told = results(send(firm, "a.csv", text.encode()))
    assert [name for _row, name, _result in told] == names
    rows: list[list[str]] = [[] for _row in range(399)]
    told = results(send(firm, "a.xlsx", workbook(*rows, *[[name] for name in names])))
    assert [(row, name) for row, name, _result in told] == [
        (str(number), name) for number, name in enumerate(names, 400)
    ]
    for data in (text + "\r\rone more", text + "\r\rone\rand another"):
        assert send(firm, "a.csv", data.encode()).status_code == 413


def test_a_table_for_an_enterprise(firm: Firm) -> None:
    path = firm.at("invites/table/")
    assert results(send(firm, "a.csv", b"zoe\nstan\n", "olga", path)) == [
        ["1", "zoe", "invited"],
        ["2", "stan", "already_member"],
    ]
    assert send(firm, "a.csv", b"zoe\n", "stan", path).status_code == 403
    assert send(firm, "a.csv", b"zoe\n", "zoe", path).status_code == 404


def test_rows_beyond_the_seats_are_told_so(firm: Firm, settings: Any) -> None:
    settings.RPA_TEAM_USERS = 3
    make_user("ann")
    assert results(send(firm, "a.csv", b"zoe\nann\n")) == [
        ["1", "zoe", "invited"],
        ["2", "ann", "too_many_users"],
    ]


def test_without_a_seat_nothing_is_told_of_anybody(firm: Firm, settings: Any) -> None:
    """Neither who has an account, nor who is a member."""
    settings.RPA_TEAM_USERS = 3
    make_user("ann")
    for first in ("invited", "too_many_users"):
        told = results(send(firm, "a.csv", b"zoe\nann\nnobody\nstan\na b c!!\n"))
        assert [result for _row, _name, result in told] == [first, *["too_many_users"] * 4]


def test_the_rows_of_all_tables_are_limited(firm: Firm, settings: Any) -> None:
    """Of each user by themselves, in the API and on pages; a table that is too long costs nothing."""
    settings.RPA_INVITE_RATE = "5/day"
    page = f"/spaces/{firm.space.pk}/invite/table/"
    data = b"nobody1\nnobody2\nnobody3\n"
    assert len(results(send(firm, "a.csv", data))) == 3
    refused = send(firm, "a.csv", data)
    assert (refused.status_code, refused.json()["code"]) == (429, "throttled")
    assert 0 < int(refused["Retry-After"]) <= 24 * 3600
    client = firm.api(firm.people["stan"])
    table = {"file": SimpleUploadedFile("a.csv", data), "role": 3}
    answer = client.post(page, table, format="multipart")
    assert answer.status_code == 429
    assert "5/day" in answer.content.decode()
    assert len(results(send(firm, "a.csv", b"nobody1\nnobody2\n"))) == 2
    assert send(firm, "a.csv", b"zoe\n").status_code == 429
    assert len(results(send(firm, "a.csv", data, "sue"))) == 3
    for _table in range(3):
        assert len(results(send(firm, "a.csv", data, "root"))) == 3


@pytest.mark.parametrize(
    ("account", "result"),
    [
        *[(each, "malformed") for each in ("not an e-mail@@", "a b c!!", "foo@", "@@@", "@foo")],
        *[(each, "malformed") for each in ("12-34 abc/", "a@b@c.org", "...", "x" * 200, "+")],
        *[
            (each, "no_such_user")
            for each in ("nobody", "no.body-x", "张三", "a@b.org", "ann@corp")
        ],
        *[
            (each, "no_such_user")
            for each in ("+86 138-0013-8000", "(010) 1234", "auth0|5f7c", "7")
        ],
        *[(each, "no_such_user") for each in ('"a!b"@example.org', "o'neil@example.org")],
    ],
)
def test_what_nobody_can_be_called_is_malformed(firm: Firm, account: str, result: str) -> None:
    """Unless somebody is."""
    assert results(send(firm, "a.xlsx", workbook([account])))[0][2] == result
    if len(account) <= 150:
        make_user(account)
        assert results(send(firm, "a.xlsx", workbook([account])))[0][2] == "invited"


def test_an_e_mail_of_several_names_none_of_them(firm: Firm) -> None:
    User.objects.filter(username__in=["zoe", "gary"]).update(email="team@example.org")
    assert results(send(firm, "a.csv", b"team@example.org\n")) == [
        ["1", "team@example.org", "ambiguous"]
    ]
    assert not Invite.objects.exists()


def test_what_is_told_is_no_formula(firm: Firm) -> None:
    rows = results(send(firm, "a.csv", b"\"=cmd|'/c calc'!A1\"\n@SUM(1)\n+1\n-1\n"))
    assert [row[1][0] for row in rows] == ["'"] * 4


def forged(**parts: bytes) -> bytes:
    """A workbook with parts of the sender's own."""
    source = zipfile.ZipFile(io.BytesIO(workbook(["zoe"])))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in source.namelist():
            if name.rsplit("/", 1)[-1].removesuffix(".xml") not in parts:
                archive.writestr(name, source.read(name))
        for name, data in parts.items():
            archive.writestr(f"xl/{'worksheets/' if name == 'sheet1' else ''}{name}.xml", data)
    return file.getvalue()


def sheet(rows: bytes) -> bytes:
    space = b"http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    return b'<worksheet xmlns="%s"><sheetData>%s</sheetData></worksheet>' % (space, rows)


ENTITIES = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>'
FILES = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>'
HOSTILE: list[tuple[str, bytes, int]] = [
    ("a.csv", b"", 422),
    ("a.csv", b"\n\n,\n", 422),
    ("a.csv", b"username\n", 422),
    ("a.csv", b"\xff\xfe\x00zoe", 422),
    ("a.csv", b"zoe\0\n", 422),
    ("a.csv", b'"' + b"x" * 200_000, 422),
    ("a.csv", b"x\n" * 501, 413),
    ("a.csv", b"x" * (1024 * 1024 + 1), 413),
    ("a.xlsx", b"zoe\n", 422),
    ("a.xlsx", b"PK\x03\x04 and nothing", 422),
    ("a.xlsx", forged(sheet1=ENTITIES), 422),
    ("a.xlsx", forged(sharedStrings=FILES), 422),
    ("a.xlsx", forged(sharedStrings=FILES.decode().encode("utf-16")), 422),
    ("a.xlsx", forged(sheet1=b"<x>" * 30_000), 422),
    ("a.xlsx", forged(sheet1=b" " * (5 * 1024 * 1024)), 413),
    ("a.xlsx", forged(sheet1=sheet(b"<row>" + b"<c/>" * 250_000 + b"</row>")), 413),
    ("a.xlsx", forged(sheet1=sheet(b'<row r="1"/>' * 150_000)), 413),
    ("a.xlsx", forged(sheet1=sheet(b"<row/>" * 20_000)), 413),
    ("a.xlsx", forged(sheet1=sheet(b'<row r="1048576"/>')), 413),
    ("a.xlsx", forged(sheet1=sheet(b"<row r='1'/><row spans='1:2' r='1'/>")), 422),
    ("a.csv", b"\n" * 11_000, 413),
    ("a.xlsx", forged(**{f"part{number}": b"" for number in range(300)}), 413),
    ("a.xlsx", workbook(*[["x"]] * 600), 413),
]


@pytest.mark.parametrize(("name", "data", "status"), HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_no_table_is_refused(firm: Firm, name: str, data: bytes, status: int) -> None:
    refused = send(firm, name, data)
    if not data:  # refused by the form
        assert refused.status_code == 400
    else:
        assert refused.status_code == status, refused.content
    assert not Invite.objects.exists()


def test_a_sheet_that_lies_about_its_size_is_read_as_it_is(firm: Firm) -> None:
    sheet = zipfile.ZipFile(io.BytesIO(workbook(["zoe"]))).read("xl/worksheets/sheet1.xml")
    assert b'ref="A1' in sheet
    lying = sheet.replace(b'ref="A1"', b'ref="A1:XFD1048576"').replace(
        b'ref="A1:A1"', b'ref="A1:XFD1048576"'
    )
    assert lying != sheet
    assert results(send(firm, "a.xlsx", forged(sheet1=lying))) == [["1", "zoe", "invited"]]
