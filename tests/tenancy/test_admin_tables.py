"""Tables of the admin: exported as they are listed, and brought in whole, by the rules, after a look."""

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from accounts.models import User
from audit.chain import verify
from audit.models import Entry
from enterprises.models import Enterprise, EnterpriseRole, EnterpriseUser
from spaces.models import Space, SpaceType
from tests.audit.entries import Heard
from tests.factories import make_enterprise, make_space, make_user
from tests.tenancy.firm import Firm

pytestmark = pytest.mark.django_db
MEMBERS, SPACE_MEMBERS = "enterprises_enterpriseuser", "spaces_spaceuser"


@pytest.fixture
def operator(firm: Firm) -> Client:
    client = Client()
    client.force_login(firm.people["root"])
    return client


def exported(client: Client, table: str, **query: Any) -> list[str]:
    response = client.get(reverse(f"admin:{table}_export"), query)
    assert response.status_code == 200
    text = whole(response).decode("utf-8-sig")
    return text.splitlines()


def whole(response: Any) -> bytes:
    async def pieces() -> list[bytes]:
        return [piece async for piece in response.streaming_content]

    return b"".join(async_to_sync(pieces)())


def tried(client: Client, table: str, text: str, name: str = "rows.csv") -> Any:
    """The page that says what the table would do."""
    file = SimpleUploadedFile(name, text.encode())
    return client.post(reverse(f"admin:{table}_import"), {"file": file})


def brought(client: Client, table: str, text: str) -> Any:
    """The same as a browser confirms it."""
    page = tried(client, table, text)
    return client.post(reverse(f"admin:{table}_import"), {"table": page.context["table"]})


def results(page: Any) -> list[str]:
    return [f"{each.result} {each.why}".strip() for each in page.context["outcomes"]]


def test_a_list_is_exported_as_it_is_filtered(firm: Firm, operator: Client) -> None:
    User.objects.filter(username="sue").update(username="=sue()")
    lines = exported(operator, MEMBERS, role__exact=3)
    assert lines[0] == "enterprise,user,role,nickname,since"
    assert [line.rsplit(",", 2)[0] for line in lines[1:]] == [
        "Firm,stan,staff",
        "Firm,'=sue(),staff",
    ]
    assert len(exported(operator, MEMBERS)) == 5
    assert exported(operator, "spaces_space")[1].startswith("Orders,Firm,stan,,")
    assert exported(operator, "enterprises_enterprise")[1].startswith("Firm,olga,team,,")
    people = exported(operator, "accounts_user", q="olga")
    assert people[1].startswith("olga,olga@example.org,,,yes,")
    assert len(people) == 2
    assert "password" not in "".join(people)


def test_a_preview_changes_nothing_and_bringing_in_all_of_it(firm: Firm, operator: Client) -> None:
    text = "role,user,enterprise\nstaff,zoe,Firm\ngovernor,stan,Firm\nstaff,sue,Firm\n"
    heard = Heard()
    page = tried(operator, MEMBERS, text)
    assert results(page) == ["new", "changed", "same"]
    assert (firm.roles(), heard.all()) == (
        {"olga": 1, "gary": 2, "stan": 3, "sue": 3},
        [],
    )
    assert brought(operator, MEMBERS, text).status_code == 302
    assert firm.roles() == {"olga": 1, "gary": 2, "stan": 2, "sue": 3, "zoe": 3}
    entry = heard.only()
    assert (entry.action, entry.actor, entry.door) == ("enterpriseuser.import", "root", "admin")
    assert [change["verb"] for change in entry.details["changes"]] == ["add", "change"]
    verify()


def test_one_refused_row_keeps_all_of_it_out(firm: Firm, operator: Client, settings: Any) -> None:
    text = (
        "enterprise,user,role\nFirm,zoe,staff\nFirm,nobody,staff\nFirm,olga,staff\nNone,zoe,staff\n"
    )
    text += "Firm,zoe,king\nFirm,root,officer\n"
    before = firm.roles()
    page = tried(operator, MEMBERS, text)
    said = results(page)
    assert said[0] == "new"
    assert said[1] == "refused user: There is no user named nobody."
    assert said[2].startswith("refused An enterprise has always one officer.")
    assert said[3] == "refused enterprise: There is no enterprise of this name."
    assert said[4] == "refused role: This is one of: officer, governor, staff."
    assert said[5].startswith("refused role: A role is 2 or 3")
    again = brought(operator, MEMBERS, text)
    assert (again.status_code, firm.roles()) == (200, before)
    settings.RPA_TEAM_USERS = 4
    page = tried(operator, MEMBERS, "enterprise,user,role\nFirm,zoe,staff\n")
    assert results(page)[0].startswith("refused Firm has its 4 users")
    assert not Entry.objects.filter(action="enterpriseuser.import").exists()


