"""Invites: who sends, answers and withdraws them, how long they live, and how many seats there are."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import ApiKey, User
from enterprises.models import Enterprise
from executions.sweeper import Sweeper
from joining import services
from joining.models import Invite, InviteRole, InviteStatus
from spaces.models import Space, SpaceRole, SpaceUser
from tests.api.helpers import pages
from tests.audit.entries import Heard
from tests.factories import make_space, make_user, owner_of
from tests.tenancy.firm import Firm

pytestmark = pytest.mark.django_db
MINE = "/api/v1/invites/"


def invite(firm: Firm, who: str, whom: str, path: str = "", role: int = 3) -> Any:
    return firm.ask(
        who, "post", path or firm.in_space("invites/"), {"user": firm.uid(whom), "role": role}
    )


def sent(firm: Firm, path: str = "", role: int = 3) -> str:
    """The address of a fresh invite of zoe."""
    made = invite(firm, "stan" if not path else "olga", "zoe", path, role)
    assert made.status_code == 201, made.content
    return f"{MINE}{made.json()['id']}/"


@pytest.mark.parametrize(
    ("who", "role", "said"),
    [
        ("stan", 2, "201"),
        ("sue", 2, "201"),
        ("sue", 3, "201"),
        ("root", 2, "201"),
        ("stan", 1, "400 invalid"),
        ("gary", 3, "403 forbidden"),
        ("zoe", 3, "404 not_found"),
    ],
)
def test_who_invites_to_a_space(firm: Firm, who: str, role: int, said: str) -> None:
    body = {"user": firm.uid("zoe"), "role": role}
    assert firm.said(who, "post", firm.in_space("invites/"), body) == said
    assert Invite.objects.count() == (said == "201")


@pytest.mark.parametrize(
    ("who", "role", "said"),
    [
        ("olga", 2, "201"),
        ("gary", 2, "201"),
        ("stan", 3, "403 forbidden"),
        ("zoe", 3, "404 not_found"),
    ],
)
def test_who_invites_to_an_enterprise(firm: Firm, who: str, role: int, said: str) -> None:
    body = {"user": firm.uid("zoe"), "role": role}
    assert firm.said(who, "post", firm.at("invites/"), body) == said


def test_an_invite_is_answered_by_its_invitee_alone(firm: Firm) -> None:
    path = sent(firm)
    for who in ("stan", "olga", "root", "sue"):
        for deed, method in (("", "get"), ("accept/", "post"), ("refuse/", "post")):
            assert firm.said(who, method, path + deed) == "404 not_found", (who, deed)
    found = firm.ask("zoe", "get", MINE).json()["results"]
    assert [(each["space_name"], each["inviter_name"], each["status"]) for each in found] == [
        ("Orders", "stan", 1)
    ]
    assert firm.ask("zoe", "get", path).json() == found[0]
    assert firm.ask("zoe", "post", f"{path}accept/").json()["status"] == InviteStatus.JOINED
    assert firm.space_roles() == {"stan": 1, "sue": 2, "zoe": 3}
    for deed in ("accept/", "refuse/"):
        assert firm.said("zoe", "post", path + deed) == "409 invite_closed"
    assert firm.said("stan", "post", f"{path}withdraw/") == "409 invite_closed"


@pytest.mark.parametrize("role", [2, 3])
def test_who_joins_a_space_is_staff_and_no_more(firm: Firm, role: int) -> None:
    """An admin of a space gets no say in the enterprise."""
    firm.ask("zoe", "post", f"{sent(firm, role=role)}accept/")
    assert firm.space_roles()["zoe"] == role
    assert firm.roles()["zoe"] == 3


@pytest.mark.parametrize("role", [2, 3])
def test_who_joins_an_enterprise_has_the_role_of_the_invite(firm: Firm, role: int) -> None:
    firm.ask("zoe", "post", f"{sent(firm, firm.at('invites/'), role)}accept/")
    assert firm.roles()["zoe"] == role
    assert "zoe" not in firm.space_roles()


def test_a_personal_space_makes_nobody_a_colleague(firm: Firm) -> None:
    own = make_space("Own", {firm.people["sue"]: SpaceRole.OWNER})
    made = invite(firm, "sue", "zoe", firm.in_space("invites/", own)).json()
    assert (made["enterprise"], made["space_name"]) == (None, "Own")
    assert firm.said("zoe", "post", f"{MINE}{made['id']}/accept/") == "200"
    assert firm.space_roles(own) == {"sue": 1, "zoe": 3}
    assert "zoe" not in firm.roles()


def test_refused_and_withdrawn_are_final_and_another_may_follow(firm: Firm) -> None:
    first = sent(firm)
    assert firm.said("stan", "post", firm.in_space("invites/"), {"user": firm.uid("zoe")}) == (
        "409 already_invited"
    )
    assert firm.said("zoe", "post", f"{first}refuse/") == "200"
    second = sent(firm)
    assert firm.said("gary", "post", f"{second}withdraw/") == "403 forbidden"
    assert firm.said("sue", "post", f"{second}withdraw/") == "200"
    for path in (first, second):
        assert firm.said("zoe", "post", f"{path}accept/") == "409 invite_closed"
    assert "zoe" not in firm.space_roles()
    assert firm.said("zoe", "post", f"{sent(firm)}accept/") == "200"
    assert firm.said("stan", "post", firm.in_space("invites/"), {"user": firm.uid("zoe")}) == (
        "409 already_member"
    )


def test_an_invite_lives_for_seven_days(firm: Firm) -> None:
    path = sent(firm)
    made = Invite.objects.get()
    assert abs(made.expire_time - timezone.now() - timedelta(days=7)) < timedelta(minutes=5)
    Invite.objects.update(expire_time=timezone.now())
    refused = firm.ask("zoe", "post", f"{path}accept/").json()
    assert (refused["code"], refused["state"]) == ("invite_closed", InviteStatus.EXPIRED)
    assert firm.said("stan", "post", f"{path}withdraw/") == "409 invite_closed"
    assert firm.ask("zoe", "get", path).json()["status"] == InviteStatus.EXPIRED
    for status, count in ((1, 0), (5, 1), (2, 0), (9, 0)):
        for who, where in (("zoe", MINE), ("stan", firm.in_space("invites/"))):
            found = firm.ask(who, "get", where, {"status": status}, format=None).json()["results"]
            assert len(found) == count, (who, status)
    sent(firm)
    assert sorted(Invite.objects.values_list("status", flat=True)) == [1, 5]


def test_a_sweep_says_in_the_rows_that_the_time_is_over(firm: Firm) -> None:
    """Others read this table too, and go by the status alone."""
    sent(firm)
    for number in range(4):
        late_one = make_user(f"late-{number}")
        services.invite_user(firm.space, late_one.uid, InviteRole.MEMBER, by=owner_of(firm.space))
    late = Invite.objects.filter(invitee__username__startswith="late-")
    late.update(expire_time=timezone.now() - timedelta(seconds=1))
    Invite.objects.filter(invitee__username="late-3").update(status=InviteStatus.REFUSED)
    heard = Heard()
    assert [services.expire_invites(2) for _time in range(3)] == [2, 1, 0]
    statuses = dict(Invite.objects.values_list("invitee__username", "status"))
    assert statuses == {"zoe": 1, "late-0": 5, "late-1": 5, "late-2": 5, "late-3": 2}
    first, second = heard.all()
    assert {first.action, second.action} == {"invite.expire"}
    assert (first.door, len(first.details["changes"])) == ("platform", 2)


def test_the_engines_sweeps_do_that_once_a_minute(
    firm: Firm, django_assert_max_num_queries: Any
) -> None:
    sweeper = Sweeper()
    sweeper.sweep()
    sent(firm)
    Invite.objects.update(expire_time=timezone.now())
    sweeper.sweep()
    assert Invite.objects.get().status == InviteStatus.INITIAL
    Sweeper().sweep()
    assert Invite.objects.get().status == InviteStatus.EXPIRED
    with django_assert_max_num_queries(1):
        assert services.expire_invites(100) == 0


@pytest.mark.parametrize("token", ["1", "1:1", "x:y", "%00", "1:" + "a" * 43])
def test_a_link_is_signed(firm: Firm, token: str) -> None:
    sent(firm)
    for deed, method in (("", "get"), ("accept/", "post"), ("withdraw/", "post")):
        assert firm.said("zoe", method, f"{MINE}{token}/{deed}") == "404 not_found"


def test_nobody_invites_whom_there_is_not(firm: Firm) -> None:
    User.objects.filter(username="zoe").update(is_active=False)
    for uid in (firm.uid("zoe"), "nobody", firm.uid("gary").upper()):
        body = {"user": uid}
        assert firm.said("stan", "post", firm.in_space("invites/"), body) == "404 no_such_user"


def test_members_and_open_invites_take_the_seats(firm: Firm, settings: Any) -> None:
    settings.RPA_TEAM_USERS = 5
    ann = make_user("ann")
    path = firm.at("invites/")
    limits = firm.ask("olga", "get", firm.at("limits/")).json()
    assert limits["users"] == {"members": 4, "open_invites": 0, "limit": 5, "free": 1}
    assert limits["spaces"] == {"count": 1, "limit": 10_000}
    first = sent(firm, path)
    assert firm.said("olga", "post", path, {"user": ann.uid}) == "409 too_many_users"
    assert firm.said("olga", "post", f"{first}withdraw/") == "200"
    assert firm.said("olga", "post", path, {"user": ann.uid}) == "201"
    # Whom a space invites needs a seat of the enterprise as they join.
    space = sent(firm)
    assert firm.said("zoe", "post", f"{space}accept/") == "409 too_many_users"
    assert (firm.roles().get("zoe"), firm.space_roles().get("zoe")) == (None, None)
    settings.RPA_TEAM_USERS = 6
    assert firm.said("zoe", "post", f"{space}accept/") == "200"
    assert firm.said("stan", "get", firm.at("limits/")) == "403 forbidden"
    assert firm.ask("stan", "get", firm.in_space("limits/")).json()["users"]["members"] == 3


def test_an_invite_to_what_is_gone_is_gone(firm: Firm) -> None:
    path = sent(firm)
    Enterprise.objects.update(expire_time=timezone.now())
    assert firm.said("zoe", "post", f"{path}accept/") == "403 enterprise_expired"
    Enterprise.objects.update(expire_time=None)
    Space.objects.update(deleted=True)
    assert (
        firm.said("zoe", "get", path)
        == firm.said("zoe", "post", f"{path}accept/")
        == "404 not_found"
    )
    assert firm.ask("zoe", "get", MINE).json()["results"] == []
    Space.objects.update(deleted=False)
    assert firm.said("zoe", "post", f"{path}accept/") == "200"


def test_who_is_removed_does_not_come_back_by_an_old_invite(firm: Firm) -> None:
    other = make_space("Other", {firm.people["olga"]: SpaceRole.OWNER}, firm.enterprise)
    made = invite(firm, "olga", "sue", firm.in_space("invites/", other)).json()
    assert firm.said("olga", "delete", firm.at(f"members/{firm.uid('sue')}/")) == "204"
    assert firm.said("sue", "post", f"{MINE}{made['id']}/accept/") == "409 invite_closed"


def test_a_narrow_key_answers_nothing(firm: Firm) -> None:
    path = sent(firm)
    _key, secret = ApiKey.issue(user=firm.people["zoe"], name="k", scopes=["space.view"])
    client = firm.api(None)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    assert client.get(MINE).json()["results"] == []
    assert client.post(f"{path}accept/").json()["code"] == "forbidden"


def test_lists_of_invites_cost_the_same_however_long(firm: Firm) -> None:
    clients = {
        MINE: firm.api(firm.people["zoe"]),
        firm.in_space("invites/"): firm.api(firm.people["stan"]),
    }
    prices: dict[str, list[int]] = {path: [] for path in clients}
    for count in (2, 30):
        Invite.objects.bulk_create(
            Invite(
                type=1,
                space=firm.space,
                enterprise=firm.enterprise,
                invitee=firm.people["zoe"],
                inviter=firm.people["stan"],
                status=2,
                expire_time=timezone.now(),
            )
            for _number in range(count)
        )
        for path, client in clients.items():
            with CaptureQueriesContext(connection) as queries:
                client.get(path)
            prices[path].append(len(queries))
    assert list(prices.values()) == [[3, 3], [5, 5]]
    for path, client in clients.items():
        found = [row["id"] for page in pages(client, path, limit=10) for row in page]
        assert len(found) == len(set(found)) == 32


# Members added without being asked -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "whom", "role", "said"),
    [
        ("stan", "gary", 2, "201"),
        ("sue", "gary", 3, "201"),
        ("stan", "gary", 1, "400 invalid"),
        ("stan", "zoe", 3, "409 not_in_enterprise"),
        ("stan", "sue", 3, "409 already_member"),
        ("gary", "gary", 3, "403 forbidden"),
        ("zoe", "gary", 3, "404 not_found"),
    ],
)
def test_who_adds_whom(firm: Firm, who: str, whom: str, role: int, said: str) -> None:
    before = firm.space_roles()
    body = {"user": firm.uid(whom), "role": role}
    assert firm.said(who, "post", firm.in_space("members/"), body) == said
    assert firm.space_roles() == (before | {whom: role} if said == "201" else before)


def test_who_is_added_needs_a_seat_and_no_invite(firm: Firm, settings: Any) -> None:
    settings.RPA_TEAM_USERS = 3
    made = invite(firm, "stan", "gary").json()
    assert firm.said("stan", "post", firm.in_space("members/"), {"user": firm.uid("olga")}) == (
        "409 too_many_users"
    )
    assert firm.said("stan", "post", firm.in_space("members/"), {"user": firm.uid("gary")}) == "201"
    assert firm.said("gary", "post", f"{MINE}{made['id']}/accept/") == "409 invite_closed"
    own = make_space("Own", {firm.people["zoe"]: SpaceRole.OWNER})
    assert firm.said("zoe", "post", firm.in_space("members/", own), {"user": firm.uid("sue")}) == (
        "422 invalid"
    )
    assert SpaceUser.objects.filter(space=own).count() == 1


# Whom to invite ----------------------------------------------------------------------------------


def found(firm: Firm, who: str, text: str, path: str = "") -> list[str]:
    answer = firm.ask(who, "get", path or firm.in_space("users/"), {"q": text}, format=None)
    assert answer.status_code == 200, answer.content
    return [f"{each['username']} {each['state']}" for each in answer.json()]


def test_a_search_shows_colleagues_by_their_beginning_and_others_by_their_name(firm: Firm) -> None:
    make_user("stanley")
    User.objects.filter(username="gary").update(username="stanislaw")
    assert found(firm, "stan", "sta") == ["stan member", "stanislaw none"]
    assert found(firm, "stan", "stan") == ["stan member", "stanislaw none"]
    assert found(firm, "stan", "st") == found(firm, "stan", "") == found(firm, "stan", "%%%") == []
    assert found(firm, "stan", "stanley") == ["stanley none"]
    assert found(firm, "stan", "zoe@example.org") == ["zoe none"]
    assert found(firm, "stan", firm.uid("zoe")) == ["zoe none"]
    sent(firm)
    assert found(firm, "stan", "zoe") == ["zoe invited"]
    assert found(firm, "olga", "zoe", firm.at("users/")) == ["zoe none"]
    User.objects.filter(username="zoe").update(is_active=False)
    assert found(firm, "stan", "zoe") == []
    own = make_space("Own", {firm.people["sue"]: SpaceRole.OWNER})
    assert found(firm, "sue", "sta", firm.in_space("users/", own)) == []


def test_a_search_says_nothing_but_names(firm: Firm) -> None:
    answer = firm.ask("stan", "get", firm.in_space("users/"), {"q": "zoe"}, format=None)
    assert [set(each) for each in answer.json()] == [{"user", "username", "nickname", "state"}]
    for who, said in {"gary": "403 forbidden", "zoe": "404 not_found"}.items():
        assert firm.said(who, "get", firm.in_space("users/")) == said
    assert firm.said("stan", "get", firm.at("users/")) == "403 forbidden"


def test_searches_are_counted(firm: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.core.cache import cache
    from rest_framework.throttling import ScopedRateThrottle

    rates = {**ScopedRateThrottle.THROTTLE_RATES, "people": "2/hour"}
    monkeypatch.setattr(ScopedRateThrottle, "THROTTLE_RATES", rates)
    cache.clear()
    said = [firm.said("stan", "get", firm.in_space("users/")) for _ in range(3)]
    assert said == ["200", "200", "429 throttled"]
    cache.clear()
