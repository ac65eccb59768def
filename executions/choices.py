"""The words of a run: its states, why it waits, why it failed, and the kinds of its events."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class Status(models.TextChoices):
    PENDING = "PENDING", _("Pending")
    RUNNING = "RUNNING", _("Running")
    COMPLETED = "COMPLETED", _("Completed")
    FAILED = "FAILED", _("Failed")
    CANCELLED = "CANCELLED", _("Cancelled")


ALIVE = (Status.PENDING, Status.RUNNING)
TERMINAL = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


class PendingReason(models.TextChoices):
    """Why a run has not started, in terms of what would let it start."""

    QUEUED = "queued", _("Waiting for a free slot of a runner")
    ROBOT_LIMIT = "robot_limit", _("As many runs of its robot as may run at once")
    SPACE_LIMIT = "space_limit", _("As many runs in its space as may run at once")
    ENTERPRISE_LIMIT = "enterprise_limit", _("As many runs in its enterprise as may run at once")
    POOL_LIMIT = "pool_limit", _("As many runs in its pool as may run at once")
    RETRY = "retry", _("The next attempt waits for a while")
    ENVIRONMENT = "environment", _("Its environment is being built")
    NO_RUNNER = "no_runner", _("No runner that is connected may run it")


class FailureReason(models.TextChoices):
    ERROR = "error", _("The robot ended with an error")
    TIMEOUT = "timeout", _("It ran longer than its time limit")
    OUT_OF_MEMORY = "out_of_memory", _("It used more memory than its limit")
    KILLED = "killed", _("The robot was killed by a signal")
    LOST = "lost", _("Its runner died")
    ENVIRONMENT = "environment", _("Its environment could not be built")
    NO_EXECUTOR = "no_executor", _("No executor can run it")
    EXPIRED = "expired", _("It waited longer than its queue limit")
    QUOTA = "quota", _("It used up a quota")
    INFRASTRUCTURE = "infrastructure", _("The platform could not run it")


class EventKind(models.IntegerChoices):
    """Kinds of events; the labels are their names on every wire and are never translated."""

    STATUS = 1, "status"
    LOG = 2, "log"
    STEP = 3, "step"
    PROGRESS = 4, "progress"
    ARTIFACT = 5, "artifact"
    RESULT = 6, "result"
    NOTICE = 7, "notice"


class Encoding(models.IntegerChoices):
    """How an event's payload is stored."""

    PLAIN = 0, "JSON"
    GZIP = 1, "gzip"


class Origin(models.TextChoices):
    """The door by which a run was requested."""

    API = "api", _("API")
    PAGE = "page", _("Web page")
    COMMAND = "command", _("Command line")
    ADMIN = "admin", pgettext_lazy("the site, not the role", "Admin")
    STREAM = "stream", _("Run-a-robot stream")


class TicketState(models.IntegerChoices):
    """Where a run stands in the queue. See Ticket."""

    READY = 1, "ready"
    HELD = 2, "held"
    DELAYED = 3, "delayed"
    LEASED = 4, "leased"


class Scope(models.IntegerChoices):
    """What may have a limit of runs at once."""

    ROBOT = 1, "robot"
    SPACE = 2, "space"
    ENTERPRISE = 3, "enterprise"
    POOL = 4, "pool"
