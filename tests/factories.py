"""Objects for tests, made through the same services as everybody's."""

from io import BytesIO
from typing import Any

from accounts.actors import Actor
from accounts.models import User
from enterprises.models import Enterprise, EnterpriseUser
from executions import services as execution_services
from executions.choices import Origin
from executions.models import Execution
from robots import services
from robots.models import Robot
from spaces.models import Space, SpaceRole, SpaceUser

SCRIPT = 'print("hello")\n'


def make_user(name: str, **fields: Any) -> User:
    return User.objects.create_user(name, f"{name}@example.org", "correct horse", **fields)


def make_enterprise(name: str, members: dict[User, int], **fields: Any) -> Enterprise:
    enterprise = Enterprise.objects.create(name=name, creator=next(iter(members)), **fields)
    for user, role in members.items():
        EnterpriseUser.objects.create(enterprise=enterprise, user=user, role=role)
    return enterprise


def make_space(name: str, members: dict[User, int], enterprise: Enterprise | None = None) -> Space:
    space = Space.objects.create(name=name, creator=next(iter(members)), enterprise=enterprise)
    for user, role in members.items():
        SpaceUser.objects.create(space=space, user=user, role=role)
    return space


def owner_of(space: Space) -> Actor:
    return Actor(space.members.get(role=SpaceRole.OWNER).user)


def make_robot(space: Space, name: str = "greeter", source: str = SCRIPT) -> Robot:
    """A robot with one enabled version, a Python file with this text."""
    robot, _version = services.create_and_publish(
        space=space,
        name=name,
        file=BytesIO(source.encode()),
        file_name="robot.py",
        by=owner_of(space),
    )
    return robot


def make_execution(robot: Robot, by: User | None = None, **wanted: Any) -> Execution:
    """A requested run; it stays PENDING unless an engine runs."""
    actor = Actor(by) if by else owner_of(robot.space)
    return execution_services.request_execution(
        robot=robot, by=actor, origin=Origin.API, **wanted
    ).execution
