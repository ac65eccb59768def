"""The event stream of an execution: its head, its events, what of it is in storage, and for how long."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from audit.rows import Audited, AuditedQuerySet
from executions.choices import Encoding, EventKind
from executions.models.runs import Execution
from spaces.models import Space


class ExecutionStream(models.Model):
    """The head of one execution's event stream: a narrow row, whose lock orders the appends.

    `writer_token` fences: only the holder of the current token appends a robot's output, and
    `src_offset` says how many of its events are already in, so that an append whose answer
    was lost can be repeated without effect.
    """

    execution = models.OneToOneField(
        Execution, on_delete=models.CASCADE, primary_key=True, related_name="stream"
    )
    epoch = models.PositiveIntegerField(default=1)
    last_seq = models.PositiveIntegerField(default=0)
    n_lines = models.PositiveIntegerField(default=0)
    bytes = models.PositiveBigIntegerField(default=0)
    writer_token = models.CharField(max_length=32, blank=True, default="")
    src_offset = models.PositiveBigIntegerField(default=0)
    closed = models.BooleanField(default=False)
    # 1 to dropped_seq are gone, then come the segments to sealed_seq, then the rows to last_seq.
    dropped_seq = models.PositiveIntegerField(default=0)
    sealed_seq = models.PositiveIntegerField(default=0)
    sealed_bytes = models.PositiveBigIntegerField(default=0)
    #: When an ended stream is to go into storage; none while it runs, and once it is there.
    seal_at = models.DateTimeField(null=True, blank=True, db_index=True)
    #: When it ended; none once retention has removed its events and files.
    kept_since = models.DateTimeField(null=True, blank=True, db_index=True)

    def __str__(self) -> str:
        return f"{self.execution_id}:{self.last_seq}"


class ExecutionEvent(models.Model):
    """One event. `payload` is the JSON of its data, `created` is in milliseconds since 1970 (UTC)."""

    # Clustered by execution: a tail, a page and a removal each touch neighbouring rows only.
    pk = models.CompositePrimaryKey("execution_id", "seq")
    execution = models.ForeignKey(
        Execution, on_delete=models.CASCADE, related_name="events", db_index=False
    )
    seq = models.PositiveIntegerField()
    kind = models.PositiveSmallIntegerField(choices=EventKind.choices)
    first_line = models.PositiveIntegerField(default=0)
    n_lines = models.PositiveIntegerField(default=0)
    enc = models.PositiveSmallIntegerField(choices=Encoding.choices, default=Encoding.PLAIN)
    payload = models.BinaryField()
    created = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.execution_id}:{self.seq}"


class ExecutionSegment(models.Model):
    """A sealed part of a stream: where in storage its events lie. See segments.py for the format."""

    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="segments")
    first_seq = models.PositiveIntegerField()
    last_seq = models.PositiveIntegerField()
    #: The first event, offset and length of each gzip member, in order.
    members = models.JSONField()
    object_key = models.CharField(max_length=255)
    bytes = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["execution", "first_seq"], name="segment_unique")
        ]

    def __str__(self) -> str:
        return f"{self.execution_id}:{self.first_seq}-{self.last_seq}"


class UnclaimedObject(models.Model):
    """An object in storage that no row names yet.

    Written before the upload, and removed with the commit that names the object: what is left over
    after an hour was left by a process that died, and `prune` deletes it. See claims.py, by whose clock it is.
    """

    object_key = models.CharField(max_length=255, unique=True)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    def __str__(self) -> str:
        return self.object_key


class SpaceRetention(Audited):
    """How long a space keeps the events and artifacts of its ended runs, where not as long as others."""

    space = models.OneToOneField(
        Space, on_delete=models.CASCADE, related_name="+", verbose_name=_("space")
    )
    days = models.PositiveIntegerField(
        _("days"), help_text=_("After this many days, events and artifacts are removed; 0 = never.")
    )

    objects = AuditedQuerySet["SpaceRetention"].as_manager()

    class Meta:
        verbose_name = _("retention of a space")
        verbose_name_plural = _("retention of spaces")

    def __str__(self) -> str:
        return f"{self.space}: {self.days}"

    def audit_root(self) -> models.Model:
        return self.space
