"""What may be done with robots: create, publish, enable, describe, delete."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import BinaryIO, TypeVar

from django.core.files import File
from django.core.files.storage import default_storage
from django.db import IntegrityError
from django.db.models import Max
from django.dispatch import Signal
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.actors import Actor
from accounts.refusals import Invalid, NotFound, Refused
from audit.recording import attempt, deed, recording
from enterprises.services import BeingPurged
from robots import packages
from robots.models import Robot, RobotVersion
from robots.packages import PackageInfo
from robots.refusals import PackageRefused
from robots.shelf import note_package, settle_package, shelf
from spaces.access import require
from spaces.models import Space

T = TypeVar("T")


class NameTaken(Refused):
    code = "name_taken"


def create_robot(*, space: Space, name: str, by: Actor, description: str = "") -> Robot:
    """A robot without a version yet. Its name is unique among the living robots of its space."""
    with attempt("robot.create", by=by, space=space.pk):
        require(by, "robot.edit", space=space)
        robot = Robot(space=space, name=checked_name(name), created_by=by.user)
        robot.description = _checked_description(description)
        try:
            with recording():
                robot.save()
        except IntegrityError:
            raise _name_taken(robot) from None
        return robot


def describe_robot(robot: Robot, *, by: Actor, name: str | None, description: str | None) -> Robot:
    """Change the name, the description, or both; None leaves as it is."""
    with attempt("robot.describe", robot, by=by):
        require(by, "robot.edit", space=robot.space)
        changed = ["updated_at"]
        if name is not None:
            robot.name = checked_name(name)
            changed.append("name")
        if description is not None:
            robot.description = _checked_description(description)
            changed.append("description")
        try:
            with recording():
                robot.save(update_fields=changed)
        except IntegrityError:
            raise _name_taken(robot) from None
        return robot


#: Sent with `robot` in the transaction that hides it: what still runs for it must stop.
robot_deleted = Signal()


def delete_robot(robot: Robot, *, by: Actor) -> None:
    """Hide the robot and its runs, and stop those that have not ended; nothing is destroyed."""
    with attempt("robot.delete", robot, by=by):
        require(by, "robot.delete", space=robot.space)
        hide_robot(robot)


def hide_robot(robot: Robot) -> None:
    """As `delete_robot`, for the admin, which says who may."""
    with deed("robot.delete", robot):
        if (
            not Robot.objects.alive()
            .filter(pk=robot.pk)
            .update(deleted=True, updated_at=timezone.now())
        ):
            return  # somebody else was first
        robot_deleted.send(Robot, robot=robot)


def restore_robot(robot: Robot) -> None:
    """Show a deleted robot again; NameTaken if another has got its name. The admin says who may."""
    try:
        with deed("robot.restore", robot):
            hidden = Robot.objects.restorable().filter(pk=robot.pk)
            if not hidden.update(deleted=False, updated_at=timezone.now()):
                raise BeingPurged(_("%(name)s is being removed for ever.") % {"name": robot})
    except IntegrityError:
        raise _name_taken(robot) from None


@dataclass(frozen=True)
class Upload:
    """A package that has been inspected and lies in storage, under a name made of its digest."""

    info: PackageInfo
    file_name: str
    key: str


def create_and_publish(
    *, space: Space, name: str, file: BinaryIO, file_name: str, by: Actor, description: str = ""
) -> tuple[Robot, RobotVersion]:
    """A robot with its first version, or neither."""
    with attempt("robot.create", by=by, space=space.pk):
        require(by, "robot.edit", space=space)
        require(by, "robot.publish", space=space)
        checked_name(name)

        def publish(upload: Upload) -> tuple[Robot, RobotVersion]:
            with recording():
                robot = create_robot(space=space, name=name, by=by, description=description)
                return robot, _publish(robot, upload, by=by, note="", enable=True)

        return _received(file, file_name, publish)


def publish_version(
    *, robot: Robot, file: BinaryIO, file_name: str, by: Actor, note: str = "", enable: bool = True
) -> RobotVersion:
    """Keep `file` as the robot's next version, and enable it unless told otherwise.

    Publishing the bytes of the newest version again changes nothing and returns that version.
    Raises Invalid with the package's fault.
    """
    with attempt("robot.publish", robot, by=by):
        require(by, "robot.publish", space=robot.space)
        publish = partial(_publish, robot, by=by, note=note, enable=enable)
        return _received(file, file_name, publish)


class _Swept(Exception):
    """A purge has taken the package away, since nobody needed the same bytes until a moment ago."""


def _received(file: BinaryIO, file_name: str, publish: Callable[[Upload], T]) -> T:
    """Receive the file and publish it; once more where it was swept in between."""
    while True:
        try:
            return publish(_receive(file, file_name))
        except _Swept:
            file.seek(0)


def _receive(file: BinaryIO, file_name: str) -> Upload:
    """Inspect and store an upload. In no transaction: nobody's writes wait for a large file."""
    try:
        info = packages.inspect(file, file_name, uploaded_on=timezone.now().date())
    except PackageRefused as error:
        raise Invalid(
            str(error),
            code=f"package_{error.code}",
            details={"errors": [{"where": error.where, "message": error.message}]},
        ) from error
    key = f"packages/{info.digest[:2]}/{info.digest}"
    # A process that died while it stored the same bytes may have left a part of them.
    if default_storage.exists(key) and default_storage.size(key) != info.size:
        default_storage.delete(key)
    if not default_storage.exists(key):
        file.seek(0)
        note_package(key)
        kept = default_storage.save(key, File(file))
        if kept != key:
            default_storage.delete(kept)  # somebody else has stored the same bytes meanwhile
    return Upload(info, PurePosixPath(file_name.replace("\\", "/")).name[:255], key)


