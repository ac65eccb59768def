"""The door of the pages: in, out, and the language inside."""

import re
import threading
from typing import Any
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import translation

from accounts import attempts
from accounts.attempts import Limit, TooManyAttempts
from accounts.models import User
from tests.pages.conftest import Browser

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse"


def sign_in(client: Client, username: str, password: str, **more: str) -> Any:
    return client.post(
        reverse("account_login"), {"username": username, "password": password, **more}
    )


def test_who_knows_the_password_comes_in(client: Client, people: dict[str, User]) -> None:
    assert client.get(reverse("home"))["Location"] == "/login/?next=/"
    response = sign_in(client, "alice", PASSWORD)
    assert (response.status_code, response["Location"]) == (302, "/")
    assert client.get(reverse("home")).status_code == 200


def test_the_way_leads_on_but_never_out(client: Client, people: dict[str, User]) -> None:
    assert sign_in(client, "alice", PASSWORD, next="/robots/")["Location"] == "/robots/"
    for outside in ("https://evil.example/", "//evil.example/", "javascript:alert(1)"):
        assert sign_in(Client(), "alice", PASSWORD, next=outside)["Location"] == "/"


def test_a_refusal_does_not_tell_who_exists(people: dict[str, User]) -> None:
    User.objects.filter(username="bob").update(is_active=False)
    pages = set()
    for username, password in (("alice", "wrong"), ("nobody", "wrong"), ("bob", PASSWORD)):
        response = sign_in(Client(), username, password)
        assert response.status_code == 200
        page = response.content.decode().replace(username, "WHO")
        pages.add(re.sub(r'"csrf[-\w]+" (?:value|content)="\w+"', "", page))
    assert len(pages) == 1


def test_signing_out_takes_a_post(people: dict[str, User], browser: Browser) -> None:
    client = browser("alice")
    assert client.get(reverse("account_logout")).status_code == 405
    assert client.get(reverse("home")).status_code == 200
    assert client.post(reverse("account_logout"))["Location"] == "/login/"
    assert client.get(reverse("home")).status_code == 302


def test_a_deactivated_user_is_out_at_once(people: dict[str, User], browser: Browser) -> None:
    client = browser("alice")
    assert client.get(reverse("home")).status_code == 200
    User.objects.filter(username="alice").update(is_active=False)
    assert client.get(reverse("home")).status_code == 302
    assert client.get("/api/v1/robots/").status_code == 401


def test_the_session_cookie_is_for_this_site_only(client: Client, people: dict[str, User]) -> None:
    sign_in(client, "alice", PASSWORD)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"


def test_the_language_is_chosen_and_kept(people: dict[str, User], browser: Browser) -> None:
    client = browser("alice")
    for language in ("zh-hans", "en", "zh-hans"):
        sent = {"language": language, "next": reverse("robots")}
        response = client.post(reverse("set_language"), sent)
        assert (response.status_code, response["Location"]) == (302, reverse("robots"))
        assert f'<html lang="{language}"' in client.get(reverse("robots")).content.decode()
    outside = client.post(
        reverse("set_language"), {"language": "en", "next": "https://evil.example/"}
    )
    assert "evil" not in outside["Location"]


def test_the_browsers_language_counts_until_one_is_chosen(client: Client, db: None) -> None:
    page = client.get(reverse("account_login"), headers={"Accept-Language": "zh-CN,zh;q=0.9"})
    assert '<html lang="zh-hans"' in page.content.decode()


