"""A place shows those who manage it what was changed there, and nobody else."""

import pytest
from django.test import Client
from django.urls import reverse

from audit.models import Entry
from enterprises.models import EnterprisePermission
from spaces.models import SpacePermission, SpaceUser
from tests.factories import make_user
from tests.people.conftest import Acme
from tests.people.test_places import expire

pytestmark = pytest.mark.django_db
TITLE = '<h2 id="changes-title">'


@pytest.fixture
def changed(acme: Acme) -> Acme:
    """gina is a governor, and an admin of Orders; bob is only a member of both. Something was changed in both."""
    gina = make_user("gina")
    acme.enterprise.members.create(user=gina, role=2)
    acme.space.members.create(user=gina, role=2)
    acme.people["gina"] = gina
    alice = acme.browser("alice")
    alice.post(acme.at("settings/"), {"name": "Acme & Co"})
    alice.post(acme.inside("settings/"), {"name": "Orders", "description": "changed by alice"})
    return acme


def of_place(acme: Acme, kind: str) -> str:
    return acme.at() if kind == "enterprise" else acme.inside()


@pytest.mark.parametrize("kind", ["enterprise", "space"])
@pytest.mark.parametrize(
    ("who", "shown"), [("alice", True), ("gina", True), ("root", True), ("bob", False)]
)
def test_who_manages_a_place_sees_its_changes(
    changed: Acme, kind: str, who: str, shown: bool
) -> None:
    changed.people["root"] = make_user("root", is_staff=True, is_superuser=True)
    page = changed.get(who, of_place(changed, kind))
    assert (TITLE in page) == shown
    action = "enterprise.change" if kind == "enterprise" else "space.change"
    assert (f"<code>{action}</code>" in page) == shown
    assert ("<code>changed by alice</code>" in page) == (shown and kind == "space")


def test_a_colleague_who_is_not_in_the_space_sees_none_of_it(changed: Acme) -> None:
    SpaceUser.objects.filter(space=changed.space, user__username="gina").delete()
    page = changed.get("gina", changed.inside())
    assert "Orders" in page
    assert TITLE not in page


@pytest.mark.parametrize(
    ("kind", "permission"),
    [
        ("enterprise", "member.list"),
        ("enterprise", "invite.list"),
        ("space", "invite.list"),
        ("space", "apply.list"),
        ("space", "api_key.manage"),
    ],
)
def test_who_may_not_list_what_they_tell_of_does_not_read_it_there(
    changed: Acme, kind: str, permission: str
) -> None:
    rows = EnterprisePermission.objects.filter(permission_key=permission)
    if kind == "enterprise":
        rows.update(governor=False)
    else:
        SpacePermission.objects.filter(permission_key=permission).update(admin=False)
    assert TITLE not in changed.get("gina", of_place(changed, kind))
    assert TITLE in changed.get("alice", of_place(changed, kind))


def test_the_one_whose_role_was_changed_is_named(changed: Acme) -> None:
    changed.browser("alice").post(changed.at(f"members/{changed.uid('bob')}/role/"), {"role": 2})
    page = changed.get("alice", changed.at())
    assert "<b>bob @ Acme &amp; Co</b>" in page
    assert "<del><code>3</code></del> → <ins><code>2</code></ins>" in page


def test_the_newest_are_shown_however_many_there_are(changed: Acme) -> None:
    for number in range(12):
        changed.space.description = f"number {number}"
        changed.space.save()
    page = changed.get("alice", changed.inside())
    assert "number 11" in page
    assert "number 0<" not in page
    assert page.count("<code>space.change</code>") == 10


def test_an_expired_enterprise_keeps_them_to_itself(changed: Acme) -> None:
    """Its lists of people are closed until it is renewed, and so is what tells of them."""
    expire(changed.enterprise)
    assert TITLE not in changed.get("alice", changed.at())


def test_what_was_refused_is_not_a_change(changed: Acme) -> None:
    bob: Client = changed.browser("bob")
    assert bob.delete(reverse("enterprise-detail", args=[changed.enterprise.pk])).status_code == 403
    refused = Entry.objects.about(changed.enterprise).filter(outcome="refused")
    assert refused.exists()
    assert "enterprise.delete" not in changed.get("alice", changed.at())
