"""Enterprises and their members. Tables, columns and codes are those of AstronAgent's organisation data."""

from datetime import datetime
from typing import Self

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Case, F, Q, Value, When
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.deletion import cascade_unless_first
from accounts.fields import Stamped, TinyIntegerField
from accounts.models import User
from audit.rows import AuditedQuerySet


class ServiceType(models.IntegerChoices):
    TEAM = 1, _("Team")
    ENTERPRISE = 2, _("Enterprise")


class EnterpriseRole(models.IntegerChoices):
    OFFICER = 1, _("Officer")
    GOVERNOR = 2, _("Governor")
    STAFF = 3, _("Staff")


class EnterpriseQuerySet(AuditedQuerySet["Enterprise"]):
    def alive(self) -> Self:
        return self.filter(deleted=False)

    def restorable(self) -> Self:
        return self.filter(deleted=True, purge_begun=None)

    def outlived(self, moment: datetime) -> Self:
        """Those that were deleted before `moment`, and those whose purge was cut off."""
        return self.filter(Q(deleted=True, update_time__lt=moment) | Q(purge_begun__isnull=False))


class Enterprise(Stamped):
    """An organisation: it owns spaces, has members in three roles, and may expire."""

    creator = models.ForeignKey(
        User,
        on_delete=models.PROTECT,
        to_field="uid",
        db_column="uid",
        related_name="+",
        verbose_name=_("creator"),
    )
    name = models.CharField(_("name"), max_length=50, db_index=True)
    logo_url = models.CharField(_("logo"), max_length=1024, blank=True, default="")
    avatar_url = models.CharField(_("avatar"), max_length=1024, blank=True, default="")
    org_id = models.BigIntegerField(_("organisation id"), null=True, blank=True)
    service_type = TinyIntegerField(
        _("service type"), choices=ServiceType.choices, default=ServiceType.TEAM
    )
    expire_time = models.DateTimeField(_("expires"), null=True, blank=True)
    deleted = models.BooleanField(_("deleted"), default=False)
    #: Once it is set, nothing brings the row back: what is in it goes, then the row.
    purge_begun = models.DateTimeField(_("purge begun"), null=True, blank=True, editable=False)
    # MySQL has no conditional unique constraint: the live name is NULL once deleted, and NULLs differ.
    live_name = models.GeneratedField(
        expression=Case(When(Q(deleted=False), then=F("name")), default=Value(None)),
        output_field=models.CharField(max_length=50, null=True),
        db_persist=True,
    )

    objects = EnterpriseQuerySet.as_manager()

    class Meta:
        db_table = "agent_enterprise"
        verbose_name = _("enterprise")
        verbose_name_plural = _("enterprises")
        constraints = [
            models.UniqueConstraint(fields=["live_name"], name="enterprise_live_name_unique")
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        namesakes = Enterprise.objects.alive().filter(name=self.name).exclude(pk=self.pk)
        if not self.deleted and namesakes.exists():
            raise ValidationError({"name": _("There is an enterprise of this name already.")})

    @property
    def expired(self) -> bool:
        return self.expire_time is not None and self.expire_time <= timezone.now()


class EnterpriseUser(Stamped):
    """A membership, and when the member last looked in."""

    audit_ignored = frozenset({"last_visit_time"})

    enterprise = models.ForeignKey(
        Enterprise, on_delete=models.CASCADE, related_name="members", verbose_name=_("enterprise")
    )
    user = models.ForeignKey(
        User,
        on_delete=cascade_unless_first,
        to_field="uid",
        db_column="uid",
        related_name="enterprise_memberships",
        verbose_name=_("user"),
    )
    nickname = models.CharField(_("nickname"), max_length=64, blank=True, default="")
    role = TinyIntegerField(_("role"), choices=EnterpriseRole.choices, default=EnterpriseRole.STAFF)
    #: Ours: the reference system keeps it outside of its database.
    last_visit_time = models.DateTimeField(_("last visit"), null=True, blank=True)

    objects = AuditedQuerySet["EnterpriseUser"].as_manager()

    class Meta:
        db_table = "agent_enterprise_user"
        verbose_name = _("enterprise member")
        verbose_name_plural = _("enterprise members")
        constraints = [
            models.UniqueConstraint(fields=["enterprise", "user"], name="enterprise_user_unique")
        ]

    def __str__(self) -> str:
        return f"{self.user} @ {self.enterprise}"

    def audit_root(self) -> models.Model:
        return self.enterprise


class EnterprisePermission(Stamped):
    """One row a permission, one column a role: what members of an enterprise may do."""

    module = models.CharField(_("module"), max_length=50)
    description = models.CharField(_("description"), max_length=255, blank=True, default="")
    permission_key = models.CharField(_("permission"), max_length=64, unique=True)
    officer = models.BooleanField(_("officer"), default=False)
    governor = models.BooleanField(_("governor"), default=False)
    staff = models.BooleanField(_("staff"), default=False)
    available_expired = models.BooleanField(_("also when expired"), default=False)

    objects = AuditedQuerySet["EnterprisePermission"].as_manager()

    class Meta:
        db_table = "agent_enterprise_permission"
        verbose_name = _("enterprise permission")
        verbose_name_plural = _("enterprise permissions")
        ordering = ["module", "permission_key"]

    def __str__(self) -> str:
        return self.permission_key