def _publish(robot: Robot, upload: Upload, *, by: Actor, note: str, enable: bool) -> RobotVersion:
    with recording():
        return _publish_in_turn(robot, upload, by=by, note=note, enable=enable)


def _publish_in_turn(
    robot: Robot, upload: Upload, *, by: Actor, note: str, enable: bool
) -> RobotVersion:
    info = upload.info
    locked = Robot.objects.select_for_update().filter(pk=robot.pk).first()
    if locked is None:
        raise NotFound(_("Not found."))
    version = locked.versions.order_by("-number").first()
    if version is None or version.digest != info.digest:
        highest = locked.versions.aggregate(Max("number"))["number__max"] or 0
        version = RobotVersion.objects.create(
            robot=locked,
            number=highest + 1,
            kind=info.kind.value,
            file_name=upload.file_name,
            digest=info.digest,
            size=info.size,
            storage_key=upload.key,
            manifest=info.manifest.to_json(),
            parameters=info.manifest.parameters or {},
            note=note[:500],
            created_by=by.user,
        )
        with shelf():
            if not default_storage.exists(upload.key):
                raise _Swept
            settle_package(upload.key)
    if enable:
        _enable(locked, version)
    robot.refresh_from_db()
    if info.manifest.description and not robot.description:
        Robot.objects.filter(pk=robot.pk).update(description=info.manifest.description[:500])
    return version


def enable_version(robot: Robot, version: RobotVersion | None, *, by: Actor) -> None:
    """Make `version` what new runs use; an older one is a rollback, None lets the robot rest."""
    number = version.number if version else None
    with attempt("robot.enable", robot, by=by, version=number):
        require(by, "robot.publish", space=robot.space)
        if version is not None and version.robot_id != robot.pk:
            raise Invalid(_("That version belongs to another robot."))
        _enable(robot, version)


def _enable(robot: Robot, version: RobotVersion | None) -> None:
    Robot.objects.filter(pk=robot.pk).update(enabled_version=version, updated_at=timezone.now())
    robot.enabled_version = version


def _name_taken(robot: Robot) -> NameTaken:
    return NameTaken(
        _("The space %(space)s already has a robot named %(name)s.")
        % {"space": robot.space.name, "name": robot.name}
    )


def checked_name(name: str) -> str:
    """`name` as robots are called, or Invalid."""
    name = " ".join(name.split())
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise Invalid(
            _("A name has 1 to 100 printable characters."),
            details={"errors": [{"where": "name", "message": _("1 to 100 printable characters")}]},
        )
    return name


def _checked_description(description: str) -> str:
    if len(description) > 500:
        raise Invalid(
            _("A description has at most 500 characters."),
            details={"errors": [{"where": "description", "message": _("at most 500 characters")}]},
        )
    return description
