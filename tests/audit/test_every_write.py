"""Every door by which something can be written, and every form of the admin: each write has its entry."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group
from django.core.cache import cache as shared_cache
from django.core.signals import request_finished
from django.db import close_old_connections, models, transaction
from django.db.models import Q
from django.test import Client
from django.urls import reverse

from accounts.models import ApiKey, User
from audit.chain import verify
from audit.models import Entry
from audit.rows import Audited, AuditedQuerySet
from enterprises.models import Enterprise, EnterpriseUser
from executions.models import Execution, Pool, RunLimit, SpaceRetention, SpaceShare, Ticket
from robots.models import Robot
from spaces.models import Space, SpaceUser
from tests.access.house import ACTORS, House, build_house
from tests.access.routes import ADMIN, ROUTES
from tests.access.test_route_walk import address, contents
from tests.audit.entries import Heard
from tests.factories import make_user
from tests.pages.admin_pages import inline
from tests.rows import rows_of

pytestmark = pytest.mark.django_db

#: Tables that no person writes, or that are told of in another way: sessions, the admin's own log, the
#: events of runs. Of runs, the request is told by their row, which stays; and all else by their events.
_NOT_AUDITED = {"sessions", "admin", "audit", "contenttypes", "executions", "interop"}
#: What django-allauth keeps, whose deeds are told by their names (tests/sign_in), and counts of attempts.
_NOT_AUDITED |= {"account", "mfa", "socialaccount", "usersessions", "Attempts"}
_BY_NAME = ("session.", "mfa.", "identity.")
_NOBODYS_DOING = {"last_login", "last_used_at", "last_visit_time", "updated_at", "update_time"}
_UNSAFE = ("POST", "PUT", "PATCH", "DELETE")


@pytest.fixture
def house(people: dict[str, User], space: Space) -> House:
    return build_house(people, space)


def state() -> Any:
    """Everything that an entry must tell of."""
    kept = [
        rows_of(model, _columns(model))
        for model in apps.get_models(include_auto_created=True)
        if not {model._meta.app_label, model._meta.object_name} & _NOT_AUDITED
    ]
    runs = rows_of(Execution, ("cancel_requested_at IS NULL", "status = 'CANCELLED'", "id"))
    operators = [rows_of(model) for model in (SpaceRetention, SpaceShare, RunLimit, Pool)]
    # The place of a run that waits before and after: requesting and cancelling one are told otherwise.
    moved = Q(precedence__lt=0) | Q(turn__lt=0)
    places = Ticket.objects.filter(moved).values_list("pk", "precedence", "turn")
    return kept, [each for each in runs if each[:2] != (1, 0)], operators, list(places)


@cache
def _columns(model: type[models.Model]) -> tuple[str, ...]:
    fields = model._meta.concrete_fields
    return tuple(each.column for each in fields if each.name not in _NOBODYS_DOING)


def written(deed: Callable[[], Any]) -> tuple[Any, bool, list[Entry], list[Entry]]:
    """What a deed answered, whether it changed anything, and what was told of it; then it is undone."""
    shared_cache.clear()
    with transaction.atomic():
        before, heard = state(), Heard()
        answer = deed()
        outcome = answer, state() != before, heard.done(), heard.refused()
        verify()
        transaction.set_rollback(True)
    return outcome


@pytest.mark.parametrize("actor", [each for each in ACTORS if each not in ("revoked", "lapsed")])
def test_every_route(house: House, actor: str) -> None:
    wrote = 0
    things = house.seen_by(actor)
    cookies = house.clients[actor].cookies.copy()
    for pattern, methods in ROUTES.items():
        for method in set(methods) & set(_UNSAFE):
            client = house.clients[actor]

            def deed(client: Client = client, method: str = method, pattern: str = pattern) -> Any:
                more = contents(method, pattern, things) if method in ("POST", "PATCH") else {}
                response = getattr(client, method.lower())(address(pattern, things), **more)
                if response.streaming:  # its end would close the database of this test
                    request_finished.disconnect(close_old_connections)
                    response.close()
                    request_finished.connect(close_old_connections)
                return response

            answer, changed, done, refused = written(deed)
            client.cookies = cookies.copy()
            where = f"{actor}: {method} {pattern} ({answer.status_code})"
            signed = [each for each in done if each.action.startswith(_BY_NAME)]
            assert len(done) - len(signed) == int(changed), where
            hidden = answer.status_code in (401, 403, 404)
            assert len(refused) == 1 if hidden else len(refused) <= 1, where
            wrote += changed
    assert (wrote > 15) == (actor in ("owner", "operator"))


#: What is said to have been done, where the admin goes through a service.
NAMED = {
    "enterprise.add": "enterprise.create",
    "space.add": "space.create",
    "enterpriseuser.add": "enterprise.member_add",
    "enterpriseuser.delete": "enterprise.member_remove",
    "spaceuser.add": "space.member_add",
    "spaceuser.delete": "space.member_remove",
}
#: A field of each form of the admin, and what to write into it.
EDITED = {
    "auth.group": ("name", "edited"),
    "accounts.user": ("first_name", "Edited"),
    "accounts.apikey": ("name", "edited"),
    "enterprises.enterprise": ("name", "edited"),
    "enterprises.enterprisepermission": ("description", "edited"),
    "enterprises.enterpriseuser": ("nickname", "edited"),
    "spaces.space": ("name", "edited"),
    "spaces.spacepermission": ("description", "edited"),
    "spaces.spaceuser": ("nickname", "edited"),
    "robots.robot": ("description", "edited"),
    "executions.spaceretention": ("days", "77"),
    "executions.pool": ("description", "edited"),
    "executions.runlimit": ("most", "7"),
    "executions.spaceshare": ("weight", "7"),
}
_PASSWORDS = {"password1": "correct horse 9", "password2": "correct horse 9"}


def added(label: str, house: House) -> dict[str, Any]:
    """A whole form for a new row."""
    owner, space = house.things.space.creator, house.things.space
    return {
        "auth.group": {"name": "fresh"},
        "accounts.user": {"username": "fresh", "usable_password": "true", **_PASSWORDS},
        "accounts.apikey": {"user": owner.pk, "name": "fresh", "scopes": '["*"]'},
        "enterprises.enterprise": {"name": "fresh", "creator": owner.uid, "service_type": 1},
        "spaces.space": {"name": "fresh", "creator": owner.uid, "type": 1},
        "executions.spaceretention": {"space": space.pk, "days": 3},
        "executions.pool": {"name": "fresh"},
        "executions.runlimit": {"robot": house.things.robot.pk, "most": 3},
        "executions.spaceshare": {"space": space.pk, "weight": 3},
        "enterprises.enterpriseuser": {
            "enterprise": house.things.enterprise.pk,
            "user": User.objects.get(username="charlie").uid,
            "role": 3,
        },
        "spaces.spaceuser": {
            "space": space.pk,
            "user": house.things.application.applicant_id,
            "role": 3,
        },
    }[label] | inline("members")


def spare(label: str) -> models.Model:
    """A row that nothing else needs."""
    root = User.objects.get(username="root")
    made: dict[str, Callable[[], models.Model]] = {
        "auth.group": lambda: Group.objects.create(name="spare"),
        "accounts.user": lambda: make_user("spare"),
        "accounts.apikey": lambda: ApiKey.issue(user=root, name="spare")[0],
        "enterprises.enterprise": lambda: Enterprise.objects.create(name="spare", creator=root),
        "spaces.space": lambda: Space.objects.create(name="spare", creator=root),
        "robots.robot": lambda: Robot.objects.earliest("pk"),
        "enterprises.enterpriseuser": lambda: EnterpriseUser.objects.filter(role=3).earliest("pk"),
        "spaces.spaceuser": lambda: SpaceUser.objects.filter(role=3).earliest("pk"),
        "executions.spaceretention": lambda: SpaceRetention.objects.create(
            space=Space.objects.earliest("pk"), days=30
        ),
        "executions.runlimit": lambda: RunLimit.objects.create(
            space=Space.objects.earliest("pk"), most=30
        ),
        "executions.spaceshare": lambda: SpaceShare.objects.create(
            space=Space.objects.earliest("pk"), weight=30
        ),
    }
    model = apps.get_model(label)
    return made[label]() if label in made else model._default_manager.earliest("pk")


def filled(client: Client, path: str) -> dict[str, Any]:
    """The form as a browser would send it back unchanged."""
    form = client.get(path).context["adminform"].form
    sent: dict[str, Any] = {}
    for field in form:
        value = field.value()
        if value is None or value is False or field.field.disabled:
            continue
        if hasattr(value, "isoformat"):
            local = str(value.replace(tzinfo=None, microsecond=0))
            sent[f"{field.html_name}_0"], sent[f"{field.html_name}_1"] = local.split()
        else:
            sent[field.html_name] = "on" if value is True else value
    return sent | inline("members") | inline("versions")


#: The page of a share only shows it: it is ended by an action of the list.
_FORMS = sorted(label for label, deeds in ADMIN.items() if deeds and label != "sharing.share")


@pytest.mark.parametrize("label", _FORMS)
def test_every_form_of_the_admin(house: House, label: str) -> None:
    client = house.clients["operator"]
    start = f"admin:{label.replace('.', '_')}"
    row = spare(label)
    for deed in ADMIN[label].split():
        path = reverse(f"{start}_{deed}", args=[] if deed == "add" else [row.pk])
        if deed == "add":
            form = added(label, house)
        elif deed == "change":
            name, value = EDITED[label]
            form = filled(client, path) | {name: value}
        else:
            form = {"post": "yes"}
        answer, changed, done, _refused = written(
            lambda path=path, form=form: client.post(path, form)
        )
        assert (answer.status_code, changed) == (302, True), (deed, path)
        (entry,) = done
        assert (entry.actor, entry.door) == ("root", "admin")
        model = label.partition(".")[2]
        assert entry.action == NAMED.get(f"{model}.{deed}", f"{model}.{deed}")
        if deed == "change":
            (change,) = entry.details["changes"]
            assert change["after"] == {name: int(value) if value.isdigit() else value}
            assert change["before"].keys() == change["after"].keys()


@pytest.mark.parametrize(
    ("label", "action"),
    [
        ("auth.group", "delete_selected"),
        ("accounts.apikey", "revoke"),
        ("spaces.space", "delete_selected"),
        ("robots.robot", "delete_selected"),
        ("executions.execution", "cancel"),
        ("accounts.user", "deactivate"),
        ("enterprises.enterprise", "expire"),
        ("enterprises.enterpriseuser", "make_second"),
        ("enterprises.enterpriseuser", "hand_over"),
        ("spaces.spacekey", "revoke"),
        ("spaces.spaceuser", "make_second"),
        ("spaces.spaceuser", "hand_over"),
        ("joining.invite", "withdraw"),
        ("joining.application", "approve"),
        ("joining.application", "reject"),
    ],
)
def test_every_deed_of_the_lists(house: House, label: str, action: str) -> None:
    client = house.clients["operator"]
    row = {
        "executions.execution": house.things.execution,
        "joining.invite": house.things.invite,
        "joining.application": house.things.application,
    }.get(label) or spare(label)
    page = reverse(f"admin:{label.replace('.', '_')}_changelist")
    form = {"action": action, "_selected_action": [row.pk], "post": "yes"}
    _answer, changed, done, _refused = written(lambda: client.post(page, form))
    assert (changed, len(done)) == (True, 1)


def test_every_model_that_people_write_is_audited() -> None:
    """A new table is audited, or somebody has thought about why not."""
    untold = {
        model._meta.label
        for model in apps.get_models()
        if not {model._meta.app_label, model._meta.object_name} & {*_NOT_AUDITED, "auth"}
        and not issubclass(model, Audited)
    }
    # A row that is locked and says nothing, and rows that go before anybody could ask about them.
    assert untold == {"robots.PackageShelf", "robots.UnnamedPackage"}
    audited = [model for model in apps.get_models() if issubclass(model, Audited)]
    assert all(isinstance(model._default_manager.all(), AuditedQuerySet) for model in audited)
    assert {model for model in admin.site._registry if model._meta.app_label == "executions"}
