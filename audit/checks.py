"""A model that is audited is audited in all ways: its managers note what changes many rows at once."""

from typing import Any

from django.apps import apps
from django.core import checks


def register() -> None:
    checks.register(managers_note_changes)


def managers_note_changes(**_of_check: Any) -> list[checks.CheckMessage]:
    from audit.rows import Audited, AuditedQuerySet

    return [
        checks.Error(
            f"The manager {manager.name!r} would change rows that the audit never hears of.",
            hint="Make it of AuditedQuerySet, or of a subclass.",
            obj=model,
            id="audit.E001",
        )
        for model in apps.get_models()
        if issubclass(model, Audited)
        for manager in model._meta.managers
        if not isinstance(manager.all(), AuditedQuerySet)
    ]
