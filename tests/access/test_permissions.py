"""The one answer to "may this actor do this here?", against a model small enough to be read at once."""

import ast
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, note
from hypothesis import settings as effort
from hypothesis import strategies as st

from accounts.actors import Actor
from accounts.models import ApiKey, User
from accounts.refusals import Forbidden, NotFound
from enterprises.models import Enterprise, EnterprisePermission
from enterprises.permissions import DEFAULTS as ENTERPRISE_DEFAULTS
from executions.choices import Origin
from executions.models import Execution
from robots.models import Robot, RobotVersion
from spaces.access import (
    may,
    members_allowed,
    missing_permissions,
    permissions_in,
    require,
    spaces_allowing,
    unknown_permissions,
)
from spaces.models import Space, SpaceKey, SpacePermission, SpaceRole, SpaceUser
from spaces.permissions import DEFAULTS
from tests.factories import make_user

pytestmark = pytest.mark.django_db
DEEDS = ["space.view", "robot.view", "execution.view", "execution.run"]
ROLES = {SpaceRole.OWNER: 0, SpaceRole.ADMIN: 1, SpaceRole.MEMBER: 2}


@dataclass(frozen=True)
class Company:
    deleted: bool
    expires_in_hours: int | None


@dataclass(frozen=True)
class Room:
    company: int | None
    deleted: bool
    role: SpaceRole | None
    robot_deleted: bool


@dataclass(frozen=True)
class World:
    active: bool
    superuser: bool
    scopes: list[str] | None
    companies: list[Company]
    rooms: list[Room]
    #: Which of the rooms the key is bound to; one that is not there is a key that has lost its row.
    bound: int | None = None
    #: deed -> owner, admin, member, available_expired; a deed without a row is missing.
    rows: dict[str, tuple[bool, bool, bool, bool]] = field(default_factory=dict)

    def may(self, deed: str, room: Room) -> bool:
        """The rule, written a second time."""
        company = None if room.company is None else self.companies[room.company]
        reaches = self.scopes is None or "*" in self.scopes or deed in self.scopes
        if not self.active or not reaches or room.deleted or (company and company.deleted):
            return False
        bound = self.scopes is not None and self.bound is not None
        if bound and not any(room is each for each in self.rooms[self.bound :][:1]):
            return False
        if self.superuser and not bound and (self.scopes is None or "*" in self.scopes):
            return True
        if deed not in self.rows or room.role is None or not self.rows[deed][ROLES[room.role]]:
            return False
        return self.rows[deed][3] or not self.expired(room)

    def expired(self, room: Room) -> bool:
        hours = None if room.company is None else self.companies[room.company].expires_in_hours
        return hours is not None and hours < 0


companies = st.builds(Company, st.booleans(), st.sampled_from([None, -1, 1]))
rooms = st.builds(
    Room,
    company=st.sampled_from([None, 0, 1]),
    deleted=st.sampled_from([False, False, True]),
    role=st.sampled_from([None, *SpaceRole]),
    robot_deleted=st.sampled_from([False, False, True]),
)
often, seldom = (
    st.sampled_from([True, True, True, False]),
    st.sampled_from([True, False, False, False]),
)
rows = st.dictionaries(st.sampled_from(DEEDS), st.tuples(often, often, often, st.booleans()))
worlds = st.builds(
    World,
    active=often,
    superuser=seldom,
    scopes=st.none() | st.just(["*"]) | st.lists(st.sampled_from([*DEEDS, "no.such"]), unique=True),
    companies=st.lists(companies, min_size=2, max_size=2),
    rooms=st.lists(rooms, min_size=1, max_size=4),
    rows=rows,
    bound=st.sampled_from([None, None, 0, 1, 9]),
)


