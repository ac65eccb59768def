"""Bringing people in by page: search, invite, add, tables, links, and the answer of who is invited."""

import csv
import re
from base64 import b64decode
from datetime import timedelta
from io import BytesIO, StringIO
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone
from openpyxl import Workbook
from rest_framework.throttling import ScopedRateThrottle

from accounts.models import User
from enterprises.models import EnterpriseUser
from joining.models import Invite, InviteStatus
from spaces.models import SpaceUser
from tests.factories import make_user
from tests.people.conftest import Acme

pytestmark = pytest.mark.django_db


def test_a_stranger_is_found_by_the_whole_name_a_colleague_by_its_beginning(acme: Acme) -> None:
    EnterpriseUser.objects.create(enterprise=acme.enterprise, user=make_user("bobbie"))
    found = {
        text: [each.user.username for each in answer.context["candidates"]]
        for text in ("dor", "dora", "dora@example.org", "bo", "bob")
        for answer in [acme.browser("alice").get(f"{acme.inside('invite/')}?q={text}")]
    }
    assert found == {
        "dor": [],
        "dora": ["dora"],
        "dora@example.org": ["dora"],
        "bo": [],
        "bob": ["bob", "bobbie"],
    }


def test_looking_for_people_has_a_pace(acme: Acme, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one of the API, which counts with it."""
    monkeypatch.setattr(ScopedRateThrottle, "THROTTLE_RATES", {"people": "2/min"})
    cache.clear()
    client = acme.browser("alice")
    path = f"{acme.inside('invite/')}?q=dora"
    assert client.get(path).status_code == 200
    assert client.get(f"/api/v1{acme.inside('users/')}?q=dora").status_code == 200
    refused = client.get(path)
    page = refused.content.decode()
    assert refused.status_code == 429
    assert "You have looked for people too often." in page
    assert 'value="dora"' in page
    assert refused.context["candidates"] == []
    cache.clear()


def test_whom_one_invites_is_a_member_when_they_say_so(acme: Acme) -> None:
    said = acme.said(
        "alice", acme.inside("invite/"), user=acme.uid("dora"), role=2, how="invite", q="dora"
    )
    assert said[0] == 200
    assert "dora is invited." in said[1]
    page = acme.get("alice", acme.inside("invites/"))
    link = re.search(r">(http[^<]*/invites/[^<]*)</code>", page)
    assert link is not None
    path = link[1].removeprefix("http://127.0.0.1:8000")
    # Others see nothing of it, whoever they are; who is not signed in comes back once they are.
    assert acme.get("charlie", path) == acme.get("alice", path) == "404"
    asked = Client().get(path)
    assert asked.status_code == 302
    assert parse_qs(urlsplit(asked.headers["Location"]).query)["next"] == [path]
    answer = acme.browser("dora").get(path)
    page = answer.content.decode()
    assert "alice invites you to this space, as Admin." in page
    assert "It belongs to the enterprise Acme" in page
    assert 'aria-label="Invitations: 1"' in page
    assert "Accept the invite to Orders" in acme.get("dora", "/invites/")
    accepted = acme.post("dora", f"{path}accept/")
    assert accepted.request["PATH_INFO"] == acme.inside()
    assert acme.space_roles()["dora"] == 2
    assert acme.roles()["dora"] == 3
    assert "This invite is no longer open: Joined." in acme.get("dora", path)
    assert "Invitations: 1" not in acme.get("dora", "/")
    assert acme.said("dora", f"{path}accept/")[1] == "This invite is no longer open: Joined."
    for who in ("charlie", "alice"):
        assert acme.said(who, f"{path}accept/")[0] == 404
        assert acme.said(who, f"{path}refuse/")[0] == 404


def test_an_invite_is_refused_withdrawn_or_too_old(acme: Acme) -> None:
    def invited(name: str) -> tuple[str, Invite]:
        user = acme.people[name] = make_user(name)
        acme.said("alice", acme.at("invite/"), user=user.uid, role=3, how="invite")
        invite = Invite.objects.get(invitee=user)
        return f"/invites/{invite.token}/", invite

    path, refused = invited("erin")
    assert acme.said("erin", f"{path}refuse/")[1] == "You have refused the invite to Acme."
    path, withdrawn = invited("fred")
    assert acme.said("fred", f"{path}withdraw/")[0] == 404  # who may is the one who sent it
    assert "(invite.withdraw)" in acme.said("bob", f"{path}withdraw/")[1]
    assert acme.said("alice", f"{path}withdraw/") == (200, "The invite is withdrawn.")
    path, old = invited("gina")
    Invite.objects.filter(pk=old.pk).update(expire_time=timezone.now() - timedelta(seconds=1))
    assert "no longer open: Expired" in acme.get("gina", path)
    assert "no longer open: Expired" in acme.said("gina", f"{path}accept/")[1]
    states = {each.invitee.username: each.state for each in Invite.objects.all()}
    assert states == {
        "erin": InviteStatus.REFUSED,
        "fred": InviteStatus.WITHDRAWN,
        "gina": InviteStatus.EXPIRED,
    }
    assert acme.roles() == {"alice": 1, "bob": 3}
    for status, names in (("", {"erin", "fred", "gina"}), ("4", {"fred"}), ("1", set())):
        answer = acme.browser("alice").get(f"{acme.at('invites/')}?status={status}")
        assert {each.invitee.username for each in answer.context["page"]} == names
    listed = acme.browser("erin").get("/invites/?all=1").context["page"]
    assert [each.pk for each in listed] == [refused.pk]
    assert withdrawn.pk != refused.pk


def test_a_refused_invite_keeps_what_was_chosen(acme: Acme) -> None:
    form = {"user": acme.uid("bob"), "role": 2, "how": "invite", "q": "bob"}
    answer = acme.post("alice", acme.inside("invite/"), **form)
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "bob is a member of Orders already." in page
    assert 'value="bob"' in page
    for wrong, said in (
        ({"user": "nobody"}, "There is no such user."),
        ({"role": 1}, "Choose a role."),
        ({"role": ""}, "Choose a role."),
    ):
        answer = acme.post("alice", acme.inside("invite/"), **(form | wrong))
        assert answer.status_code == 422
        assert said in answer.content.decode()
    assert not Invite.objects.exists()


@pytest.mark.parametrize(("who", "status"), [("bob", 403), ("charlie", 404), ("dora", 404)])
def test_others_neither_look_nor_invite(acme: Acme, who: str, status: int) -> None:
    form = {"user": acme.uid("charlie"), "role": 3, "how": "invite", "q": "charlie"}
    for path in (acme.inside("invite/"), acme.at("invite/")):
        answer = acme.browser(who).get(f"{path}?q=alice")
        assert answer.status_code == status
        assert b"alice@" not in answer.content
        assert acme.post(who, path, **form).status_code == status
        assert acme.post(who, f"{path}table/", file=table("charlie\n")).status_code == status
    assert not Invite.objects.exists()


def test_a_colleague_is_added_without_being_asked(acme: Acme) -> None:
    erin = make_user("erin")
    EnterpriseUser.objects.create(enterprise=acme.enterprise, user=erin)
    page = acme.get("alice", f"{acme.inside('invite/')}?q=erin")
    assert 'value="add"' in page
    assert 'value="add"' not in acme.get("alice", f"{acme.inside('invite/')}?q=dora")
    assert 'value="add"' not in acme.get("alice", f"{acme.at('invite/')}?q=dora")
    said = acme.said("alice", acme.inside("invite/"), user=erin.uid, role=2, how="add")
    assert said == (200, "erin is a member of Orders now.")
    assert acme.space_roles()["erin"] == 2
    answer = acme.post("alice", acme.inside("invite/"), user=acme.uid("dora"), role=3, how="add")
    assert "dora is no member of the enterprise Acme." in answer.content.decode()
    assert "dora" not in acme.space_roles()


def table(text: str) -> SimpleUploadedFile:
    return SimpleUploadedFile("people.csv", text.encode())


def workbook(*accounts: str) -> SimpleUploadedFile:
    book = Workbook()
    for each in accounts:
        book.active.append([each])
    kept = BytesIO()
    book.save(kept)
    return SimpleUploadedFile("people.xlsx", kept.getvalue())


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_a_table_comes_back_row_by_row(acme: Acme, kind: str) -> None:
    accounts = ("user name", "dora", "bob", "nobody", "charlie@example.org")
    file = table("\n".join(accounts)) if kind == "csv" else workbook(*accounts)
    answer = acme.post("alice", acme.inside("invite/table/"), file=file, role=3)
    page = answer.content.decode()
    assert "2 of 4 rows are invited" in page
    assert "bob is a member of Orders already." in page
    data = re.search(r'href="data:text/csv;charset=utf-8;base64,([^"]+)" download', page)
    assert data is not None
    rows = list(csv.reader(StringIO(b64decode(data[1]).decode("utf-8-sig"))))
    assert [(row[0], row[1], row[2]) for row in rows] == [
        ("row", "account", "result"),
        ("2", "dora", "invited"),
        ("3", "bob", "already_member"),
        ("4", "nobody", "no_such_user"),
        ("5", "charlie@example.org", "invited"),
    ]
    assert set(Invite.objects.values_list("invitee__username", flat=True)) == {"dora", "charlie"}


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (table("\x00"), "This is no table"),
        (SimpleUploadedFile("a.xlsx", b"PK no zip"), "This is no table"),
        (table("\n"), "The table is empty."),
        (None, "This field is required."),
    ],
)
def test_what_is_no_table_is_said_at_its_field(
    acme: Acme, file: SimpleUploadedFile | None, said: str
) -> None:
    fields = {"role": 2} | ({"file": file} if file else {})
    answer = acme.post("alice", acme.at("invite/table/"), **fields)
    assert answer.status_code == 422
    assert said in str(answer.context["table"].errors["file"])
    assert '<option value="2" selected>' in answer.content.decode()


def test_the_badge_costs_the_same_however_many_invites_there_were(acme: Acme) -> None:
    dora: User = acme.people["dora"]
    for number in range(12):
        place = make_user(f"host-{number}")
        space = acme.space.__class__.objects.create(name=f"Place {number}", creator=place)
        SpaceUser.objects.create(space=space, user=place, role=1)
        Invite.objects.create(
            type=1,
            space=space,
            invitee=dora,
            inviter=place,
            expire_time=timezone.now() + timedelta(days=1),
        )
    assert 'aria-label="Invitations: 9+"' in acme.get("dora", "/")
    Invite.objects.filter(invitee=dora).update(status=InviteStatus.REFUSED)
    assert "Invitations:" not in acme.get("dora", "/")
