"""Who carries out runs: pools of runners, and the lanes in which runs wait for them."""

import uuid
from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from audit.rows import Audited, AuditedQuerySet
from executions import clock

DEFAULT_POOL = "default"


class Pool(Audited):
    """Runners that stand in for each other. A run waits for one pool, the default one unless its robot names another."""

    name = models.CharField(_("name"), max_length=40, unique=True)
    description = models.CharField(_("description"), max_length=200, blank=True, default="")

    objects = AuditedQuerySet["Pool"].as_manager()

    class Meta:
        verbose_name = _("pool")
        verbose_name_plural = _("pools")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Lane(models.Model):
    """The runs of one pool that ask for the same labels: whoever has these may take the first of them.

    `labels` are sorted and joined by commas. A lane is made with the first run that asks for it.
    """

    pool = models.ForeignKey(
        Pool, on_delete=models.CASCADE, related_name="lanes", verbose_name=_("pool")
    )
    labels = models.CharField(_("labels"), max_length=500, blank=True, default="")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["pool", "labels"], name="lane_unique")]

    def __str__(self) -> str:
        return f"{self.pool}: {self.labels}" if self.labels else str(self.pool)

    @property
    def wanted(self) -> set[str]:
        """What a runner must have."""
        return set(filter(None, self.labels.split(",")))


class RunnerQuerySet(models.QuerySet["Runner"]):
    def alive(self) -> Self:
        return self.filter(stopped_at=None, heartbeat_at__gte=_last_sign_of_life())

    def silent(self) -> Self:
        """Those that missed two heartbeats and did not say goodbye."""
        return self.filter(stopped_at=None, heartbeat_at__lt=_last_sign_of_life())


def _last_sign_of_life() -> datetime:
    return clock.now() - timedelta(seconds=2 * settings.RPA_HEARTBEAT_SECONDS + 1)


class Runner(models.Model):
    """A process that carries out runs. It lives as long as its heartbeat is fresh."""

    uid = models.UUIDField(_("id"), unique=True, default=uuid.uuid4, editable=False)
    host = models.CharField(_("host"), max_length=255)
    pid = models.PositiveIntegerField(_("process"))
    pool = models.ForeignKey(
        Pool,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        db_constraint=False,
        related_name="runners",
        verbose_name=_("pool"),
    )
    #: What it has beyond others, such as `chromium`: robots may ask for it.
    labels = models.JSONField(_("labels"), default=list)
    version = models.CharField(_("version"), max_length=40, blank=True, default="")
    slots = models.PositiveIntegerField(_("slots"))
    tier = models.CharField(_("sandbox"), max_length=40, blank=True, default="")
    started_at = models.DateTimeField(_("started"), default=timezone.now)
    heartbeat_at = models.DateTimeField(_("last heartbeat"), default=timezone.now)
    #: It takes no more runs, and ends with the last one that it has.
    draining_at = models.DateTimeField(_("draining since"), null=True, blank=True)
    stopped_at = models.DateTimeField(_("stopped"), null=True, blank=True)

    objects = RunnerQuerySet.as_manager()

    class Meta:
        verbose_name = _("runner")
        verbose_name_plural = _("runners")
        ordering = ["-id"]
        # Who is alive or silent is asked every second, and of those of the past there are many.
        indexes = [
            models.Index(fields=["stopped_at", "heartbeat_at"], name="runner_by_sign_of_life")
        ]

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"

    @property
    def state(self) -> str:
        """`stopped`, `silent` (its heartbeat is overdue), `draining` or `alive`."""
        if self.stopped_at is not None:
            return "stopped"
        if self.heartbeat_at < _last_sign_of_life():
            return "silent"
        return "alive" if self.draining_at is None else "draining"


class RunnerToken(Audited):
    """Lets one machine join the fleet, once and soon: shown once, kept as a hash."""

    audit_secret = frozenset({"digest"})

    digest = models.CharField(max_length=64, unique=True, editable=False)
    pool = models.ForeignKey(
        Pool, on_delete=models.CASCADE, related_name="+", verbose_name=_("pool")
    )
    labels = models.JSONField(_("labels"), default=list)
    created_by = models.ForeignKey(
        User, on_delete=models.CASCADE, related_name="+", verbose_name=_("created by")
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    expires_at = models.DateTimeField(_("expires"))
    used_at = models.DateTimeField(_("used"), null=True, blank=True)
    used_from = models.CharField(_("used from"), max_length=64, blank=True, default="")

    objects = AuditedQuerySet["RunnerToken"].as_manager()

    class Meta:
        verbose_name = _("runner token")
        verbose_name_plural = _("runner tokens")
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.pool}, {self.created_at:%Y-%m-%d %H:%M}"
