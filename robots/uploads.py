"""Packages that a client stores by itself, by a presigned address, before it publishes them.

Nothing is remembered of an upload: what must be known of it is in the signed token that its client brings back.
What is never published is swept from storage after a day.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import BinaryIO, cast
from uuid import uuid4

from django.core import signing
from django.core.files.storage import default_storage
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.actors import Actor
from accounts.refusals import Invalid, Refused
from audit.recording import attempt
from resources.storage import PRESIGNED_SECONDS, objects
from robots.models import Robot
from robots.packages import MAX_ARCHIVE_BYTES
from spaces.access import require

FOLDER = "uploads"
_SALT = "robots.uploads"
#: After this a token is worth nothing.
_PUBLISH_WITHIN = timedelta(hours=1)
_SWEEP_AFTER = timedelta(days=1)


class NotOffered(Refused):
    code = "direct_upload_not_offered"


@dataclass(frozen=True)
class DirectUpload:
    """Where and how to send the file, until when, and the token to publish it by."""

    token: str
    url: str
    fields: Mapping[str, str]
    expires_at: datetime


def offer(robot: Robot, *, file_name: str, by: Actor) -> DirectUpload:
    """Let `by` store a package for `robot`. Raises NotOffered where clients do not reach the storage."""
    with attempt("robot.publish", robot, by=by):
        require(by, "robot.publish", space=robot.space)
    key = f"{FOLDER}/{uuid4().hex}"
    form = objects().upload_form(key, most=MAX_ARCHIVE_BYTES)
    if form is None:
        raise NotOffered(
            _("Files go through the platform here: send the package itself with the request.")
        )
    token = signing.dumps([key, str(robot.uid), by.user.pk, file_name], salt=_SALT)
    return DirectUpload(
        token, form.url, form.fields, timezone.now() + timedelta(seconds=PRESIGNED_SECONDS)
    )


@contextmanager
def received(token: str, *, robot: Robot, by: Actor) -> Iterator[tuple[BinaryIO, str]]:
    """The uploaded file and its name, removed from where it was uploaded to once it has been published."""
    try:
        key, robot_id, user, file_name = signing.loads(token, salt=_SALT, max_age=_PUBLISH_WITHIN)
    except signing.BadSignature:
        raise _bad(_("This is no upload of the last hour. Ask for a new one.")) from None
    if (robot_id, user) != (str(robot.uid), by.user.pk):
        raise _bad(_("This upload was begun for another robot, or by somebody else."))
    try:
        stored = default_storage.open(key)
    except FileNotFoundError:
        raise _bad(_("The file has not been uploaded yet, or was published already.")) from None
    with stored:
        yield cast("BinaryIO", stored), file_name
    default_storage.delete(key)


def _bad(message: str) -> Invalid:
    return Invalid(
        message, code="bad_upload", details={"errors": [{"where": "upload", "message": message}]}
    )


def abandoned() -> Iterator[str]:
    """The keys of uploads that nobody has published for a day."""
    names: list[str] = []
    with suppress(FileNotFoundError):  # there has never been one
        _folders, names = default_storage.listdir(FOLDER)
    for name in names:
        key = f"{FOLDER}/{name}"
        with suppress(FileNotFoundError):  # published this moment
            if default_storage.get_modified_time(key) < timezone.now() - _SWEEP_AFTER:
                yield key
