"""Invites and applications to join. Tables, columns and codes are AstronAgent's."""

from datetime import timedelta
from typing import Self

from django.core import signing
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.fields import Stamped, TinyIntegerField
from accounts.models import User
from audit.rows import AuditedQuerySet
from enterprises.models import Enterprise
from spaces.models import Space

INVITE_LIFE = timedelta(days=7)
_signer = signing.Signer(salt="joining.invite")


class InviteType(models.IntegerChoices):
    SPACE = 1, _("To a space")
    ENTERPRISE = 2, _("To an enterprise")


class InviteRole(models.IntegerChoices):
    """In an enterprise, an admin is a governor and a member is staff."""

    ADMIN = 2, _("Admin")
    MEMBER = 3, _("Member")


class InviteStatus(models.IntegerChoices):
    INITIAL = 1, _("Open")
    REFUSED = 2, _("Refused")
    JOINED = 3, _("Joined")
    WITHDRAWN = 4, _("Withdrawn")
    EXPIRED = 5, _("Expired")


class InviteQuerySet(AuditedQuerySet["Invite"]):
    def open(self) -> Self:
        """Those that can still be answered."""
        return self.filter(status=InviteStatus.INITIAL, expire_time__gt=timezone.now())

    def stale(self) -> Self:
        """Those whose time is over, and whose row does not say so yet."""
        return self.filter(status=InviteStatus.INITIAL, expire_time__lte=timezone.now())

    def in_state(self, status: int) -> Self:
        if status == InviteStatus.INITIAL:
            return self.open()
        if status == InviteStatus.EXPIRED:
            return self.filter(
                Q(status=status) | Q(status=InviteStatus.INITIAL, expire_time__lte=timezone.now())
            )
        return self.filter(status=status)

    def to(self, place: Space | Enterprise) -> Self:
        if isinstance(place, Space):
            return self.filter(type=InviteType.SPACE, space=place)
        return self.filter(type=InviteType.ENTERPRISE, enterprise=place)

    def to_living_places(self) -> Self:
        living = Q(space=None) | Q(space__deleted=False)
        return self.filter(living, Q(enterprise=None) | Q(enterprise__deleted=False))


class Invite(Stamped):
    """One user is asked to join a space or an enterprise, and alone may answer.

    INITIAL -> JOINED | REFUSED | WITHDRAWN | EXPIRED

    A row says INITIAL for a moment after its time, until a sweep comes by: `state` tells how it is.
    """

    type = TinyIntegerField(_("type"), choices=InviteType.choices)
    space = models.ForeignKey(
        Space,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("space"),
    )
    # That of the space too, where it has one.
    enterprise = models.ForeignKey(
        Enterprise,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("enterprise"),
    )
    invitee = models.ForeignKey(
        User,
        on_delete=models.CASCADE,
        to_field="uid",
        db_column="invitee_uid",
        related_name="+",
        verbose_name=_("invitee"),
    )
    role = TinyIntegerField(_("role"), choices=InviteRole.choices, default=InviteRole.MEMBER)
    invitee_nickname = models.CharField(_("nickname"), max_length=64, blank=True, default="")
    inviter = models.ForeignKey(
        User,
        on_delete=models.CASCADE,
        to_field="uid",
        db_column="inviter_uid",
        related_name="+",
        verbose_name=_("inviter"),
    )
    expire_time = models.DateTimeField(_("expires"))
    status = TinyIntegerField(
        _("status"), choices=InviteStatus.choices, default=InviteStatus.INITIAL
    )

    objects = InviteQuerySet.as_manager()

    class Meta:
        db_table = "agent_invite_record"
        verbose_name = _("invite")
        verbose_name_plural = _("invites")
        indexes = [
            models.Index(fields=["invitee", "status", "expire_time"], name="invite_open_of_user"),
            models.Index(fields=["status", "expire_time"], name="invite_stale"),
        ]

    def __str__(self) -> str:
        return str(self.invitee)

    @property
    def state(self) -> InviteStatus:
        if self.status == InviteStatus.INITIAL and self.expire_time <= timezone.now():
            return InviteStatus.EXPIRED
        return InviteStatus(self.status)

    @property
    def token(self) -> str:
        """Its name in links, which nobody can guess."""
        return str(_signer.sign(str(self.pk)))


def key_in(token: str) -> int | None:
    """The key of the invite that a token names; None for what we have not signed."""
    try:
        return int(_signer.unsign(token))
    except (signing.BadSignature, ValueError):
        return None


class ApplicationStatus(models.IntegerChoices):
    PENDING = 1, _("Pending")
    APPROVED = 2, _("Approved")
    REJECTED = 3, _("Rejected")


class Application(Stamped):
    """A member of an enterprise asks to join one of its spaces.

    PENDING -> APPROVED | REJECTED
    """

    enterprise = models.ForeignKey(
        Enterprise, on_delete=models.CASCADE, related_name="+", verbose_name=_("enterprise")
    )
    space = models.ForeignKey(
        Space, on_delete=models.CASCADE, related_name="+", verbose_name=_("space")
    )
    applicant = models.ForeignKey(
        User,
        on_delete=models.CASCADE,
        to_field="uid",
        db_column="apply_uid",
        related_name="+",
        verbose_name=_("applicant"),
    )
    apply_nickname = models.CharField(_("nickname"), max_length=64, blank=True, default="")
    apply_time = models.DateTimeField(_("applied"), default=timezone.now)
    status = TinyIntegerField(
        _("status"), choices=ApplicationStatus.choices, default=ApplicationStatus.PENDING
    )
    audit_time = models.DateTimeField(_("decided"), null=True, blank=True)
    auditor = models.ForeignKey(
        User,
        on_delete=models.SET_NULL,
        to_field="uid",
        db_column="audit_uid",
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("decided by"),
    )

    objects = AuditedQuerySet["Application"].as_manager()

    class Meta:
        db_table = "agent_apply_record"
        verbose_name = _("application")
        verbose_name_plural = _("applications")

    def __str__(self) -> str:
        return str(self.applicant)
