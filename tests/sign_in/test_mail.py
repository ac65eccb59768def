"""Forgotten passwords, proved addresses and signing up: by mail, alike for who exists and who does not."""

import re
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.test import Client
from django.urls import reverse

from accounts.models import User
from tests.factories import make_user
from tests.sign_in.test_second_factors import PASSWORD, by_password, is_in, set_up

pytestmark = pytest.mark.django_db
NEW = "battery staple 9"


@pytest.fixture(autouse=True)
def mail_is_there(settings: Any) -> None:
    settings.RPA_EMAIL_URL = "smtp://mail.example.org"
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    settings.DEFAULT_FROM_EMAIL = "rpa@example.org"
    settings.RPA_BASE_URL = "https://rpa.example.org"


def link() -> str:
    """The path of the link in the newest mail."""
    found = re.search(r"https://rpa\.example\.org(/\S+)", str(mail.outbox[-1].body))
    assert found is not None
    return found[1]


def ask(email: str, page: str = "account_reset_password", address: str = "10.0.0.1") -> Any:
    return Client().post(reverse(page), {"email": email}, REMOTE_ADDR=address)


def test_a_forgotten_password_is_chosen_anew(people: dict[str, User]) -> None:
    inside, _response = by_password()
    ask("Alice@example.org")
    assert mail.outbox[-1].to == ["alice@example.org"]
    client = Client()
    form = client.get(link(), follow=True)
    path = form.request["PATH_INFO"]
    assert client.post(path, {"password1": NEW, "password2": "another"}).status_code == 200
    assert client.post(path, {"password1": NEW, "password2": NEW}).status_code == 302
    assert not is_in(client)
    assert not is_in(inside)
    assert User.objects.get(username="alice").check_password(NEW)
    again = Client().get(link(), follow=True)
    assert "no longer, valid" in again.content.decode()


def test_it_is_no_way_around_a_second_factor(people: dict[str, User]) -> None:
    set_up(by_password()[0])
    ask("alice@example.org")
    client = Client()
    path = client.get(link(), follow=True).request["PATH_INFO"]
    client.post(path, {"password1": NEW, "password2": NEW})
    response = client.post(reverse("account_login"), {"username": "alice", "password": NEW})
    assert response["Location"] == reverse("mfa_authenticate")


@pytest.mark.parametrize("page", ["account_reset_password", "account_signup"])
def test_the_answer_does_not_tell_who_exists(
    people: dict[str, User], settings: Any, page: str
) -> None:
    settings.RPA_OPEN_SIGN_UP = True
    kept_elsewhere = make_user("eve")
    kept_elsewhere.set_unusable_password()
    kept_elsewhere.save()
    User.objects.filter(username="bob").update(is_active=False)
    answers = set()
    for name in ("alice", "nobody", "eve", "bob"):
        answer = ask(f"{name}@example.org", page, address=f"10.0.1.{len(name)}")
        body = re.sub(r'"csrf[-\w]+" (?:value|content)="\w+"', "", answer.content.decode())
        answers.add((answer.status_code, answer.get("Location"), body))
    assert len(answers) == 1
    assert len(mail.outbox) == 4  # one each, which takes as long
    linked = [name for name in ("alice", "nobody", "eve", "bob") if name in _with_links()]
    assert linked == (["alice"] if page == "account_reset_password" else linked)


def _with_links() -> str:
    return " ".join(str(each.to) for each in mail.outbox if "/password/reset/" in str(each.body))


def test_nobodys_mailbox_is_flooded(people: dict[str, User]) -> None:
    for number in range(3):
        assert ask("alice@example.org", address=f"10.0.2.{number}").status_code == 302
    late = ask(" ALICE@example.org", address="10.0.2.9")
    assert (late.status_code, len(mail.outbox)) == (429, 3)


def test_one_address_floods_no_mailboxes(db: None) -> None:
    answers = [ask(f"u{number}@example.org").status_code for number in range(21)]
    assert answers == [302] * 20 + [429]


def test_without_mail_there_are_no_such_pages(people: dict[str, User], settings: Any) -> None:
    settings.RPA_EMAIL_URL = ""
    assert Client().get(reverse("account_reset_password")).status_code == 404
    assert "Forgotten" not in Client().get(reverse("account_login")).content.decode()
    assert by_password()[0].get(reverse("account_email")).status_code == 404


def test_an_address_is_ones_own_once_it_is_proved(people: dict[str, User]) -> None:
    client, _response = by_password()
    client.post(reverse("account_email"), {"action_add": "1", "email": "new@example.org"})
    alice = User.objects.get(username="alice")
    assert alice.email == "alice@example.org"
    assert mail.outbox[-1].to == ["new@example.org"]
    path = link()
    client.get(path)
    client.post(path)
    alice.refresh_from_db()
    assert alice.email == "new@example.org"


def test_signing_up_proves_the_address_first(db: None, settings: Any) -> None:
    settings.RPA_OPEN_SIGN_UP = True
    ask("Ann@Example.org", "account_signup")
    assert not User.objects.exists()
    path = link()
    client = Client()
    assert "ann@example.org" in client.get(path).content.decode()
    assert client.post(path, {"username": "ann", "password": "12345"}).status_code == 422
    assert client.post(path, {"username": "ann", "password": NEW})["Location"] == "/"
    assert is_in(client)
    ann = User.objects.get(username="ann")
    assert (ann.email, ann.is_staff, ann.is_superuser) == ("ann@example.org", False, False)
    assert EmailAddress.objects.get(user=ann).verified
    assert Client().get(path).status_code == 410


def test_nobody_signs_up_to_learn_the_names_of_others(
    people: dict[str, User], settings: Any
) -> None:
    """Neither with one mail nor with several; who has an address of their own is not kept out."""
    settings.RPA_OPEN_SIGN_UP = True

    def tried(path: str, name: str, address: str = "10.1.1.1") -> Any:
        form = {"username": name, "password": "12345"}
        return Client(REMOTE_ADDR=address).post(path, form)

    for number in range(3):
        ask(f"ann{number}@example.org", "account_signup")
        path = link()
        codes = [tried(path, f"alice{n}").status_code for n in range(25)]
        assert codes == [422] * 20 + [429] * 5
        assert "alice" not in tried(path, "alice").content.decode()
    ask("ann3@example.org", "account_signup")
    path = link()
    refused = tried(path, "alice")
    assert refused.status_code == 429
    assert int(refused["Retry-After"]) > 0
    assert tried(path, "alice", "10.1.1.2").status_code == 422
    form = {"username": "ann", "password": NEW}
    assert Client(REMOTE_ADDR="10.1.1.2").post(path, form)["Location"] == "/"


def test_signing_up_is_closed_unless_it_is_opened(db: None) -> None:
    assert ask("ann@example.org", "account_signup").status_code == 404
    assert mail.outbox == []
    assert "Sign up" not in Client().get(reverse("account_login")).content.decode()


@pytest.mark.parametrize("token", ["x", "x:y:z", "e30:1:x"])
def test_a_made_up_link_is_over(db: None, settings: Any, token: str) -> None:
    settings.RPA_OPEN_SIGN_UP = True
    assert Client().get(reverse("account_signup_complete", args=[token])).status_code == 410


def test_the_host_of_the_request_is_in_no_mail(people: dict[str, User], settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    Client(headers={"Host": "evil.example"}).post(
        reverse("account_reset_password"), {"email": "alice@example.org"}
    )
    assert "evil" not in str(mail.outbox[-1].body) + mail.outbox[-1].subject
    assert PASSWORD not in str(mail.outbox[-1].body)
