"""Everybody who may knock at a door, and the things behind it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db.models import Model
from django.test import Client
from django.utils import timezone

from accounts.actors import Actor
from accounts.models import ApiKey, User
from enterprises.models import Enterprise, EnterpriseRole, EnterpriseUser
from executions.models import Artifact, Execution
from joining import services as joining
from joining.models import Application, Invite, InviteRole
from robots.models import Robot, RobotVersion
from sharing import services as sharing
from sharing.models import Share
from spaces.keys import make_key
from spaces.models import Space, SpaceKey, SpaceRole, SpaceUser
from tests.factories import (
    make_enterprise,
    make_execution,
    make_robot,
    make_space,
    make_user,
    owner_of,
)
from tests.rows import rows_of

#: In the order of the columns of every table of answers.
ACTORS = (
    "anonymous",
    "stranger",
    "foreign",
    "expired",
    "scoped",
    "revoked",
    "lapsed",
    "inactive",
    "owner",
    "operator",
)
READ_SCOPES = ["space.view", "robot.view", "execution.view"]
Login = Callable[[], Client]


@dataclass(frozen=True)
class Things:
    """One space of an enterprise, somebody in both, with a robot, a run of it and a file of that run."""

    enterprise: Enterprise
    member: User
    space: Space
    robot: Robot
    execution: Execution
    artifact: Artifact
    invite: Invite
    application: Application
    share: Share
    key: SpaceKey


@dataclass(frozen=True)
class House:
    """`things` are alice's; `own_things` are those of the member of an expired enterprise."""

    things: Things
    own_things: Things
    clients: dict[str, Client]
    keys: dict[str, str]

    def seen_by(self, actor: str) -> Things:
        return self.own_things if actor == "expired" else self.things


def build_house(people: dict[str, User], space: Space) -> House:
    things = _furnish(space, people["bob"])
    erin = make_user("erin")
    gina = make_user("gina")
    expired = make_enterprise("Gone", {erin: EnterpriseRole.OFFICER, gina: EnterpriseRole.STAFF})
    late = make_space("Late", {erin: SpaceRole.OWNER, gina: SpaceRole.MEMBER}, expired)
    own_things = _furnish(late, gina)
    an_hour_ago = timezone.now() - timedelta(hours=1)
    Enterprise.objects.filter(pk=expired.pk).update(expire_time=an_hour_ago)
    fred = make_user("fred")
    space.members.create(user=fred, role=SpaceRole.MEMBER)
    alice = people["alice"]
    keys = {
        "scoped": ApiKey.issue(user=alice, name="scoped", scopes=READ_SCOPES)[1],
        "revoked": ApiKey.issue(user=alice, name="revoked")[1],
        "lapsed": ApiKey.issue(user=alice, name="lapsed", expires_at=an_hour_ago)[1],
    }
    ApiKey.objects.filter(name="revoked").update(revoked_at=an_hour_ago)
    operator = make_user("root", is_staff=True, is_superuser=True)
    users = {
        "stranger": people["charlie"],
        "foreign": people["dora"],
        "expired": erin,
        "inactive": fred,
        "owner": alice,
        "operator": operator,
    }
    clients = {"anonymous": _client(), **{name: _client(user) for name, user in users.items()}}
    for name, secret in keys.items():
        clients[name] = _client(key=secret)
    User.objects.filter(pk=fred.pk).update(is_active=False)
    return House(things, own_things, clients, keys)


def bound_key(space: Space, *, inside: bool) -> str:
    """A key of the owner's of `space`: of that space, or of another one of the same enterprise."""
    owner = owner_of(space)
    there = space
    if not inside:
        there = make_space("Elsewhere", {owner.user: SpaceRole.OWNER}, space.enterprise)
    return make_key(there, by=owner, name="bound")[1]


def _furnish(space: Space, member: User) -> Things:
    assert space.enterprise is not None
    robot = make_robot(space)
    execution = make_execution(robot)
    stored = default_storage.save("artifacts/report.txt", ContentFile(b"fine"))
    artifact = Artifact.objects.create(
        execution=execution,
        name="output/report.txt",
        size=4,
        content_type="text/plain",
        sha256="0" * 64,
        storage_key=stored,
    )
    enterprise = space.enterprise
    invitee = make_user(f"invited to {space}")
    invite = joining.invite_user(space, invitee.uid, InviteRole.MEMBER, by=owner_of(space))
    applicant = make_user(f"applying to {space}")
    enterprise.members.create(user=applicant, role=EnterpriseRole.STAFF)
    application = joining.apply_to_join(space, by=Actor(applicant))
    share = sharing.share(execution, by=owner_of(space))
    key, _secret = make_key(space, by=owner_of(space), name="of the space")
    return Things(
        *(enterprise, member, space, robot, execution, artifact), *(invite, application, share, key)
    )


def _client(user: User | None = None, key: str = "") -> Client:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    client = Client(raise_request_exception=False, headers=headers)
    if user is not None:
        client.force_login(user)
    return client


#: What a refused deed must leave as it was: columns of the tables, or all of them.
KEPT: dict[type[Model], tuple[str, ...]] = {
    Robot: ("id", "name", "description", "deleted", "enabled_version_id"),
    RobotVersion: ("id",),
    Execution: ("id", "status", "cancel_requested_at"),
    Enterprise: ("*",),
    EnterpriseUser: ("*",),
    Space: ("*",),
    SpaceUser: ("*",),
    Invite: ("*",),
    Application: ("*",),
    Share: ("*",),
    User: ("id",),
    ApiKey: ("id", "revoked_at", "expires_at"),
}


def inventory() -> dict[str, Any]:
    """Every row of what is kept."""
    return {model.__name__: rows_of(model, columns) for model, columns in KEPT.items()}