def test_chinese_is_really_spoken() -> None:
    with translation.override("zh-hans"):
        for text in ("Robots", "Executions", "Sign in", "Waiting for a free slot of a runner"):
            assert re.search(r"[\u4e00-\u9fff]", translation.gettext(text)), text


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time as signing in sees it; begins as a quarter of an hour does."""
    now = [900.0 * 2_000_000]
    monkeypatch.setattr("accounts.attempts.time.time", lambda: now[0])
    return now


LIMITED = pytest.mark.usefixtures("clock")


def tried(username: str, password: str, address: str = "10.0.0.1", **more: Any) -> Any:
    form = {"username": username, "password": password}
    client = more.pop("client", None) or Client()
    return client.post(reverse("account_login"), form, REMOTE_ADDR=address, **more)


@LIMITED
def test_a_wrong_password_is_taken_ten_times(people: dict[str, User]) -> None:
    for _attempt in range(10):
        assert tried("alice", "wrong").status_code == 200
    response = tried("alice", PASSWORD)  # the right one comes too late
    assert response.status_code == 429
    assert response["Retry-After"] == "900"
    assert "15 minutes" in response.content.decode()
    assert not response.wsgi_request.user.is_authenticated
    assert tried(" ALICE ", PASSWORD).status_code == 429


@LIMITED
def test_the_limit_is_for_one_account_from_one_address(people: dict[str, User]) -> None:
    for _attempt in range(11):
        tried("alice", "wrong")
    assert tried("bob", PASSWORD).status_code == 302
    assert tried("alice", PASSWORD, "10.0.0.2").status_code == 302
    # Without a proxy of ours, what a client says of its address is not believed.
    forged = {"headers": {"X-Forwarded-For": "10.0.0.3"}}
    assert tried("alice", PASSWORD, **forged).status_code == 429


@LIMITED
def test_behind_our_proxy_the_address_is_the_one_it_saw(
    people: dict[str, User], settings: Any
) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    for attempt in range(11):
        forwarded = {"X-Forwarded-For": f"10.9.9.{attempt}, 10.0.0.7"}
        response = tried("alice", "wrong", "127.0.0.1", headers=forwarded)
    assert response.status_code == 429
    elsewhere = {"X-Forwarded-For": "10.0.0.7, 10.0.0.8"}
    assert tried("alice", PASSWORD, "127.0.0.1", headers=elsewhere).status_code == 302


@LIMITED
def test_success_takes_the_count_back(people: dict[str, User]) -> None:
    for _round in range(2):
        for _attempt in range(9):
            tried("alice", "wrong")
        assert tried("alice", PASSWORD).status_code == 302


@LIMITED
def test_who_is_signed_in_resets_nobodys_count(people: dict[str, User], browser: Browser) -> None:
    for _attempt in range(9):
        tried("alice", "wrong")
    form = {"username": "alice", "password": "wrong"}
    response = browser("bob").post(reverse("account_login"), form, REMOTE_ADDR="10.0.0.1")
    assert response.status_code == 302  # no password was looked at
    assert tried("alice", "wrong").status_code == 200
    assert tried("alice", "wrong").status_code == 429


@LIMITED
def test_the_next_quarter_of_an_hour_begins_anew(
    people: dict[str, User], clock: list[float]
) -> None:
    for _attempt in range(11):
        tried("alice", "wrong")
    clock[0] += 899
    late = tried("alice", PASSWORD)
    assert (late.status_code, late["Retry-After"]) == (429, "1")
    clock[0] += 1
    assert tried("alice", PASSWORD).status_code == 302


@LIMITED
@pytest.mark.parametrize("username", ["", "\x00", "張", "x" * 100_000, "\ud800"])
def test_a_name_of_any_text_is_only_wrong(people: dict[str, User], username: str) -> None:
    form = urlencode({"username": username.encode("utf-8", "surrogatepass"), "password": "x"})
    for _attempt in range(2):
        response = Client().post(
            reverse("account_login"), form, "application/x-www-form-urlencoded"
        )
        assert response.status_code == 200


@pytest.mark.parametrize("way", ["/login/", "/login/?next=/login/", "/login/?x=1", "/login/#x"])
def test_the_way_never_leads_in_a_circle(
    people: dict[str, User], browser: Browser, way: str
) -> None:
    response = browser("alice").get(f"/login/?{urlencode({'next': way})}", follow=True)
    assert response.status_code == 200
    assert response.request["PATH_INFO"] == "/"


@LIMITED
def test_an_account_tried_from_everywhere_keeps_its_owner_in(people: dict[str, User]) -> None:
    known = Client()
    tried("alice", PASSWORD, "10.5.0.1", client=known)
    known.post(reverse("account_logout"))
    for number in range(100):
        assert tried("alice", "wrong", f"10.6.{number}.1").status_code == 200
    assert tried("alice", PASSWORD, "10.7.0.1").status_code == 429  # from a stranger's browser
    assert tried("bob", PASSWORD, "10.7.0.1").status_code == 302
    assert tried("alice", PASSWORD, "10.7.0.2", client=known).status_code == 302
    known.post(reverse("account_logout"))
    for _attempt in range(10):  # and a stolen mark is worth no more
        assert tried("alice", "wrong", "10.7.0.3", client=known).status_code == 200
    assert tried("alice", PASSWORD, "10.7.0.3", client=known).status_code == 429


@LIMITED
def test_a_mark_is_for_one_account_and_not_made_up(people: dict[str, User]) -> None:
    bobs = Client()
    tried("bob", PASSWORD, "10.5.0.1", client=bobs)
    bobs.post(reverse("account_logout"))
    for number in range(100):
        tried("alice", "wrong", f"10.6.{number}.1")
    assert tried("alice", PASSWORD, client=bobs).status_code == 429
    for forged in ("x", "x" * 2000, "e30:1:x"):
        bobs.cookies["known_device"] = forged
        assert tried("alice", PASSWORD, client=bobs).status_code == 429


@LIMITED
def test_one_address_tries_no_end_of_accounts(people: dict[str, User]) -> None:
    for number in range(100):
        assert tried(f"user{number}", "wrong").status_code == 200
    assert tried("alice", PASSWORD).status_code == 429
    assert tried("alice", PASSWORD, "10.0.0.2").status_code == 302


@LIMITED
def test_right_passwords_count_for_no_limit(people: dict[str, User]) -> None:
    for _time in range(120):
        assert tried("alice", PASSWORD).status_code == 302


@LIMITED
def test_a_network_of_ipv6_is_one_address(people: dict[str, User]) -> None:
    for number in range(10):
        tried("alice", "wrong", f"2001:db8:1:2::{number}")
    assert tried("alice", PASSWORD, "2001:db8:1:2:ffff::1").status_code == 429
    assert tried("alice", PASSWORD, "2001:db8:1:3::1").status_code == 302


@pytest.mark.django_db(transaction=True)
def test_racing_attempts_are_bounded_too(permissions: None) -> None:
    limit = Limit("racing", "somebody", 5)
    taken: list[bool] = []
    start = threading.Barrier(8)

    def race() -> None:
        start.wait()
        try:
            attempts.take(limit)
            taken.append(True)
        except TooManyAttempts:
            taken.append(False)
        finally:
            connection.close()

    threads = [threading.Thread(target=race) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(taken) == [False] * 3 + [True] * 5
