"""Robots and their immutable versions."""

import uuid
from datetime import datetime
from typing import Any, Self

from django.db import models
from django.db.models import Case, F, Q, Value, When
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.actors import Actor
from accounts.models import User
from accounts.rows import read_row
from audit.rows import Audited, AuditedQuerySet
from spaces.access import may, spaces_allowing
from spaces.models import Space


class RobotQuerySet(AuditedQuerySet["Robot"]):
    def alive(self) -> Self:
        return self.filter(deleted=False)

    def restorable(self) -> Self:
        return self.filter(deleted=True, purge_begun=None)

    def outlived(self, moment: datetime) -> Self:
        """Those that were deleted before `moment`, and those whose purge was cut off."""
        return self.filter(Q(deleted=True, updated_at__lt=moment) | Q(purge_begun__isnull=False))

    def visible_to(self, actor: Actor) -> Self:
        """The only door by which a request reaches a robot."""
        return self.alive().filter(space__in=spaces_allowing(actor, "robot.view"))

    def find_visible_to(self, actor: Actor, uid: uuid.UUID) -> "Robot | None":
        """The robot of `visible_to` with this uid, with its space and its enabled version: for the request of a run.

        Four short statements: the ORM would take longer to build the one that joins them than the request takes.
        """
        robot = read_row(Robot, uid, by="uid")
        space = read_row(Space, robot.space_id) if robot is not None else None
        if robot is None or robot.deleted or space is None:
            return None
        if not may(actor, "robot.view", space=space):
            return None
        robot.space = space
        if robot.enabled_version_id is not None:
            robot.enabled_version = read_row(RobotVersion, robot.enabled_version_id)
        return robot


class Robot(Audited):
    """An automation that a space owns. What it runs is its enabled version; none means that it rests.

    `uid` is its public id (`project_id` on the wire).
    """

    uid = models.UUIDField(_("id"), unique=True, default=uuid.uuid4, editable=False)
    space = models.ForeignKey(
        Space, on_delete=models.PROTECT, related_name="robots", verbose_name=_("space")
    )
    name = models.CharField(_("name"), max_length=100)
    description = models.CharField(_("description"), max_length=500, blank=True, default="")
    created_by = models.ForeignKey(
        User, on_delete=models.PROTECT, related_name="+", verbose_name=_("created by")
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)
    enabled_version = models.ForeignKey(
        "RobotVersion",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("enabled version"),
    )
    deleted = models.BooleanField(_("deleted"), default=False)
    #: Once it is set, nothing brings the row back: what is in it goes, then the row.
    purge_begun = models.DateTimeField(_("purge begun"), null=True, blank=True, editable=False)
    live_name = models.GeneratedField(
        expression=Case(When(Q(deleted=False), then=F("name")), default=Value(None)),
        output_field=models.CharField(max_length=100, null=True),
        db_persist=True,
    )

    objects = RobotQuerySet.as_manager()

    class Meta:
        verbose_name = _("robot")
        verbose_name_plural = _("robots")
        constraints = [
            models.UniqueConstraint(fields=["space", "live_name"], name="robot_live_name_unique")
        ]

    def __str__(self) -> str:
        return self.name


class RobotVersion(Audited):
    """One published package, never changed afterwards.

    `digest` is the SHA-256 of the uploaded bytes; `manifest` is what the package says of itself;
    `parameters` is the JSON Schema (2020-12) that every request is checked against.
    """

    # Of what the package says of itself, its digest is told; defaults may be passwords.
    audit_ignored = frozenset({"manifest", "parameters", "storage_key"})

    robot = models.ForeignKey(
        Robot, on_delete=models.CASCADE, related_name="versions", verbose_name=_("robot")
    )
    number = models.PositiveIntegerField(_("number"))
    kind = models.CharField(_("kind"), max_length=20)
    file_name = models.CharField(_("file"), max_length=255)
    digest = models.CharField(_("digest"), max_length=64, db_index=True)
    size = models.PositiveBigIntegerField(_("size"))
    storage_key = models.CharField(_("storage key"), max_length=255)
    manifest = models.JSONField(_("manifest"), default=dict)
    parameters = models.JSONField(_("parameters"), default=dict)
    note = models.CharField(_("note"), max_length=500, blank=True, default="")
    created_by = models.ForeignKey(
        User, on_delete=models.PROTECT, related_name="+", verbose_name=_("created by")
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now)

    objects = AuditedQuerySet["RobotVersion"].as_manager()

    class Meta:
        verbose_name = _("robot version")
        verbose_name_plural = _("robot versions")
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["robot", "number"], name="robot_version_unique")
        ]

    def __str__(self) -> str:
        return f"{self.robot} v{self.number}"

    def audit_root(self) -> models.Model:
        return self.robot

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("A published version never changes: publish another one.")
        super().save(*args, **kwargs)


class PackageShelf(models.Model):
    """One row, whose lock orders putting packages on the shelf and taking the last of a kind away."""

    def __str__(self) -> str:
        return str(self.pk)


class UnnamedPackage(models.Model):
    """A package in storage that no version names: noted before it is stored, until a version does.

    What is left over after a day was left by a publisher that died, or was refused, and `prune` deletes it.
    """

    storage_key = models.CharField(max_length=255, unique=True)
    noted_at = models.DateTimeField(default=timezone.now, db_index=True)

    def __str__(self) -> str:
        return self.storage_key
