"""The page of a space's API keys."""

import re

import pytest

from accounts.models import ApiKey, User
from spaces.keys import make_key
from spaces.models import SpaceRole, SpaceUser
from tests.factories import owner_of
from tests.people.conftest import Acme

pytestmark = pytest.mark.django_db
NEW = {"name": "Nightly import", "days": 30}


def test_a_key_is_made_and_its_secret_shown_once(acme: Acme) -> None:
    assert "No keys yet." in acme.get("alice", acme.inside("keys/"))
    answer = acme.post("alice", acme.inside("keys/"), **NEW, scopes=["robot.view"])
    page = answer.content.decode()
    (secret,) = re.findall(r'<pre id="secret">(\w{40})</pre>', page)
    found = ApiKey.objects.find(secret)
    assert found is not None
    assert (found.name, found.scopes, found.bound) == ("Nightly import", ["robot.view"], True)
    assert "no-store" in answer["Cache-Control"]
    again = acme.get("alice", acme.inside("keys/"))
    assert secret not in again
    for shown in ("Nightly import", secret[:8], "acts for alice", "robot.view", "never used"):
        assert shown in again
    assert 'value="enterprise.view"' not in again


def test_what_is_refused_keeps_what_was_typed(acme: Acme) -> None:
    answer = acme.post("alice", acme.inside("keys/"), name="x" * 101, days=30)
    assert answer.status_code == 422
    assert "x" * 101 in answer.content.decode()
    answer = acme.post("alice", acme.inside("keys/"), name="a\u200bb", days=30)
    assert answer.status_code == 422
    assert "printable" in str(answer.context["form"].errors["name"])
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize(("who", "status"), [("bob", 403), ("charlie", 404), ("dora", 404)])
def test_others_have_no_such_page(acme: Acme, who: str, status: int) -> None:
    held, _secret = make_key(acme.space, by=owner_of(acme.space), name="ci")
    assert acme.browser(who).get(acme.inside("keys/")).status_code == status
    assert acme.post(who, acme.inside("keys/"), **NEW).status_code == status
    revoke = acme.inside(f"keys/{held.pk}/revoke/")
    assert acme.post(who, revoke).status_code == status
    assert ApiKey.objects.get().revoked_at is None
    if status == 403:
        assert acme.inside("keys/") not in acme.get(who, acme.inside())


def test_an_admin_ends_what_the_owner_has_made(acme: Acme) -> None:
    SpaceUser.objects.filter(space=acme.space, user=acme.people["bob"]).update(role=SpaceRole.ADMIN)
    held, secret = make_key(acme.space, by=owner_of(acme.space), name="ci")
    assert acme.inside("keys/") in acme.get("bob", acme.inside())
    assert "all that they may do here" in acme.get("bob", acme.inside("keys/"))
    said = acme.said("bob", acme.inside(f"keys/{held.pk}/revoke/"))
    assert said == (200, "ci was revoked.")
    assert ApiKey.objects.find(secret) is None
    assert "revoke/" not in acme.get("bob", acme.inside("keys/"))


def test_who_is_no_member_is_offered_no_form(acme: Acme) -> None:
    User.objects.filter(username="charlie").update(is_superuser=True)
    assert "New key" not in acme.get("charlie", acme.inside("keys/"))
    answer = acme.post("charlie", acme.inside("keys/"), **NEW)
    assert answer.status_code == 422
    assert "You are no member of Orders" in str(answer.context["form"].non_field_errors())
    assert not ApiKey.objects.exists()
