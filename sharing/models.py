"""Shares by link. Table, columns and codes are AstronAgent's; its own kinds of things are not ours."""

import secrets
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.fields import Stamped, TinyIntegerField
from accounts.models import User
from audit.rows import AuditedQuerySet


class ShareType(models.IntegerChoices):
    ROBOT = 10, _("A robot")
    EXECUTION = 11, _("An execution")


def new_key() -> str:
    """256 bits, in letters that every collation compares alike."""
    return secrets.token_hex(32)


class ShareQuerySet(AuditedQuerySet["Share"]):
    def ours(self) -> Self:
        """The table may hold shares of the reference system's own things."""
        return self.filter(share_type__in=ShareType.values)

    def valid(self) -> Self:
        """Switched on, and not expired. Whether the sharer still may share is asked elsewhere."""
        return self.ours().filter(
            Q(expire_time=None) | Q(expire_time__gt=timezone.now()),
            is_act=True,
            sharer__is_active=True,
        )


class Share(Stamped):
    """Who has the key may read one robot or one execution, and nothing else."""

    audit_secret = frozenset({"share_key"})

    sharer = models.ForeignKey(
        User,
        on_delete=models.CASCADE,
        to_field="uid",
        db_column="uid",
        related_name="+",
        verbose_name=_("shared by"),
    )
    base_id = models.BigIntegerField(_("what"), db_index=True)
    share_key = models.CharField(_("key"), max_length=64, unique=True, default=new_key)
    share_type = TinyIntegerField(_("type"), choices=ShareType.choices)
    is_act = models.BooleanField(_("switched on"), default=True)
    #: Ours.
    expire_time = models.DateTimeField(_("expires"), null=True, blank=True)

    objects = ShareQuerySet.as_manager()

    class Meta:
        db_table = "agent_share_record"
        verbose_name = _("share")
        verbose_name_plural = _("shares")

    def __str__(self) -> str:
        return str(self.sharer)

    @property
    def expired(self) -> bool:
        return self.expire_time is not None and self.expire_time <= timezone.now()
