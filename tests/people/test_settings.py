"""Names and pictures by page, and the deeds that are not easily taken back."""

import pytest
from django.utils import timezone

from enterprises.models import Enterprise
from enterprises.models import EnterprisePermission as Deed
from spaces.models import Space
from tests.factories import make_space
from tests.people.conftest import Acme

pytestmark = pytest.mark.django_db
CHANGED = {"name": "Acme & Co", "logo_url": "/static/img/logo.svg", "avatar_url": ""}


@pytest.mark.parametrize(
    ("who", "status"), [("alice", 200), ("bob", 403), ("charlie", 404), ("dora", 404)]
)
def test_an_enterprise_is_changed_by_who_may(acme: Acme, who: str, status: int) -> None:
    assert acme.browser(who).get(acme.at("settings/")).status_code == status
    answer = acme.post(who, acme.at("settings/"), **CHANGED)
    assert answer.status_code == status
    acme.enterprise.refresh_from_db()
    assert (acme.enterprise.name == "Acme & Co") == (status == 200)
    if status == 200:
        page = answer.content.decode()
        assert "The changes are saved." in page
        assert '<img class="avatar" src="/static/img/logo.svg"' in page


def test_a_space_is_changed_by_the_enterprise_and_a_personal_one_by_its_owner(acme: Acme) -> None:
    form = {"name": "Sales", "description": "What we sell.", "avatar_url": "https://a.example/b"}
    page = acme.post("alice", acme.inside("settings/"), **form).content.decode()
    assert "The changes are saved." in page
    assert "a.example" not in page.partition("<form class")[0]  # no foreign picture is shown
    assert "What we sell." in acme.get("bob", acme.inside())
    own = Space.objects.get(name="Charlie's")
    assert acme.post("charlie", f"/spaces/{own.pk}/settings/", **form).status_code == 200
    assert acme.post("bob", acme.inside("settings/"), **form).status_code == 403


def test_a_refused_change_keeps_what_was_typed(acme: Acme) -> None:
    make_space("Sales", {acme.people["alice"]: 1}, acme.enterprise)
    for wrong, field, said in (
        ({"name": "Sales"}, "name", "There is a space named Sales already."),
        ({"name": "  "}, "name", "This field is required."),
        ({"avatar_url": "ftp://x"}, "avatar_url", "A picture is an https:// address"),
        ({"description": "x" * 2001}, "description", "at most 2000"),
    ):
        form = {"name": "Orders", "description": "kept", "avatar_url": ""} | wrong
        answer = acme.post("alice", acme.inside("settings/"), **form)
        page = answer.content.decode()
        assert answer.status_code == 422
        assert said in str(answer.context["form"].errors[field])
        assert form["description"] in page
        assert "<h1>Orders</h1>" in page  # what it is called, not what was tried
    acme.space.refresh_from_db()
    assert (acme.space.name, acme.space.description) == ("Orders", "")


def test_only_the_fields_that_one_may_change_are_there(acme: Acme) -> None:
    Deed.objects.filter(permission_key="enterprise.set_logo").update(staff=True)
    page = acme.get("bob", acme.at("settings/"))
    assert 'name="logo_url"' in page
    assert 'name="name"' not in page
    answer = acme.post("bob", acme.at("settings/"), logo_url="/b.svg", name="Bob's")
    assert answer.status_code == 200
    acme.enterprise.refresh_from_db()
    assert (acme.enterprise.name, acme.enterprise.logo_url) == ("Acme", "/b.svg")


@pytest.mark.parametrize(
    ("form", "status", "said", "owner"),
    [
        ({"user": "bob", "confirm": " Orders "}, 200, "Orders belongs to bob now.", "bob"),
        ({"user": "bob", "confirm": "orders"}, 422, "This is not the name.", "alice"),
        ({"user": "dora", "confirm": "Orders"}, 422, "That user is no member", "alice"),
        ({"user": "alice", "confirm": "Orders"}, 422, "They are the owner already.", "alice"),
    ],
)
def test_a_space_is_handed_over_by_typing_its_name(
    acme: Acme, form: dict[str, str], status: int, said: str, owner: str
) -> None:
    answer = acme.post("alice", acme.inside("transfer/"), **form)
    page = answer.content.decode()
    assert answer.status_code == status
    assert said in page
    assert (f'value="{form["user"]}"' in page) == (status == 422)
    assert [name for name, role in acme.space_roles().items() if role == 1] == [owner]