def test_members_of_spaces_come_by_a_table(firm: Firm, operator: Client) -> None:
    key = firm.space.pk
    text = (
        f"space,user,role\n{key},gary,admin\n{key},zoe,member\nx,gary,member\n{10**18},sue,admin\n"
    )
    said = results(tried(operator, SPACE_MEMBERS, text))
    assert said[0] == "new"
    assert said[1].startswith("refused zoe is no member of the enterprise")
    assert said[2] == said[3] == "refused space: There is no space of this id."
    assert brought(operator, SPACE_MEMBERS, f"space,user,role\n{key},gary,2\n").status_code == 302
    assert firm.space_roles() == {"stan": 1, "sue": 2, "gary": 2}


def test_enterprises_and_spaces_come_by_a_table(firm: Firm, operator: Client) -> None:
    text = "name,officer,type,expires\nFirm,olga,enterprise,2030-01-31\nNew,zoe,team,\nBad,zoe,team,soon\n"
    said = results(tried(operator, "enterprises_enterprise", text))
    assert said[:2] == ["changed", "new"]
    assert said[2] == "refused expires: A time is written like 2026-01-31T08:00."
    good = text.rpartition("Bad")[0]
    assert brought(operator, "enterprises_enterprise", good).status_code == 302
    firm.enterprise.refresh_from_db()
    assert (firm.enterprise.service_type, firm.enterprise.expire_time is not None) == (2, True)
    made = Enterprise.objects.get(name="New")
    assert made.members.get().role == EnterpriseRole.OFFICER
    # Its spaces have become what it is.
    assert Space.objects.get(pk=firm.space.pk).type == SpaceType.ENTERPRISE
    rows = "Orders,Firm,stan,New words,enterprise\nLab,Firm,gary,,\nOwn,,zoe,Mine,pro\nOrders,Firm,sue,,\nX,Firm,zoe,,\n"
    page = tried(operator, "spaces_space", f"name,enterprise,owner,description,type\n{rows}")
    said = results(page)
    assert said[:3] == ["changed", "new", "new"]
    assert said[3].startswith("refused owner: Another one is its owner")
    assert said[4].startswith("refused That user is no member")
    good = rows.rpartition("Orders")[0]
    done = brought(operator, "spaces_space", f"name,enterprise,owner,description,type\n{good}")
    assert done.status_code == 302
    assert Space.objects.get(name="Own").type == SpaceType.PRO
    assert firm.space_roles(Space.objects.get(name="Lab")) == {"gary": 1}
    assert Space.objects.get(pk=firm.space.pk).description == "New words"


def test_people_come_by_a_table_without_rights(firm: Firm, operator: Client) -> None:
    head = "username,email,first_name,last_name,active\n"
    text = f"{head}ann,ann@example.org,Ann,Lee,yes\nzoe,zoe@example.org,Zoe,,no\nbad name,x,,,yes\nsue,sue@example.org,,,maybe\n"
    said = results(tried(operator, "accounts_user", text))
    assert said[:2] == ["new", "changed"]
    assert said[2].startswith("refused")
    assert said[3] == "refused active: This is yes or no."
    assert brought(operator, "accounts_user", text.partition("bad")[0]).status_code == 302
    ann = User.objects.get(username="ann")
    assert (ann.first_name, ann.is_staff, ann.has_usable_password()) == ("Ann", False, False)
    assert not User.objects.get(username="zoe").is_active
    me = f"{head}root,root@example.org,,,no\n"
    assert results(tried(operator, "accounts_user", me))[0].startswith("refused This is you")


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("user,role\nzoe,staff\n", "a.csv", "these are missing: enterprise"),
        ("enterprise,user,role\n", "a.csv", "empty"),
        ("enterprise,user,role\n" + "Firm,zoe,staff\n" * 501, "a.csv", "more than 500 rows"),
        ("\0", "a.csv", "no table"),
        ("no workbook", "a.xlsx", "no table"),
        ("x" * (1024 * 1024 + 1), "a.csv", "larger than 1024 KiB"),
    ],
)
def test_what_is_no_such_table_is_told(
    firm: Firm, operator: Client, text: str, name: str, said: str
) -> None:
    page = tried(operator, MEMBERS, text, name)
    assert (page.status_code, page.context["outcomes"]) == (200, [])
    assert said in page.context["refusal"]


def test_only_operators_bring_anything_in(firm: Firm) -> None:
    clerk = make_user("clerk", is_staff=True)
    for deed in ("view", "add", "change"):
        clerk.user_permissions.add(Permission.objects.get(codename=f"{deed}_enterpriseuser"))
    client = Client()
    client.force_login(clerk)
    assert client.get(reverse(f"admin:{MEMBERS}_changelist")).status_code == 200
    assert client.get(reverse(f"admin:{MEMBERS}_import")).status_code == 403
    assert client.get(reverse(f"admin:{MEMBERS}_add")).status_code == 403
    assert exported(client, MEMBERS)[1].startswith("Firm,olga,officer")


def test_an_export_is_a_table_that_can_be_brought_in_again(firm: Firm, operator: Client) -> None:
    make_space("Own", {firm.people["zoe"]: 1})
    make_enterprise("Other", {firm.people["zoe"]: 1})
    for table in (MEMBERS, SPACE_MEMBERS, "enterprises_enterprise", "accounts_user"):
        text = "\n".join(exported(operator, table))
        assert set(results(tried(operator, table, text))) == {"same"}, table
    assert EnterpriseUser.objects.count() == 5
