"""A refusal names the key that was used, also where that opens nothing any more; but no key whose secret is wrong."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import ApiKey, User
from audit.models import Entry
from spaces.models import Space
from tests.audit.entries import Heard

pytestmark = pytest.mark.django_db


def knock(secret: str, space: Space) -> Entry:
    heard = Heard()
    client = APIClient(headers={"Authorization": f"Bearer {secret}"})
    assert client.patch(f"/api/v1/spaces/{space.pk}/", {"name": "x"}).status_code == 401
    return heard.only()


@pytest.mark.parametrize("why", ["revoked", "expired", "deactivated"])
def test_a_key_that_opens_nothing_any_more_is_named(
    people: dict[str, User], space: Space, why: str
) -> None:
    key, secret = ApiKey.issue(user=people["alice"], name="program")
    if why == "revoked":
        key.revoke()
    elif why == "expired":
        ApiKey.objects.filter(pk=key.pk).update(expires_at=timezone.now() - timedelta(hours=1))
    else:
        User.objects.filter(pk=people["alice"].pk).update(is_active=False)
    entry = knock(secret, space)
    assert (entry.action, entry.outcome, entry.key_prefix) == ("request", "refused", key.prefix)
    # Whose it was, and no proof that it was they.
    assert (entry.actor, entry.actor_uid, entry.details["key_of"]) == ("", "", "alice")
    assert secret not in entry.detail


def test_a_key_whose_secret_is_wrong_is_nobodys(people: dict[str, User], space: Space) -> None:
    key, secret = ApiKey.issue(user=people["alice"], name="program")
    key.revoke()
    forged = secret[:-1] + ("a" if secret[-1] != "a" else "b")
    assert forged.startswith(key.prefix)
    entry = knock(forged, space)
    assert (entry.actor, entry.key_prefix) == ("", "")
    assert "key_of" not in entry.details


def test_the_owner_who_is_signed_in_is_not_taken_for_the_sender_of_a_dead_key(
    people: dict[str, User], space: Space
) -> None:
    key, secret = ApiKey.issue(user=people["alice"], name="program")
    key.revoke()
    client = Client(headers={"Authorization": f"Bearer {secret}"})
    client.force_login(people["bob"])
    heard = Heard()
    assert client.delete(f"/api/v1/spaces/{space.pk}/").status_code == 401
    entry = heard.only()
    assert (entry.actor, entry.key_prefix, entry.details["key_of"]) == ("", key.prefix, "alice")
