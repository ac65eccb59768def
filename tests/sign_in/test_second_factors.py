"""Codes of an app and recovery codes: set up, asked for, limited, encrypted, demanded."""

import json
import re
import time
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse

from accounts import encryption
from accounts.authentication import actor_of_session
from accounts.models import ApiKey, User
from audit.models import Entry
from tests.factories import make_user
from tests.pages.admin_pages import staff

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse"
CODES = "mfa_activate_totp"


def code_of(secret: str, step: int = 0) -> str:
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30 + step))


def by_password(username: str = "alice", **more: Any) -> tuple[Client, Any]:
    client = Client()
    form = {"username": username, "password": PASSWORD, **more}
    return client, client.post(reverse("account_login"), form)


def reauthenticated(client: Client) -> None:
    client.post(reverse("account_reauthenticate"), {"password": PASSWORD})


def set_up(client: Client) -> str:
    """Set up an app; its secret."""
    reauthenticated(client)
    page = client.get(reverse(CODES)).content.decode()
    found = re.search(r"<code>([A-Z2-7]{32})</code>", page)
    assert found is not None
    response = client.post(reverse(CODES), {"code": code_of(found[1], -1)})
    assert response["Location"] == reverse("mfa_view_recovery_codes")
    return found[1]


@pytest.fixture
def secret(people: dict[str, User]) -> str:
    """That of alice's app."""
    return set_up(by_password()[0])


def is_in(client: Client) -> bool:
    return client.get(reverse("home")).status_code == 200


def test_the_code_is_asked_for_after_the_password(secret: str) -> None:
    client, response = by_password(next="/robots/")
    assert response["Location"] == reverse("mfa_authenticate")
    assert not is_in(client)
    assert client.get("/api/v1/robots/").status_code == 401
    wrong = client.post(reverse("mfa_authenticate"), {"code": "000000"})
    assert (wrong.status_code, is_in(client)) == (200, False)
    assert "The code is wrong." in wrong.content.decode()
    right = client.post(reverse("mfa_authenticate"), {"code": code_of(secret)})
    assert (right.status_code, right["Location"]) == (302, "/robots/")
    assert is_in(client)


def test_a_code_is_taken_once(secret: str) -> None:
    code = code_of(secret)
    assert by_password()[0].post(reverse("mfa_authenticate"), {"code": code}).status_code == 302
    client, _response = by_password()
    again = client.post(reverse("mfa_authenticate"), {"code": code})
    assert "used already" in again.content.decode() or "is wrong" in again.content.decode()
    assert not is_in(client)


def test_codes_are_limited_whatever_browser_tries(secret: str) -> None:
    for _attempt in range(10):
        client, _response = by_password()
        client.post(reverse("mfa_authenticate"), {"code": "000000"})
    client, _response = by_password()
    page = client.post(reverse("mfa_authenticate"), {"code": code_of(secret)})
    assert "too many attempts" in page.content.decode()
    assert not is_in(client)


def test_a_recovery_code_lets_in_once(secret: str) -> None:
    client, _response = by_password()
    client.post(reverse("mfa_authenticate"), {"code": code_of(secret)})
    reauthenticated(client)
    page = client.get(reverse("mfa_view_recovery_codes")).content.decode()
    codes = re.findall(r"<li>(\d{8})</li>", page)
    assert len(codes) == 10
    file = client.get(reverse("mfa_download_recovery_codes"))
    assert file.content.decode().split() == codes
    for expected in (True, False):
        other, _response = by_password()
        other.post(reverse("mfa_authenticate"), {"code": codes[0]})
        assert is_in(other) is expected


def test_nothing_of_it_lies_there_readable(secret: str) -> None:
    kept = json.dumps(list(Authenticator.objects.values_list("data", flat=True)))
    assert secret not in kept
    assert all(encryption.is_readable(each) for each in re.findall(r'": "(\w{8}:[^"]+)"', kept))
    assert secret not in json.dumps(list(Entry.objects.values_list("detail", flat=True)))


def test_nor_does_it_before_it_is_confirmed(people: dict[str, User], settings: Any) -> None:
    client, _answer = by_password()
    reauthenticated(client)
    page = reverse(CODES)

    def shown(answer: Any) -> str:
        return str(answer.context["form"].secret)

    first = shown(client.get(page))
    wrong = client.post(page, {"code": "000000"})
    assert shown(wrong) == first  # what the app has read already stays right
    assert first in wrong.content.decode()
    kept = Session.objects.get(pk=client.session.session_key).get_decoded()
    assert first not in json.dumps(kept)
    settings.RPA_MFA_KEY = "another key, of which it was not made"
    again = client.post(page, {"code": code_of(first)})
    assert "The code is wrong." in again.content.decode()
    assert client.post(page, {"code": code_of(shown(again))}).status_code == 302


def test_a_lost_key_is_said_and_breaks_nothing(secret: str, settings: Any) -> None:
    inside, _response = by_password()
    inside.post(reverse("mfa_authenticate"), {"code": code_of(secret)})
    reauthenticated(inside)
    settings.RPA_MFA_KEY = "another key of thirty-two characters"
    client, _response = by_password()
    page = client.post(reverse("mfa_authenticate"), {"code": code_of(secret, 1)})
    assert "can no longer be checked" in page.content.decode()
    shown = inside.get(reverse("mfa_view_recovery_codes"), follow=True)
    assert "can no longer be checked" in shown.content.decode()


