"""Executions, and the files that they leave behind."""

import uuid
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.actors import Actor
from accounts.models import ApiKey, User
from executions.choices import ALIVE, TERMINAL, FailureReason, Origin, PendingReason, Status
from executions.models.fleet import Runner
from robots.models import Robot, RobotQuerySet, RobotVersion
from spaces.access import spaces_allowing
from spaces.models import Space


def robots_watched_by(actor: Actor) -> RobotQuerySet:
    """The robots whose runs `actor` may see."""
    return Robot.objects.alive().filter(space__in=spaces_allowing(actor, "execution.view"))


class ExecutionQuerySet(models.QuerySet["Execution"]):
    def visible_to(self, actor: Actor) -> Self:
        """The door by which a request reaches an execution that it names; for lists see history.py."""
        return self.filter(robot__in=robots_watched_by(actor))

    def unfinished(self) -> Self:
        # By what they are: of what they are not, an index has all of history to show.
        return self.filter(status__in=ALIVE)


class Execution(models.Model):
    """One run of one robot, from the request to the exit code.

    PENDING -> RUNNING -> COMPLETED | FAILED | CANCELLED
    PENDING -> CANCELLED | FAILED

    Its row is the fold of its event stream, changed in the transaction that appends the event.
    Only `executions.lifecycle` moves `status`; everyone else reads it.
    """

    uid = models.UUIDField(_("id"), unique=True, default=uuid.uuid4, editable=False)
    robot = models.ForeignKey(
        Robot, on_delete=models.PROTECT, related_name="executions", verbose_name=_("robot")
    )
    version = models.ForeignKey(
        RobotVersion, on_delete=models.PROTECT, related_name="executions", verbose_name=_("version")
    )
    # The robot's space, repeated: who hears that a run has moved is told by its space.
    space = models.ForeignKey(
        Space, on_delete=models.PROTECT, related_name="executions", verbose_name=_("space")
    )
    requested_by = models.ForeignKey(
        User, on_delete=models.PROTECT, related_name="executions", verbose_name=_("requested by")
    )
    api_key = models.ForeignKey(
        ApiKey,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("API key"),
    )
    origin = models.CharField(_("origin"), max_length=10, choices=Origin.choices)
    task = models.CharField(_("task"), max_length=255, blank=True, default="")
    params = models.JSONField(_("parameters"), default=dict)
    timeout_seconds = models.PositiveIntegerField(_("time limit (seconds)"))
    rerun_of = models.ForeignKey(
        "self",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="reruns",
        verbose_name=_("rerun of"),
    )
    trace_id = models.CharField(_("trace id"), max_length=128, blank=True, default="")
    idempotency_key = models.CharField(_("idempotency key"), max_length=255, null=True, blank=True)  # noqa: DJ001
    request_digest = models.CharField(_("request digest"), max_length=64, blank=True, default="")

    status = models.CharField(
        _("status"), max_length=10, choices=Status.choices, default=Status.PENDING
    )
    pending_reason = models.CharField(
        _("waits because"), max_length=20, choices=PendingReason.choices, blank=True, default=""
    )
    failure_reason = models.CharField(
        _("failed because"), max_length=20, choices=FailureReason.choices, blank=True, default=""
    )
    message = models.TextField(_("message"), blank=True, default="")
    exit_code = models.IntegerField(_("exit code"), null=True, blank=True)
    result = models.JSONField(_("result"), null=True, blank=True)
    progress = models.FloatField(_("progress (percent)"), null=True, blank=True)
    progress_message = models.CharField(
        _("progress message"), max_length=200, blank=True, default=""
    )
    cancel_requested_at = models.DateTimeField(_("cancel requested"), null=True, blank=True)
    cancel_requested_by = models.ForeignKey(
        User,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("cancel requested by"),
    )

    runner = models.ForeignKey(
        Runner,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="executions",
        verbose_name=_("runner"),
    )
    tier = models.CharField(_("sandbox"), max_length=40, blank=True, default="")
    cpu_seconds = models.FloatField(_("CPU time (seconds)"), null=True, blank=True)
    memory_peak = models.PositiveBigIntegerField(_("memory peak (bytes)"), null=True, blank=True)
    requested_at = models.DateTimeField(_("requested"), default=timezone.now)
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)

    objects = ExecutionQuerySet.as_manager()

    class Meta:
        verbose_name = _("execution")
        verbose_name_plural = _("executions")
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["status", "id"], name="execution_by_status"),
            models.Index(fields=["requested_by", "trace_id"], name="execution_by_trace"),
            models.Index(fields=["requested_at"], name="execution_by_time"),
            # In the parts of each of these, runs lie in order: see history.py, which names them.
            models.Index(fields=["robot", "id"], name="execution_of_robot"),
            models.Index(fields=["robot", "status", "id"], name="execution_of_robot_by_status"),
            models.Index(
                fields=["requested_by", "robot", "status", "id"], name="execution_of_requester"
            ),
            models.Index(
                fields=["status", "failure_reason", "origin", "id"], name="execution_of_kind"
            ),
            models.Index(
                fields=["robot", "status", "failure_reason", "origin", "id"],
                name="execution_of_robot_by_kind",
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=TERMINAL, finished_at__isnull=False)
                | (~Q(status__in=TERMINAL) & Q(finished_at__isnull=True)),
                name="execution_finished_iff_terminal",
            ),
            models.UniqueConstraint(
                fields=["requested_by", "idempotency_key"], name="execution_idempotency_unique"
            ),
        ]

    def __str__(self) -> str:
        return str(self.uid)

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL

    @property
    def duration(self) -> float | None:
        """Seconds from the start to the end, or to now; None before the start."""
        if self.started_at is None:
            return None
        return ((self.finished_at or timezone.now()) - self.started_at).total_seconds()


class ArtifactQuerySet(models.QuerySet["Artifact"]):
    def visible_to(self, actor: Actor) -> Self:
        return self.filter(execution__in=Execution.objects.visible_to(actor))


class Artifact(models.Model):
    """A file that a run left, kept in storage under a name that the platform chose."""

    uid = models.UUIDField(_("id"), unique=True, default=uuid.uuid4, editable=False)
    execution = models.ForeignKey(
        Execution, on_delete=models.CASCADE, related_name="artifacts", verbose_name=_("execution")
    )
    name = models.CharField(_("name"), max_length=1024)
    size = models.PositiveBigIntegerField(_("size"))
    content_type = models.CharField(_("content type"), max_length=100)
    sha256 = models.CharField(_("SHA-256"), max_length=64)
    storage_key = models.CharField(_("storage key"), max_length=255)
    created_at = models.DateTimeField(_("created"), default=timezone.now)

    objects = ArtifactQuerySet.as_manager()

    class Meta:
        verbose_name = _("artifact")
        verbose_name_plural = _("artifacts")
        ordering = ["id"]

    def __str__(self) -> str:
        return self.name
