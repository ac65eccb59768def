"""Spaces, where robots live, and their members. Tables, columns and codes are AstronAgent's."""

from datetime import datetime
from typing import Any, Self

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Case, F, Q, Value, When
from django.utils.translation import gettext_lazy as _

from accounts.deletion import cascade_unless_first
from accounts.fields import Stamped, TinyIntegerField
from accounts.models import ApiKey, User
from audit.rows import Audited, AuditedQuerySet
from enterprises.models import Enterprise


class SpaceType(models.IntegerChoices):
    FREE = 1, _("Free")
    PRO = 2, _("Pro")
    TEAM = 3, _("Team")
    ENTERPRISE = 4, _("Enterprise")


class SpaceRole(models.IntegerChoices):
    OWNER = 1, _("Owner")
    ADMIN = 2, _("Admin")
    MEMBER = 3, _("Member")


class SpaceQuerySet(AuditedQuerySet["Space"]):
    def alive(self) -> Self:
        """Spaces that are not deleted, nor is the enterprise that they belong to."""
        return self.filter(deleted=False).filter(Q(enterprise=None) | Q(enterprise__deleted=False))

    def restorable(self) -> Self:
        return self.filter(deleted=True, purge_begun=None)

    def outlived(self, moment: datetime) -> Self:
        """Those that were deleted before `moment`, and those whose purge was cut off."""
        return self.filter(Q(deleted=True, update_time__lt=moment) | Q(purge_begun__isnull=False))


class Space(Stamped):
    """A workspace: an enterprise's, or one person's own (`enterprise` is null)."""

    name = models.CharField(_("name"), max_length=50, db_index=True)
    description = models.CharField(_("description"), max_length=2000, blank=True, default="")
    avatar_url = models.CharField(_("avatar"), max_length=1024, blank=True, default="")
    creator = models.ForeignKey(
        User,
        on_delete=models.PROTECT,
        to_field="uid",
        db_column="uid",
        related_name="+",
        verbose_name=_("creator"),
    )
    enterprise = models.ForeignKey(
        Enterprise,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="spaces",
        verbose_name=_("enterprise"),
    )
    type = TinyIntegerField(_("type"), choices=SpaceType.choices, default=SpaceType.FREE)
    deleted = models.BooleanField(_("deleted"), default=False)
    #: Once it is set, nothing brings the row back: what is in it goes, then the row.
    purge_begun = models.DateTimeField(_("purge begun"), null=True, blank=True, editable=False)
    # See Enterprise.live_name; a personal name is unique for its owner, another within its enterprise.
    live_name = models.GeneratedField(
        expression=Case(When(Q(deleted=False), then=F("name")), default=Value(None)),
        output_field=models.CharField(max_length=50, null=True),
        db_persist=True,
    )
    personal_name = models.GeneratedField(
        expression=Case(
            When(Q(deleted=False) & Q(enterprise=None), then=F("name")), default=Value(None)
        ),
        output_field=models.CharField(max_length=50, null=True),
        db_persist=True,
    )

    objects = SpaceQuerySet.as_manager()

    class Meta:
        db_table = "agent_space"
        verbose_name = _("space")
        verbose_name_plural = _("spaces")
        constraints = [
            models.UniqueConstraint(
                fields=["enterprise", "live_name"], name="space_live_name_unique"
            ),
            models.UniqueConstraint(
                fields=["creator", "personal_name"], name="space_personal_name_unique"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        neighbours = Space.objects.filter(deleted=False, enterprise=self.enterprise_id)
        if self.enterprise_id is None:
            neighbours = neighbours.filter(creator__uid=self.creator_id)
        if not self.deleted and neighbours.filter(name=self.name).exclude(pk=self.pk).exists():
            raise ValidationError({"name": _("There is a space of this name already.")})


class SpaceUser(Stamped):
    """A membership, and when the member last looked in."""

    audit_ignored = frozenset({"last_visit_time"})

    space = models.ForeignKey(
        Space, on_delete=models.CASCADE, related_name="members", verbose_name=_("space")
    )
    user = models.ForeignKey(
        User,
        on_delete=cascade_unless_first,
        to_field="uid",
        db_column="uid",
        related_name="space_memberships",
        verbose_name=_("user"),
    )
    nickname = models.CharField(_("nickname"), max_length=64, blank=True, default="")
    role = TinyIntegerField(_("role"), choices=SpaceRole.choices, default=SpaceRole.MEMBER)
    last_visit_time = models.DateTimeField(_("last visit"), null=True, blank=True)

    objects = AuditedQuerySet["SpaceUser"].as_manager()

    class Meta:
        db_table = "agent_space_user"
        verbose_name = _("space member")
        verbose_name_plural = _("space members")
        constraints = [models.UniqueConstraint(fields=["space", "user"], name="space_user_unique")]

    def __str__(self) -> str:
        return f"{self.user} @ {self.space}"

    def audit_root(self) -> models.Model:
        return self.space


class SpaceKeyQuerySet(AuditedQuerySet["SpaceKey"]):
    def opening(self, key: ApiKey) -> "models.QuerySet[Any]":
        """The space that a bound key opens, as a question for a filter."""
        return self.filter(key=key).values("space")


class SpaceKey(Audited):
    """Which space an API key is bound to. It acts there as its owner, by the role that they have at the moment."""

    key = models.OneToOneField(
        ApiKey,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="+",
        verbose_name=_("API key"),
    )
    space = models.ForeignKey(
        Space, on_delete=models.CASCADE, related_name="keys", verbose_name=_("space")
    )

    objects = SpaceKeyQuerySet.as_manager()

    class Meta:
        verbose_name = _("API key of a space")
        verbose_name_plural = _("API keys of spaces")

    def __str__(self) -> str:
        return str(self.key)

    def audit_root(self) -> models.Model:
        return self.space


class SpacePermission(Stamped):
    """One row a permission, one column a role: what members of a space may do."""

    module = models.CharField(_("module"), max_length=50)
    point = models.CharField(_("action"), max_length=50)
    description = models.CharField(_("description"), max_length=255, blank=True, default="")
    permission_key = models.CharField(_("permission"), max_length=64, unique=True)
    owner = models.BooleanField(_("owner"), default=False)
    admin = models.BooleanField(_("admin"), default=False)
    member = models.BooleanField(_("member"), default=False)
    available_expired = models.BooleanField(_("also when expired"), default=False)

    objects = AuditedQuerySet["SpacePermission"].as_manager()

    class Meta:
        db_table = "agent_space_permission"
        verbose_name = _("space permission")
        verbose_name_plural = _("space permissions")
        ordering = ["module", "permission_key"]

    def __str__(self) -> str:
        return self.permission_key
