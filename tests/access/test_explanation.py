"""The explanation never says anything else than the answer; a preview tells what then really happens."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.actors import Actor
from accounts.models import ApiKey, User
from audit.models import Entry
from enterprises.models import Enterprise
from spaces.access import may
from spaces.explanation import explain, preview_grant, preview_role
from spaces.models import Space, SpaceKey, SpacePermission, SpaceRole, SpaceUser
from spaces.permissions import DEFAULTS
from tests.factories import make_enterprise, make_space, make_user

pytestmark = pytest.mark.django_db
KEYS = ["space.view", "robot.delete", "execution.run"]
COLUMNS = ("owner", "admin", "member", "available_expired")
worlds = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def world(draw: Any) -> tuple[Actor, Space]:
    """Somebody and a space, in some state."""
    flag = st.booleans()
    user = make_user("zoe", is_active=draw(flag), is_superuser=draw(flag) and draw(flag))
    house = None
    if draw(flag):
        house = make_enterprise("House", {user: 3}, deleted=draw(flag) and draw(flag))
        ends = timezone.now() + timedelta(hours=draw(st.sampled_from([-1, 1])))
        Enterprise.objects.filter(pk=house.pk).update(
            expire_time=draw(st.sampled_from([None, ends]))
        )
    space = make_space("Room", {make_user("owner"): SpaceRole.OWNER}, house)
    Space.objects.filter(pk=space.pk).update(deleted=draw(flag) and draw(flag))
    role = draw(st.sampled_from([None, *SpaceRole.values]))
    if role is not None:
        SpaceUser.objects.create(space=space, user=user, role=role)
    for each in KEYS:
        row = SpacePermission.objects.filter(permission_key=each)
        if draw(st.integers(0, 5)) == 0:
            row.delete()
        else:
            row.update(**{name: draw(flag) for name in COLUMNS})
    key = None
    if draw(flag):
        scopes = draw(st.sampled_from([["*"], KEYS[:1], KEYS]))
        bound = draw(flag)
        key, _secret = ApiKey.issue(user=user, name="key", scopes=scopes, bound=bound)
        if bound:
            there = draw(st.sampled_from([space, make_space("Other", {user: SpaceRole.OWNER})]))
            SpaceKey.objects.create(key=key, space=there)
        if draw(flag) and draw(flag):
            key.revoked_at = timezone.now()
            key.save()
    return Actor(user, key), Space.objects.select_related("enterprise").get(pk=space.pk)


@worlds
@given(data=st.data())
def test_an_explanation_is_the_answer(permissions: None, data: Any) -> None:
    with transaction.atomic():
        actor, space = world(data.draw)
        for permission in KEYS:
            said = explain(actor, permission, space=space)
            opens = actor.key is None or actor.key.is_usable
            assert said.allowed == (opens and may(actor, permission, space=space))
            assert said.follows == said.allowed, said
        transaction.set_rollback(True)


@settings(worlds, max_examples=10)
@given(data=st.data())
def test_a_preview_of_a_role_is_what_happens(permissions: None, data: Any) -> None:
    with transaction.atomic():
        actor, space = world(data.draw)
        user = actor.user
        role = data.draw(st.sampled_from([None, *SpaceRole.values]))
        before = {each for each in DEFAULTS if may(Actor(user), each, space=space)}
        told = Entry.objects.count()
        preview = preview_role(user, space, role)
        assert before == {each for each in DEFAULTS if may(Actor(user), each, space=space)}
        assert Entry.objects.count() == told
        SpaceUser.objects.filter(space=space, user=user).delete()
        if role is not None:
            SpaceUser.objects.create(space=space, user=user, role=role)
        after = {each for each in DEFAULTS if may(Actor(user), each, space=space)}
        assert (set(preview.gained), set(preview.lost)) == (after - before, before - after)
        transaction.set_rollback(True)


@settings(worlds, max_examples=10)
@given(data=st.data())
def test_a_preview_of_a_grant_is_what_happens(permissions: None, data: Any) -> None:
    with transaction.atomic():
        world(data.draw)
        row = SpacePermission.objects.exclude(permission_key="space.edit_personal").earliest("pk")
        columns = {name: data.draw(st.booleans()) for name in COLUMNS}

        def able() -> set[int]:
            members = SpaceUser.objects.select_related("user", "space__enterprise")
            asked = ((each, Actor(each.user)) for each in members)
            return {
                each.pk for each, actor in asked if may(actor, row.permission_key, space=each.space)
            }

        before = able()
        preview = preview_grant(row.permission_key, columns)
        assert able() == before
        SpacePermission.objects.filter(pk=row.pk).update(**columns)
        after = able()
        assert {each.pk for each in preview.gaining} == after - before
        assert {each.pk for each in preview.losing} == before - after
        assert not preview.more
        transaction.set_rollback(True)


def test_a_preview_names_only_so_many(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enterprises.explanation._LOOKED_AT", 2)
    for number in range(3):
        SpaceUser.objects.create(space=space, user=make_user(f"m{number}"), role=SpaceRole.MEMBER)
    row = SpacePermission.objects.get(permission_key="robot.delete")
    columns = {name: getattr(row, name) for name in COLUMNS} | {"member": True}
    preview = preview_grant("robot.delete", columns)
    assert (len(preview.gaining), preview.more) == (2, True)


def test_operators_have_a_page_for_it(people: dict[str, User], space: Space) -> None:
    operator = Client()
    operator.force_login(make_user("root", is_staff=True, is_superuser=True))
    page = reverse("admin:spaces_explain_access")
    assert page in operator.get(reverse("admin:spaces_spacepermission_changelist")).content.decode()
    asked = {
        "user": "bob",
        "space": space.pk,
        "permission": "robot.delete",
        "role": SpaceRole.ADMIN,
    }
    context = operator.get(page, asked).context
    assert not context["explanation"].allowed
    assert "robot.delete" in context["role_change"].gained
    columns = {"grant": "robot.delete", "owner": "on", "admin": "on", "member": "on"}
    context = operator.get(page, columns).context
    assert [each.user.username for each in context["grant_change"].gaining] == ["bob"]
    for wrong in ({"user": "nobody"}, {"space": 987}, {"space": 10**30}, {"key": "nokey"}):
        answer = operator.get(page, asked | wrong)
        assert answer.status_code == 200
        assert answer.context["why"].errors
        assert "explanation" not in answer.context
    stan = Client()
    stan.force_login(make_user("stan", is_staff=True))
    assert stan.get(page).status_code == 403
