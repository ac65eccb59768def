"""The audit: entries that are only ever added, each sealed by a digest over itself and the one before."""

import hashlib
import json
from datetime import UTC
from typing import Any, NoReturn

from django.db import models
from django.utils.translation import gettext_lazy as _

from audit.choices import Door, Outcome

#: What the first entry has in place of the digest of the one before.
BEGINNING = "0" * 64


class EntryQuerySet(models.QuerySet["Entry"]):
    def update(self, **values: Any) -> NoReturn:
        raise TypeError("An entry of the audit never changes.")

    def delete(self) -> NoReturn:
        raise TypeError("An entry of the audit is never deleted.")

    def about(self, row: models.Model) -> "EntryQuerySet":
        """What was done to this object and to its parts, newest first."""
        found = self.filter(object_type=row._meta.label_lower, object_id=str(row.pk))
        return found.order_by("-number")


class Entry(models.Model):
    """Who did what to which object, or tried to: from where, with which key, before and after.

    People and objects are named as they were then, and not by reference: the entry outlives them.
    Nothing secret is in it.
    """

    number = models.BigIntegerField(_("number"), primary_key=True)
    at = models.DateTimeField(_("time"), db_index=True)
    door = models.CharField(_("door"), max_length=10, choices=Door.choices)
    address = models.CharField(_("address"), max_length=64)
    actor_uid = models.CharField(_("uid"), max_length=128)
    actor = models.CharField(_("who"), max_length=150)
    key_prefix = models.CharField(_("API key"), max_length=8)
    action = models.CharField(_("action"), max_length=64)
    outcome = models.CharField(_("outcome"), max_length=8, choices=Outcome.choices)
    object_type = models.CharField(_("kind of object"), max_length=64)
    object_id = models.CharField(_("object's id"), max_length=64)
    object_name = models.CharField(_("object"), max_length=200)
    # JSON as text: its digest must not depend on how a database writes JSON.
    detail = models.TextField(_("detail"))
    previous = models.CharField(_("digest before"), max_length=64)
    digest = models.CharField(_("digest"), max_length=64)

    objects = EntryQuerySet.as_manager()

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit")
        indexes = [
            models.Index(fields=["object_type", "object_id", "number"], name="audit_object"),
            models.Index(fields=["actor_uid", "number"], name="audit_actor"),
            models.Index(fields=["action", "number"], name="audit_action"),
        ]

    def __str__(self) -> str:
        return str(self.number)

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("An entry of the audit never changes.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("An entry of the audit is never deleted.")

    def sealed(self) -> str:
        """The digest over every column but itself."""
        at = self.at.astimezone(UTC).isoformat(timespec="microseconds")
        columns = [getattr(self, name) for name in _SEALED]
        text = json.dumps([self.number, at, *columns], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def details(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.detail)
        return found

    def exported(self) -> dict[str, Any]:
        """The entry as programs read it; from this, its digest can be worked out again."""
        at = self.at.astimezone(UTC).isoformat(timespec="microseconds")
        return {
            "number": self.number,
            "at": at,
            **{name: getattr(self, name) for name in _SEALED},
            "digest": self.digest,
        }


_SEALED = (
    "door",
    "address",
    "actor_uid",
    "actor",
    "key_prefix",
    "action",
    "outcome",
    "object_type",
    "object_id",
    "object_name",
    "detail",
    "previous",
)


class Head(models.Model):
    """The one row that says how far the chain has come. Its lock puts the entries in order."""

    number = models.BigIntegerField(default=0)
    digest = models.CharField(max_length=64, default=BEGINNING)

    class Meta:
        verbose_name = _("head of the audit")
        verbose_name_plural = _("head of the audit")

    def __str__(self) -> str:
        return f"{self.number}:{self.digest}"
