"""Waiting for a runner: the place of each run in the queue, and what bounds how many run at once."""

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from audit.rows import Audited, AuditedQuerySet
from enterprises.models import Enterprise
from executions.choices import Scope, TicketState
from executions.models.fleet import Lane, Pool, Runner
from executions.models.runs import Execution
from robots.models import Robot
from spaces.models import Space

MOST_RUNS = 100_000
MOST_WEIGHT = 1000


class Ticket(models.Model):
    """A run's place in the queue, from its request to its end. What has ended has none.

    READY -> LEASED, once a runner has room and every limit allows it
    READY -> HELD -> READY: something is at its limit, and then no longer
    DELAYED -> READY: it is to be run later, as a retry is
    LEASED -> READY: handed back, its robot not having started

    The leased tickets are what limits are counted by. Only `executions.tickets` changes them.
    """

    execution = models.OneToOneField(
        Execution, on_delete=models.CASCADE, primary_key=True, related_name="ticket"
    )
    lane = models.ForeignKey(
        Lane, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    pool = models.ForeignKey(
        Pool, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    robot = models.ForeignKey(
        Robot, on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    space = models.ForeignKey(
        Space, on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    enterprise = models.ForeignKey(
        Enterprise,
        on_delete=models.CASCADE,
        null=True,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    state = models.PositiveSmallIntegerField(choices=TicketState.choices, default=TicketState.READY)
    #: The less the earlier: the priority with its sign turned, so that indexes go upwards.
    precedence = models.SmallIntegerField(default=0)
    #: Where the fair share of its space begins and ends, in milliseconds of a slot. See shares.py.
    turn = models.BigIntegerField(default=0)
    turn_end = models.BigIntegerField(default=0)
    #: How many runs at once its robot's version allows; none is any number.
    robot_most = models.PositiveIntegerField(null=True)
    #: Whether the run's stream says why it waits as it does now.
    explained = models.BooleanField(default=True)
    #: What is at its limit, where the ticket is HELD.
    held_scope = models.PositiveSmallIntegerField(choices=Scope.choices, null=True)
    held_by = models.BigIntegerField(null=True)
    runner = models.ForeignKey(
        Runner,
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    queued_at = models.DateTimeField(default=timezone.now)
    ready_at = models.DateTimeField(null=True)
    #: When it has waited for too long.
    expires_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["lane", "state", "precedence", "turn", "execution"], name="ticket_next"
            ),
            models.Index(fields=["lane", "precedence", "space", "turn_end"], name="ticket_share"),
            models.Index(
                fields=["held_scope", "held_by", "precedence", "turn", "execution"],
                name="ticket_held",
            ),
            models.Index(
                fields=["pool", "state", "precedence", "turn", "execution"], name="ticket_of_pool"
            ),
            models.Index(
                fields=["robot", "state", "precedence", "turn", "execution"], name="ticket_of_robot"
            ),
            models.Index(
                fields=["space", "state", "precedence", "turn", "execution"], name="ticket_of_space"
            ),
            models.Index(
                fields=["enterprise", "state", "precedence", "turn", "execution"],
                name="ticket_of_enterprise",
            ),
            models.Index(fields=["runner"], name="ticket_of_runner"),
            models.Index(fields=["state", "ready_at"], name="ticket_later"),
            models.Index(fields=["state", "expires_at"], name="ticket_expiry"),
            models.Index(fields=["explained", "execution"], name="ticket_to_explain"),
        ]

    def __str__(self) -> str:
        return str(self.execution_id)


class Gate(models.Model):
    """What a claim locks while it counts the runs of something that has a limit. See limits.py."""

    scope = models.PositiveSmallIntegerField(choices=Scope.choices)
    #: The key of the robot, space, enterprise or pool.
    object_id = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["scope", "object_id"], name="gate_unique")]

    def __str__(self) -> str:
        return f"{self.get_scope_display()} {self.object_id}"


class RunLimit(Audited):
    """How many runs of one robot, space, enterprise or pool there may be at once."""

    robot = models.OneToOneField(
        Robot,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="run_limit",
        verbose_name=_("robot"),
    )
    space = models.OneToOneField(
        Space,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="run_limit",
        verbose_name=_("space"),
    )
    enterprise = models.OneToOneField(
        Enterprise,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="run_limit",
        verbose_name=_("enterprise"),
    )
    pool = models.OneToOneField(
        Pool,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="run_limit",
        verbose_name=_("pool"),
    )
    most = models.PositiveIntegerField(
        _("runs at once"),
        validators=[MaxValueValidator(MOST_RUNS)],
        help_text=_(
            "0 lets nothing start, until the number is raised or the limit deleted. Of a robot, the smaller "
            "one holds of this and what its version says of itself."
        ),
    )

    objects = AuditedQuerySet["RunLimit"].as_manager()

    class Meta:
        verbose_name = _("run limit")
        verbose_name_plural = _("run limits")
        constraints = [
            models.CheckConstraint(
                condition=Q(robot__isnull=False, space=None, enterprise=None, pool=None)
                | Q(robot=None, space__isnull=False, enterprise=None, pool=None)
                | Q(robot=None, space=None, enterprise__isnull=False, pool=None)
                | Q(robot=None, space=None, enterprise=None, pool__isnull=False),
                name="run_limit_of_one_thing",
            )
        ]

    def __str__(self) -> str:
        return f"{self.limited}: {self.most}"

    @property
    def limited(self) -> Robot | Space | Enterprise | Pool | None:
        return self.robot or self.space or self.enterprise or self.pool

    def clean(self) -> None:
        if (
            sum(each is not None for each in (self.robot, self.space, self.enterprise, self.pool))
            != 1
        ):
            raise ValidationError(_("Choose one of robot, space, enterprise and pool."))

    def audit_root(self) -> models.Model:
        return self.limited or self


class SpaceShare(Audited):
    """How much of the fleet a space gets where others wait as well: twice the weight, twice the time."""

    space = models.OneToOneField(
        Space, on_delete=models.CASCADE, related_name="+", verbose_name=_("space")
    )
    weight = models.PositiveSmallIntegerField(
        _("weight"),
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_WEIGHT)],
        help_text=_("1, unless it is to get a larger share."),
    )

    objects = AuditedQuerySet["SpaceShare"].as_manager()

    class Meta:
        verbose_name = _("share of a space")
        verbose_name_plural = _("shares of spaces")

    def __str__(self) -> str:
        return f"{self.space}: {self.weight}"

    def audit_root(self) -> models.Model:
        return self.space


class Retry(models.Model):
    """A run that takes the place of one that failed, because its robot says that this is safe."""

    execution = models.OneToOneField(
        Execution, on_delete=models.CASCADE, primary_key=True, related_name="retry"
    )
    failed = models.OneToOneField(Execution, on_delete=models.CASCADE, related_name="retried_as")
    #: Which attempt the new run is: 2 is the first retry.
    attempt = models.PositiveSmallIntegerField()

    def __str__(self) -> str:
        return f"{self.execution_id}: {self.attempt}"
