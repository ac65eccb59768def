"""Signing in by an identity provider: a real one, and what is wrong on the way back from it."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from allauth.socialaccount.models import SocialAccount
from django.test import Client
from django.urls import reverse

from accounts.models import User
from audit.models import Entry
from enterprises.models import Enterprise, EnterpriseRole
from tests.factories import make_enterprise, make_user
from tests.sign_in.conftest import CLIENT, ZOE, RealProvider

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse"


def leave(client: Client, **form: str) -> str:
    """The address at the provider that the button leads to."""
    response = client.post(reverse("oidc_leave"), form)
    assert response.status_code == 200
    return str(response["Refresh"]).removeprefix("0; url=")


def sign_in(client: Client, provider: RealProvider, subject: str, **form: str) -> Any:
    """There and back again; the answer to coming back."""
    back = provider.answers(leave(client, **form), subject)
    assert back.startswith("http://testserver/login/oidc/callback/?")
    return client.get(back.removeprefix("http://testserver"))


def who(client: Client) -> str:
    return str(client.get("/").wsgi_request.user)


def refusals() -> list[str]:
    found = Entry.objects.filter(action="session.sign_in", outcome="refused").order_by("number")
    return [str(each.details.get("reason")) for each in found]


def test_who_comes_for_the_first_time_gets_an_account(provider: RealProvider) -> None:
    client = Client()
    response = sign_in(client, provider, "8d0e7c2a-zoe", next="/robots/")
    assert (response.status_code, response["Location"]) == (302, "/robots/")
    zoe = User.objects.get(uid="8d0e7c2a-zoe")
    assert (zoe.username, zoe.email, zoe.first_name) == ("zoe", "zoe@example.org", "Zoë")
    assert (zoe.is_staff, zoe.is_superuser, zoe.has_usable_password()) == (False, False, False)
    assert who(client) == "zoe"
    again = Client()
    sign_in(again, provider, "8d0e7c2a-zoe")
    assert who(again) == "zoe"
    assert User.objects.filter(username__startswith="zoe").count() == 1
    actions = list(Entry.objects.order_by("number").values_list("action", "actor"))
    assert ("identity.connect", "zoe") in actions
    assert ("session.sign_in", "zoe") in actions


def test_the_request_asks_for_what_protects_it(provider: RealProvider) -> None:
    asked = parse_qs(urlsplit(leave(Client())).query)
    assert asked["client_id"] == [CLIENT]
    assert asked["response_type"] == ["code"]
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["redirect_uri"] == ["http://testserver/login/oidc/callback/"]
    assert {"state", "nonce", "code_challenge"} <= set(asked)


def test_a_subject_of_an_existing_user_is_that_user(
    provider: RealProvider, people: dict[str, User]
) -> None:
    User.objects.filter(username="bob").update(uid="8d0e7c2a-zoe")
    client = Client()
    sign_in(client, provider, "8d0e7c2a-zoe")
    assert who(client) == "bob"


def test_an_address_connects_nobody(provider: RealProvider, people: dict[str, User]) -> None:
    client = Client()
    sign_in(client, provider, "sly-1")  # whose address is alice's, and said to be proved
    sly = User.objects.get(uid="sly-1")
    assert sly != people["alice"]
    assert who(client) == sly.username == "Sly"
    assert SocialAccount.objects.get().user == sly


def test_an_address_that_is_not_proved_is_not_taken(provider: RealProvider) -> None:
    provider.knows(sub="shady", email="boss@example.org", email_verified=False)
    sign_in(Client(), provider, "shady")
    assert User.objects.get(uid="shady").email == ""


def test_a_taken_name_gets_a_number(provider: RealProvider, people: dict[str, User]) -> None:
    provider.knows(sub="other-alice", preferred_username="Alice")
    sign_in(Client(), provider, "other-alice")
    assert User.objects.get(uid="other-alice").username == "Alice-2"


def test_a_deactivated_user_stays_out(provider: RealProvider) -> None:
    sign_in(Client(), provider, "8d0e7c2a-zoe")
    User.objects.filter(username="zoe").update(is_active=False)
    client = Client()
    assert sign_in(client, provider, "8d0e7c2a-zoe")["Location"] == reverse("account_login")
    assert who(client) == "AnonymousUser"
    assert refusals() == ["deactivated"]


def test_strangers_stay_out_where_only_known_people_may_come(
    provider: RealProvider, settings: Any
) -> None:
    settings.RPA_OIDC_SIGN_UP = False
    client = Client()
    response = sign_in(client, provider, "8d0e7c2a-zoe")
    assert response["Location"] == reverse("account_login")
    assert not User.objects.exists()
    assert "no account here" in client.get(reverse("account_login")).content.decode()


def test_an_answer_is_for_the_browser_that_asked(provider: RealProvider) -> None:
    back = provider.answers(leave(Client()), "8d0e7c2a-zoe").removeprefix("http://testserver")
    other = Client()
    assert other.get(back).status_code == 401
    assert other.get(back.replace("state=", "state=x")).status_code == 401
    assert who(other) == "AnonymousUser"
    assert not User.objects.exists()
    assert len(refusals()) == 2


def test_an_answer_is_taken_once(provider: RealProvider) -> None:
    client = Client()
    back = provider.answers(leave(client), "8d0e7c2a-zoe").removeprefix("http://testserver")
    assert client.get(back).status_code == 302
    assert client.get(back).status_code == 401


def test_a_token_of_another_sign_in_is_refused(provider: RealProvider) -> None:
    client = Client()
    back = provider.answers(leave(client), "8d0e7c2a-zoe").removeprefix("http://testserver")
    session = client.session
    states = session["socialaccount_states"]
    for state, *_rest in states.values():
        state["nonce"] = "another"
    session["socialaccount_states"] = states
    session.save()
    assert client.get(back).status_code == 401
    assert not User.objects.exists()
    assert "nonce" in str(Entry.objects.filter(outcome="refused").get().details["detail"])


def test_a_provider_that_calls_itself_otherwise_is_another_one(
    provider: RealProvider, settings: Any
) -> None:
    settings.RPA_OIDC_ISSUER = f"{provider.address}/"
    response = Client().post(reverse("oidc_leave"))
    assert response.status_code == 503
    assert "Nothing was changed" in response.content.decode()


def test_a_provider_that_is_away_is_said_to_be_so(provider: RealProvider, settings: Any) -> None:
    settings.RPA_OIDC_ISSUER = "http://127.0.0.1:9"
    assert Client().post(reverse("oidc_leave")).status_code == 503
    assert "Casdoor" in Client().get(reverse("account_login")).content.decode()


def test_who_says_no_there_is_told_so_here(provider: RealProvider) -> None:
    client = Client()
    state = parse_qs(urlsplit(leave(client)).query)["state"][0]
    callback = reverse("oidc_callback")
    denied = client.get(callback, {"error": "access_denied", "state": state}, follow=True)
    assert "cancelled" in denied.content.decode()
    assert client.get(callback, {"error": "server_error", "state": "x"}).status_code == 401


@pytest.mark.parametrize("outside", ["https://evil.example/", "//evil.example/", "javascript:x"])
def test_the_way_back_never_leads_out(provider: RealProvider, outside: str) -> None:
    assert sign_in(Client(), provider, "8d0e7c2a-zoe", next=outside)["Location"] == "/"


def test_ones_own_account_can_be_connected(provider: RealProvider, people: dict[str, User]) -> None:
    client = Client()
    client.post(reverse("account_login"), {"username": "alice", "password": PASSWORD})
    asked = client.post(reverse("oidc_leave"))
    assert asked["Location"].startswith(reverse("account_reauthenticate"))
    client.post(asked["Location"], {"password": PASSWORD})
    assert sign_in(client, provider, "8d0e7c2a-zoe")["Location"] == reverse("account")
    assert SocialAccount.objects.get().user == people["alice"]
    assert not User.objects.filter(uid="8d0e7c2a-zoe").exists()
    other = Client()
    sign_in(other, provider, "8d0e7c2a-zoe")
    assert who(other) == "alice"
    client.post(reverse("oidc_disconnect"))
    assert not SocialAccount.objects.exists()
    told = Entry.objects.filter(action__startswith="identity.").order_by("number")
    assert [each.action for each in told] == ["identity.connect", "identity.disconnect"]


def test_nobody_connects_what_is_somebody_elses(
    provider: RealProvider, people: dict[str, User]
) -> None:
    User.objects.filter(username="bob").update(uid="8d0e7c2a-zoe")
    client = Client()
    client.post(reverse("account_login"), {"username": "alice", "password": PASSWORD})
    client.post(reverse("account_reauthenticate"), {"password": PASSWORD})
    sign_in(client, provider, "8d0e7c2a-zoe")
    assert not SocialAccount.objects.exists()
    assert who(client) == "alice"


def test_the_only_way_in_is_not_given_away(provider: RealProvider) -> None:
    client = Client()
    sign_in(client, provider, "8d0e7c2a-zoe")
    client.post(reverse("oidc_disconnect"))
    assert SocialAccount.objects.exists()
    page = client.get(reverse("account_change_password"))
    assert "identity provider" in page.content.decode()


def test_without_a_provider_there_is_no_such_way(db: None) -> None:
    make_user("ann")
    assert Client().post(reverse("oidc_leave")).status_code == 404
    assert Client().get(reverse("oidc_callback"), {"code": "x", "state": "y"}).status_code == 404


@pytest.fixture
def firm(people: dict[str, User], settings: Any) -> Enterprise:
    """alice's, whose members the provider names; bob was staff of it before."""
    firm = make_enterprise(
        "Acme", {people["alice"]: EnterpriseRole.OFFICER, people["bob"]: EnterpriseRole.STAFF}
    )
    staff = ("acme/staff", firm.pk, int(EnterpriseRole.STAFF))
    settings.RPA_OIDC_GROUPS = (staff, ("acme/heads", firm.pk, int(EnterpriseRole.GOVERNOR)))
    return firm