def built(world: World) -> tuple[Actor, list[Space]]:
    """The world in the database, and who asks in it."""
    now = timezone.now()
    landlord = make_user("landlord")
    user = make_user("user", is_active=world.active, is_superuser=world.superuser)
    key = None
    if world.scopes is not None:
        bound = world.bound is not None
        key, _secret = ApiKey.issue(user=user, name="key", scopes=world.scopes, bound=bound)
    owners = [
        Enterprise.objects.create(
            creator=landlord,
            name=f"company {number}",
            deleted=each.deleted,
            expire_time=each.expires_in_hours and now + timedelta(hours=each.expires_in_hours),
        )
        for number, each in enumerate(world.companies)
    ]
    spaces = [
        _room(each, number, owners, landlord, user) for number, each in enumerate(world.rooms)
    ]
    if key is not None and world.bound is not None and world.bound < len(spaces):
        SpaceKey.objects.create(key=key, space=spaces[world.bound])
    SpacePermission.objects.filter(permission_key__in=DEEDS).delete()
    for deed, (owner, admin, member, expired) in world.rows.items():
        SpacePermission.objects.create(
            permission_key=deed, owner=owner, admin=admin, member=member, available_expired=expired
        )
    return Actor(user, key), spaces


def _room(room: Room, number: int, owners: list[Enterprise], landlord: User, user: User) -> Space:
    space = Space.objects.create(
        name=f"room {number}",
        creator=landlord,
        deleted=room.deleted,
        enterprise=None if room.company is None else owners[room.company],
    )
    if room.role is not None:
        space.members.create(user=user, role=room.role)
    robot = Robot.objects.create(
        space=space, name="robot", created_by=landlord, deleted=room.robot_deleted
    )
    version = RobotVersion.objects.create(robot=robot, number=1, size=1, created_by=landlord)
    Execution.objects.create(
        robot=robot,
        version=version,
        space=space,
        requested_by=landlord,
        origin=Origin.API,
        timeout_seconds=1,
    )
    return space