def test_the_office_is_handed_over_by_typing_the_name(acme: Acme) -> None:
    assert 'value="bob"' in acme.get("alice", acme.at("transfer/?user=bob"))
    assert acme.post("bob", acme.at("transfer/"), user="bob", confirm="Acme").status_code == 403
    assert acme.post("dora", acme.at("transfer/"), user="dora", confirm="Acme").status_code == 404
    assert acme.roles() == {"alice": 1, "bob": 3}
    said = acme.said("alice", acme.at("transfer/"), user="bob", confirm="Acme")
    assert said == (200, "Acme belongs to bob now.")
    assert acme.roles() == {"alice": 2, "bob": 1}


def test_one_leaves_by_typing_the_name(acme: Acme) -> None:
    assert "Leave Acme?" in acme.get("bob", acme.at("leave/"))
    assert acme.post("bob", acme.at("leave/"), confirm="acme").status_code == 422
    assert "bob" in acme.roles()
    said = acme.said("bob", acme.at("leave/"), confirm="Acme")
    assert said == (200, "You are no member of Acme any more.")
    assert "bob" not in acme.roles()
    assert "bob" not in acme.space_roles()
    # Who is the first hands over first, and is offered no button.
    assert acme.browser("alice").get(acme.inside("leave/")).status_code == 403
    answer = acme.post("alice", acme.inside("leave/"), confirm="Orders")
    assert answer.status_code == 422
    assert "Hand the ownership over first." in answer.content.decode()
    assert acme.space_roles() == {"alice": 1}


@pytest.mark.parametrize(("who", "status"), [("bob", 403), ("charlie", 404), ("dora", 404)])
def test_others_delete_nothing(acme: Acme, who: str, status: int) -> None:
    for path, name in ((acme.inside("delete/"), "Orders"), (acme.at("delete/"), "Acme")):
        assert acme.browser(who).get(path).status_code == status
        assert acme.post(who, path, confirm=name).status_code == status
        assert acme.said(who, path.replace("delete", "restore"))[0] == 404
    assert not Space.objects.filter(deleted=True).exists()


def test_what_is_deleted_comes_back(acme: Acme) -> None:
    assert acme.post("alice", acme.inside("delete/"), confirm="Order").status_code == 422
    said = acme.said("alice", acme.inside("delete/"), confirm="Orders")
    assert said[0] == 200
    assert acme.get("bob", acme.inside()) == "404"
    assert "Restore Orders" in acme.get("alice", "/spaces/deleted/")
    assert "Restore Orders" not in acme.get("bob", "/spaces/deleted/")
    assert acme.said("bob", acme.inside("restore/"))[0] == 404
    make_space("Orders", {acme.people["alice"]: 1}, acme.enterprise)
    said = acme.said("alice", acme.inside("restore/"))
    assert said == (200, "There is a space named Orders already.")
    Space.objects.filter(name="Orders", deleted=False).delete()
    assert acme.said("alice", acme.inside("restore/"))[1] == (
        "Orders is back, with all that was in it."
    )
    assert "Its robots" in acme.get("bob", acme.inside())


def test_a_deleted_enterprise_comes_back(acme: Acme) -> None:
    acme.post("alice", acme.at("delete/"), confirm="Acme")
    assert Enterprise.objects.get(pk=acme.enterprise.pk).deleted
    for path in (acme.at(), acme.inside()):
        assert acme.get("alice", path) == "404"
    assert "Restore Acme" in acme.get("alice", "/enterprises/deleted/")
    assert "Restore Acme" not in acme.get("bob", "/enterprises/deleted/")
    assert acme.said("bob", acme.at("restore/"))[0] == 404
    assert acme.said("alice", acme.at("restore/"))[0] == 200
    assert "Acme" in acme.get("bob", acme.at())


@pytest.mark.parametrize("kind", ["enterprise", "space"])
def test_what_is_being_removed_for_ever_is_offered_to_nobody(acme: Acme, kind: str) -> None:
    place = acme.enterprise if kind == "enterprise" else acme.space
    type(place).objects.filter(pk=place.pk).update(deleted=True)
    assert f"/{kind}s/{place.pk}/restore/" in acme.get("alice", f"/{kind}s/deleted/")
    type(place).objects.filter(pk=place.pk).update(purge_begun=timezone.now())
    assert f"/{kind}s/{place.pk}/restore/" not in acme.get("alice", f"/{kind}s/deleted/")
    answer = acme.browser("alice").post(f"/{kind}s/{place.pk}/restore/")
    assert answer.status_code == 404
