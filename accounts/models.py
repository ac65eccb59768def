"""People, and the keys by which their programs come in."""

import hashlib
import secrets
import string
import uuid
from datetime import datetime, timedelta
from typing import ClassVar, Self

from django.contrib.auth.models import AbstractUser, UserManager
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.rows import read_row
from accounts.scopes import EVERYTHING, check_scopes
from audit.rows import Audited, AuditedQuerySet

_ALPHABET = string.ascii_letters + string.digits
_KEY_LENGTH = 40
_PREFIX_LENGTH = 8
#: A busy key would otherwise cost a write a request.
_LAST_USE_EVERY = timedelta(minutes=1)


def new_uid() -> str:
    return uuid.uuid4().hex


class PeopleManager(UserManager["User"]):
    """Django's, of people whose changes are audited."""

    use_in_migrations = False

    def get_queryset(self) -> AuditedQuerySet["User"]:
        return AuditedQuerySet(self.model, using=self._db)


class User(Audited, AbstractUser):
    """A person. `uid` is the name that other tables know them by: the OIDC subject, or generated."""

    audit_ignored = frozenset({"last_login"})
    audit_secret = frozenset({"password"})

    uid = models.CharField(_("uid"), max_length=128, unique=True, default=new_uid)

    objects: ClassVar[PeopleManager] = PeopleManager()

    class Meta(AbstractUser.Meta):
        swappable = "AUTH_USER_MODEL"


class KeyState(models.TextChoices):
    VALID = "valid", _("Valid")
    EXPIRED = "expired", _("Expired")
    REVOKED = "revoked", _("Revoked")


class ApiKeyQuerySet(AuditedQuerySet["ApiKey"]):
    def valid(self) -> Self:
        """Neither revoked nor expired. Whether their owners are active is another question."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()), revoked_at=None)

    def find(self, key: str) -> "ApiKey | None":
        """The usable key with this secret, or None."""
        found = self.known(key)
        return found if found is not None and found.is_usable else None

    def known(self, key: str) -> "ApiKey | None":
        """The key with this secret, usable or not, or None. One indexed look-up of its hash."""
        if len(key) != _KEY_LENGTH or not key.isascii() or not key.isalnum():
            return None
        digest = digest_of(key)
        found = read_row(ApiKey, digest, by="digest")
        user = None if found is None else read_row(User, found.user_id)
        if found is None or user is None:
            return None
        found.user = user
        # A collation may compare loosely; the hash must match to the letter.
        return found if secrets.compare_digest(found.digest, digest) else None


class ApiKey(Audited):
    """A program's credential: shown once, kept as a hash, limited by scopes and expiry.

    The secret has 238 bits of entropy, so one SHA-256 (a microsecond) protects it as well as a slow
    password hash would. `scopes` are permission keys such as `execution.run`; `["*"]` is all that
    the owner may do. A bound key never acts as an operator, nor on what is its owner's alone.
    """

    audit_ignored = frozenset({"last_used_at"})
    audit_secret = frozenset({"digest"})

    user = models.ForeignKey(
        User, on_delete=models.CASCADE, related_name="api_keys", verbose_name=_("user")
    )
    name = models.CharField(_("name"), max_length=100)
    prefix = models.CharField(_("prefix"), max_length=_PREFIX_LENGTH)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    scopes = models.JSONField(_("scopes"), default=list)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True)
    #: It opens one place alone, which a row of another app names. Without that row it opens nothing.
    bound = models.BooleanField(
        _("bound to a place"), default=False, db_default=False, editable=False
    )

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    def clean(self) -> None:
        try:
            check_scopes(self.scopes)
        except ValidationError as error:
            raise ValidationError({"scopes": error}) from None

    @classmethod
    def issue(
        cls,
        *,
        user: User,
        name: str,
        scopes: list[str] | None = None,
        expires_at: datetime | None = None,
        bound: bool = False,
    ) -> tuple["ApiKey", str]:
        """A new key and its secret, which nobody can read again."""
        secret = "".join(secrets.choice(_ALPHABET) for _ in range(_KEY_LENGTH))
        key = cls.objects.create(
            user=user,
            name=name,
            prefix=secret[:_PREFIX_LENGTH],
            digest=digest_of(secret),
            scopes=[EVERYTHING] if scopes is None else scopes,
            expires_at=expires_at,
            bound=bound,
        )
        return key, secret

    @property
    def state(self) -> KeyState:
        if self.revoked_at is not None:
            return KeyState.REVOKED
        expired = self.expires_at is not None and self.expires_at <= timezone.now()
        return KeyState.EXPIRED if expired else KeyState.VALID

    @property
    def is_usable(self) -> bool:
        """Whether it still opens a door: not revoked, not expired, its owner active."""
        return self.state == KeyState.VALID and self.user.is_active

    def revoke(self) -> None:
        """Let it open nothing from now on. What was revoked before stays as it is."""
        if self.revoked_at is None:
            self.revoked_at = timezone.now()
            self.save(update_fields=["revoked_at"])

    def note_use(self) -> None:
        """Remember that the key was used, to the minute."""
        now = timezone.now()
        if self.last_used_at is None or now - self.last_used_at > _LAST_USE_EVERY:
            ApiKey.objects.filter(pk=self.pk).update(last_used_at=now)


def digest_of(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


class Attempts(models.Model):
    """How often something was tried in one stretch of time, told by the digest of what and by whom."""

    key = models.CharField(max_length=64, primary_key=True)
    count = models.PositiveIntegerField(default=0)
    ends_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = _("attempts")
        verbose_name_plural = _("attempts")

    def __str__(self) -> str:
        return f"{self.key[:8]}… {self.count}"