def test_setting_up_asks_for_the_password_again(people: dict[str, User]) -> None:
    client, _response = by_password()
    asked = client.get(reverse(CODES))
    assert asked["Location"].startswith(reverse("account_reauthenticate"))
    wrong = client.post(reverse("account_reauthenticate"), {"password": "wrong"})
    assert wrong.status_code == 200
    assert client.get(reverse(CODES)).status_code == 302


@pytest.mark.django_db(transaction=True)
def test_it_is_all_told_and_removed_by_its_owner(secret: str) -> None:
    client, _response = by_password()
    client.post(reverse("mfa_authenticate"), {"code": "000000"})
    client.post(reverse("mfa_authenticate"), {"code": code_of(secret)})
    reauthenticated(client)
    client.post(reverse("mfa_generate_recovery_codes"))
    client.post(reverse("mfa_deactivate_totp"))
    assert not Authenticator.objects.exists()
    told = Entry.objects.filter(action__startswith="mfa.").order_by("number")
    assert [(each.action, each.details["kind"]) for each in told] == [
        ("mfa.add", "totp"),
        ("mfa.add", "recovery_codes"),
        ("mfa.renew", "recovery_codes"),
        ("mfa.remove", "totp"),
        ("mfa.remove", "recovery_codes"),
    ]
    wrong = Entry.objects.get(action="session.sign_in", outcome="refused")
    assert (wrong.actor, wrong.details["reason"]) == ("alice", "wrong code")


def test_the_admin_has_no_way_around_it(secret: str) -> None:
    User.objects.filter(username="alice").update(is_staff=True, is_superuser=True)
    form = {"username": "alice", "password": PASSWORD}
    client = Client()
    response = client.post("/admin/login/?next=/admin/", form)
    assert response["Location"] == "/login/?next=%2Fadmin%2F"
    assert client.get("/admin/").status_code == 302
    bob = staff("view_user")
    assert bob.post("/admin/login/", form)["Location"] == "/admin/"
    assert str(bob.get("/admin/").wsgi_request.user) == "stan"
    assert (
        Client().get("/admin/login/?next=//evil.example/")["Location"] == "/login/?next=%2Fadmin%2F"
    )


@pytest.mark.parametrize(("demanded", "who", "lacking"), [
    ("none", "root", False), ("staff", "root", True), ("staff", "alice", False), ("all", "alice", True),
])  # fmt: skip
def test_who_must_have_one_opens_nothing_before(
    people: dict[str, User], settings: Any, demanded: str, who: str, lacking: bool
) -> None:
    make_user("root", is_staff=True, is_superuser=True)
    settings.RPA_REQUIRE_MFA = demanded
    client, _response = by_password(who)
    key = ApiKey.issue(user=User.objects.get(username=who), name="program")[1]
    for path in (reverse("home"), reverse("account"), "/admin/"):
        response = client.get(path)
        sent = response.status_code == 302 and response["Location"] == reverse("mfa_index")
        assert sent == lacking, path
    api = client.get("/api/v1/robots/")
    assert api.status_code == (403 if lacking else 200)
    if lacking:
        assert api.json()["code"] == "second_factor_required"
    session = client.session.session_key
    assert (actor_of_session(session) is None) == lacking
    by_key = Client().get("/api/v1/robots/", headers={"Authorization": f"Bearer {key}"})
    assert by_key.status_code == 200
    set_up(client)
    assert client.get(reverse("home")).status_code == 200
    assert actor_of_session(session) is not None


def test_an_operator_takes_lost_ones_away(secret: str, operator: Client) -> None:
    alice = User.objects.get(username="alice")
    form = {"action": "remove_factors", "_selected_action": [alice.pk]}
    operator.post(reverse("admin:accounts_user_changelist"), form)
    assert not Authenticator.objects.exists()
    client, _response = by_password()
    assert is_in(client)
    assert Entry.objects.filter(action="mfa.remove", actor="root").count() == 1


@pytest.mark.parametrize("credential", ["", "{}", "[]", "null", '"x"', '{"id": 1}', "{", '{"response": "x"}',
    '{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"AA","authenticatorData":"AA","signature":"AA","userHandle":"fhsd_"}}',
])  # fmt: skip
def test_made_up_passkeys_are_only_wrong(secret: str, credential: str) -> None:
    stranger = Client()
    stranger.get(reverse("mfa_login_webauthn"), headers={"Accept": "application/json"})
    response = stranger.post(reverse("mfa_login_webauthn"), {"credential": credential})
    assert (response.status_code, response["Location"]) == (302, reverse("account_login"))
    client, _response = by_password()
    client.get(reverse("mfa_authenticate"))
    step = client.post(reverse("mfa_authenticate"), {"credential": credential})
    assert step.status_code == 200
    client.post(reverse("mfa_authenticate"), {"code": code_of(secret)})
    reauthenticated(client)
    client.get(reverse("mfa_add_webauthn"))
    added = client.post(reverse("mfa_add_webauthn"), {"credential": credential, "name": "x"})
    assert added.status_code == 200
    assert not Authenticator.objects.filter(type="webauthn").exists()