@given(world=worlds)
@effort(
    max_examples=80,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_every_question_is_answered_as_the_model_says(permissions: None, world: World) -> None:
    with transaction.atomic():
        actor, spaces = built(world)
        answers: dict[str, set[int]] = {}
        pairs = list(zip(spaces, world.rooms, strict=True))
        for deed in DEEDS:
            wanted = {space.pk for space, room in pairs if world.may(deed, room)}
            note(f"{deed}: {wanted}")
            answers[deed] = wanted
            assert set(spaces_allowing(actor, deed).values_list("pk", flat=True)) == wanted
            assert {space.pk for space in spaces if may(actor, deed, space=space)} == wanted
            for space, room in pairs:
                assert outcome(actor, deed, space) == expected(world, deed, room)
            keyless = replace(world, scopes=None)
            able = {each.pk for each, room in pairs if room.role and keyless.may(deed, room)}
            theirs = SpaceUser.objects.filter(user=actor.user)
            allowed = theirs.filter(pk__in=members_allowed(deed, theirs))
            assert set(allowed.values_list("space", flat=True)) == able
        living = set(Space.objects.alive().values_list("pk", flat=True))
        for space in spaces:
            if actor.is_operator and space.pk not in living:
                continue  # no page of it is there to have buttons
            asked = {deed for deed in DEEDS if space.pk in answers[deed]}
            assert permissions_in(actor, space) & set(DEEDS) == asked
        visible = set(Robot.objects.visible_to(actor).values_list("space", flat=True))
        assert visible == {
            space.pk
            for space, room in pairs
            if world.may("robot.view", room) and not room.robot_deleted
        }
        seen = set(Execution.objects.visible_to(actor).values_list("space", flat=True))
        assert seen == {
            space.pk
            for space, room in pairs
            if world.may("execution.view", room) and not room.robot_deleted
        }
        transaction.set_rollback(True)


def outcome(actor: Actor, deed: str, space: Space) -> str:
    try:
        require(actor, deed, space=space)
    except NotFound:
        return "absent"
    except Forbidden as error:
        return error.code
    return "allowed"


def expected(world: World, deed: str, room: Room) -> str:
    if world.may(deed, room):
        return "allowed"
    if not world.may("space.view", room):
        return "absent"
    return "enterprise_expired" if world.expired(room) else "forbidden"


@pytest.mark.parametrize("question", [may, require])
def test_an_unknown_deed_is_a_mistake_not_a_refusal(
    people: dict[str, User], space: Space, question: Any
) -> None:
    with pytest.raises(LookupError, match=r"robot\.explode"):
        question(Actor(people["alice"]), "robot.explode", space=space)


@pytest.mark.parametrize(
    ("app", "model", "defaults", "columns"),
    [
        (
            "enterprises",
            EnterprisePermission,
            ENTERPRISE_DEFAULTS,
            {"o": "officer", "g": "governor", "s": "staff"},
        ),
        ("spaces", SpacePermission, DEFAULTS, {"o": "owner", "a": "admin", "m": "member"}),
    ],
)
def test_the_table_has_a_row_for_each_deed_and_no_other(
    permissions: None, app: str, model: Any, defaults: dict[str, Any], columns: dict[str, str]
) -> None:
    for key, row in defaults.items():
        kept = model.objects.get(permission_key=key)
        granted = "".join(letter for letter, column in columns.items() if getattr(kept, column))
        assert (granted, kept.available_expired) == (row.roles, row.available_expired), key
    assert set(model.objects.values_list("permission_key", flat=True)) == set(defaults)


def test_an_operators_edit_outlives_the_seeding(permissions: None) -> None:
    SpacePermission.objects.filter(permission_key="robot.edit").update(member=False)
    SpacePermission.objects.filter(permission_key="robot.view").delete()
    call_command("migrate", verbosity=0)
    assert SpacePermission.objects.get(permission_key="robot.view").member
    assert not SpacePermission.objects.get(permission_key="robot.edit").member


OF_SPACES = {"may", "require", "spaces_allowing", "chosen_space"}
OF_ENTERPRISES = {"may_in_enterprise", "require_in_enterprise", "enterprises_allowing"}


def asked_for(questions: set[str]) -> set[str]:
    """Every literal that the code passes to a question about permissions."""
    found = set()
    for app in ("enterprises", "spaces", "robots", "executions", "interop", "rpa_platform"):
        for path in (Path(settings.BASE_DIR) / app).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.Call):
                    continue
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                values = [*node.args, *(each.value for each in node.keywords)]
                if name in questions:
                    found |= {
                        each.value
                        for each in values
                        if isinstance(each, ast.Constant) and "." in str(each.value)
                    }
    return found


def test_the_code_asks_only_for_deeds_that_have_a_row() -> None:
    asked = asked_for(OF_SPACES)
    assert {"execution.run", "robot.publish", "space.view"} <= asked
    assert asked <= set(DEFAULTS)
    asked = asked_for(OF_ENTERPRISES)
    assert {"enterprise.rename", "space.create", "member.list"} <= asked
    assert asked <= set(ENTERPRISE_DEFAULTS)


def test_what_may_be_done_after_expiry_is_only_looking_and_stopping() -> None:
    kept = {key for key, row in DEFAULTS.items() if row.available_expired}
    assert all(key.endswith(".view") or ".cancel_" in key for key in kept)


def test_a_permission_without_a_row_and_a_row_without_a_permission_are_told(
    permissions: None,
) -> None:
    assert missing_permissions() == unknown_permissions() == []
    SpacePermission.objects.create(permission_key="robot.dream")
    assert unknown_permissions() == ["agent_space_permission: robot.dream"]
    SpacePermission.objects.filter(permission_key="robot.view").delete()
    EnterprisePermission.objects.filter(permission_key="invite.create").delete()
    assert missing_permissions() == [
        "agent_enterprise_permission: invite.create",
        "agent_space_permission: robot.view",
    ]
