"""Removing a deleted robot for ever, with its versions and their packages; see accounts/purging.py."""

from typing import Any

from django.core.files.storage import default_storage
from django.dispatch import Signal

from accounts.purging import Steps, begin, held, in_turn, remove_row
from audit.recording import deed
from robots.models import Robot, RobotVersion
from robots.shelf import shelf
from spaces.models import Space

#: Sent with `robot`; a receiver returns the steps that remove what it keeps of it.
robot_purging = Signal()


def purge_robot(robot: Robot) -> Steps:
    """StillNeeded at once where something of it cannot go yet."""
    return _begin_and_remove(robot, held(robot_purging, Robot, robot=robot))


def purge_robots_of(space: Space, **_of_signal: Any) -> Steps:
    """All robots of a space that goes, deleted by themselves or not."""
    return in_turn(
        [
            _remove(robot, held(robot_purging, Robot, robot=robot))
            for robot in Robot.objects.filter(space=space).order_by("pk")
        ]
    )


def _begin_and_remove(robot: Robot, parts: list[Steps]) -> Steps:
    if begin(robot):
        yield from _remove(robot, parts)


def _remove(robot: Robot, parts: list[Steps]) -> Steps:
    yield from in_turn(parts)
    with deed("robot.purge", robot):
        Robot.objects.filter(pk=robot.pk).update(enabled_version=None)
    for version in RobotVersion.objects.filter(robot=robot).order_by("number"):
        _remove_version(version, robot)
        yield
    yield from remove_row(robot)


def _remove_version(version: RobotVersion, robot: Robot) -> None:
    """The object goes before the row that names it: whoever is killed in between still finds it."""
    with deed("robot.purge", robot), shelf():
        if not RobotVersion.objects.filter(pk=version.pk).exists():
            return  # another purge of it was first
        version.robot = robot  # its row may be gone by then, and the audit names it
        same = RobotVersion.objects.filter(digest=version.digest, storage_key=version.storage_key)
        if not same.exclude(pk=version.pk).exists():
            default_storage.delete(version.storage_key)
        version.delete()
