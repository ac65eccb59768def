"""One's own sessions: seen, ended, and gone with the password."""

from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from django.test import Client
from django.urls import reverse

from accounts import sessions
from accounts.authentication import actor_of_session
from accounts.models import User
from audit.models import Entry
from tests.sign_in.test_second_factors import PASSWORD, by_password, is_in

pytestmark = pytest.mark.django_db
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0"


def from_firefox(username: str = "alice") -> Client:
    client = Client(headers={"User-Agent": FIREFOX}, REMOTE_ADDR="10.1.1.1")
    client.post(reverse("account_login"), {"username": username, "password": PASSWORD})
    return client


def key_of(client: Client) -> int:
    return int(UserSession.objects.get(session_key=client.session.session_key).pk)


def test_they_are_seen_with_their_device(people: dict[str, User]) -> None:
    firefox, _other = from_firefox(), from_firefox("bob")
    page = firefox.get(reverse("sessions")).content.decode()
    assert "Firefox, Linux" in page
    assert page.count("10.1.1.1") == 1


def test_one_is_ended_and_what_watches_in_it(people: dict[str, User]) -> None:
    here, there = from_firefox(), from_firefox()
    gone = there.session.session_key
    assert actor_of_session(gone) is not None
    here.post(reverse("session-end", args=[key_of(there)]))
    assert actor_of_session(gone) is None
    assert (is_in(here), is_in(there)) == (True, False)
    assert Entry.objects.filter(action="session.end", actor="alice").count() == 1


def test_those_of_others_are_absent(people: dict[str, User]) -> None:
    bob = from_firefox("bob")
    assert from_firefox().post(reverse("session-end", args=[key_of(bob)])).status_code == 404
    assert is_in(bob)


def test_all_others_are_ended(people: dict[str, User]) -> None:
    here, others, bob = from_firefox(), [from_firefox() for _ in range(3)], from_firefox("bob")
    here.post(reverse("session-end-others"))
    assert is_in(here)
    assert is_in(bob)
    assert not any(is_in(each) for each in others)


def test_a_new_password_ends_all_others(people: dict[str, User]) -> None:
    here, there = from_firefox(), from_firefox()
    path = reverse("account_change_password")
    new = {"password1": "battery staple 9", "password2": "battery staple 9"}
    assert here.post(path, {"oldpassword": "wrong", **new}).status_code == 200
    assert (
        here.post(
            path, {"oldpassword": PASSWORD, "password1": "short", "password2": "short"}
        ).status_code
        == 200
    )
    assert here.post(path, {"oldpassword": PASSWORD, **new})["Location"] == reverse("account")
    assert (is_in(here), is_in(there)) == (True, False)
    assert UserSession.objects.count() == 1
    told = Entry.objects.get(action="password.change")
    assert told.actor == "alice"
    assert "battery" not in told.detail


def test_the_current_password_is_not_guessed(people: dict[str, User]) -> None:
    client = from_firefox()
    new = {"password1": "battery staple 9", "password2": "battery staple 9"}
    for _attempt in range(10):
        client.post(reverse("account_change_password"), {"oldpassword": "wrong", **new})
    response = client.post(reverse("account_change_password"), {"oldpassword": PASSWORD, **new})
    assert "too many attempts" in response.content.decode()


def test_signing_out_takes_it_off_the_list(people: dict[str, User]) -> None:
    client = from_firefox()
    client.post(reverse("account_logout"))
    assert not UserSession.objects.exists()


def test_the_last_use_is_noted_now_and_then(people: dict[str, User]) -> None:
    client = from_firefox()
    client.get(reverse("home"))
    before = UserSession.objects.get().last_seen_at
    session = client.session
    session["seen_at"] -= 600
    session.save()
    client.get(reverse("home"), REMOTE_ADDR="10.2.2.2")
    after = UserSession.objects.get()
    assert after.last_seen_at > before
    assert after.ip == "10.2.2.2"


def test_one_user_has_no_end_of_them(people: dict[str, User], monkeypatch: Any) -> None:
    monkeypatch.setattr(sessions, "MOST", 3)
    clients = [from_firefox() for _ in range(5)]
    assert [is_in(each) for each in clients] == [False, False, True, True, True]


def test_an_operator_ends_all_of_a_user(people: dict[str, User], operator: Client) -> None:
    client = from_firefox()
    form = {"action": "end_sessions", "_selected_action": [people["alice"].pk]}
    operator.post(reverse("admin:accounts_user_changelist"), form)
    assert not is_in(client)
    assert Entry.objects.get(action="session.end").actor == "root"


def test_a_sign_in_gets_a_session_of_its_own(people: dict[str, User]) -> None:
    client = Client()
    client.get(reverse("account_login"))
    session = client.session
    session["planted"] = True
    session.save()
    planted = session.session_key
    client.post(reverse("account_login"), {"username": "alice", "password": PASSWORD})
    assert client.session.session_key != planted
    assert by_password()[1].status_code == 302