def roles(firm: Enterprise) -> dict[str, int]:
    return dict(firm.members.values_list("user__username", "role"))


def as_member_of(provider: RealProvider, *groups: str) -> Client:
    provider.knows(**ZOE, groups=list(groups))
    client = Client()
    assert sign_in(client, provider, ZOE["sub"]).status_code == 302
    return client


def test_groups_give_change_and_end_memberships(provider: RealProvider, firm: Enterprise) -> None:
    as_member_of(provider, "acme/staff", "others")
    assert roles(firm)["zoe"] == EnterpriseRole.STAFF
    as_member_of(provider, "acme/staff", "acme/heads")
    assert roles(firm)["zoe"] == EnterpriseRole.GOVERNOR
    as_member_of(provider)
    assert "zoe" not in roles(firm)
    assert roles(firm) == {"alice": EnterpriseRole.OFFICER, "bob": EnterpriseRole.STAFF}
    told = Entry.objects.filter(action="enterprise.groups").order_by("number")
    assert [(each.actor, each.object_name) for each in told] == [("zoe", "Acme")] * 3


def test_claims_without_groups_change_nothing(provider: RealProvider, firm: Enterprise) -> None:
    as_member_of(provider, "acme/staff")
    provider.knows(**ZOE)
    sign_in(Client(), provider, ZOE["sub"])
    assert roles(firm)["zoe"] == EnterpriseRole.STAFF


def test_no_group_touches_the_officer(provider: RealProvider, firm: Enterprise) -> None:
    zoe = make_user("zoe", uid=ZOE["sub"])
    firm.members.filter(role=EnterpriseRole.OFFICER).update(role=EnterpriseRole.GOVERNOR)
    firm.members.create(user=zoe, role=EnterpriseRole.OFFICER)
    as_member_of(provider)
    as_member_of(provider, "acme/staff")
    assert roles(firm)["zoe"] == EnterpriseRole.OFFICER


def test_a_firm_without_a_seat_takes_nobody_and_keeps_nobody_out_of_the_platform(
    provider: RealProvider, firm: Enterprise, settings: Any
) -> None:
    settings.RPA_TEAM_USERS = 2
    assert who(as_member_of(provider, "acme/staff")) == "zoe"
    assert "zoe" not in roles(firm)
    refused = Entry.objects.filter(action="enterprise.groups", outcome="refused")
    assert [each.details["code"] for each in refused] == ["too_many_users"]
