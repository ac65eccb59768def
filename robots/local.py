"""Publishing from a folder or file of this machine, as commands do."""

from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from accounts.actors import Actor
from accounts.refusals import Invalid
from robots import packages, services
from robots.models import Robot, RobotVersion
from robots.refusals import PackageRefused
from spaces.models import Space


def publish_path(
    path: Path, *, space: Space, by: Actor, name: str = "", note: str = ""
) -> tuple[Robot, RobotVersion]:
    """Publish what lies at `path` as the robot `name` (the file's own unless given), created if it is new.

    A folder is packed first; the same files make the same package, so publishing it again changes nothing.
    """
    resolved = path.resolve()
    name = name or (resolved.name if resolved.is_dir() else resolved.stem)
    file: BinaryIO = BytesIO()
    if resolved.is_dir():
        try:
            packages.pack(resolved, file)
        except PackageRefused as error:
            raise Invalid(str(error), code=f"package_{error.code}") from error
        file_name = f"{resolved.name}.zip"
    elif resolved.is_file():
        file, file_name = BytesIO(resolved.read_bytes()), resolved.name
    else:
        raise Invalid(f"{path} does not exist.")
    robot = Robot.objects.alive().filter(space=space, name=name).first()
    if robot is None:
        return services.create_and_publish(
            space=space, name=name, file=file, file_name=file_name, by=by
        )
    version = services.publish_version(
        robot=robot, file=file, file_name=file_name, by=by, note=note
    )
    return robot, version
