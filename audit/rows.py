"""Models that note their own changes, whoever makes them: services, the admin, a shell.

A model takes part by `Audited` as a base and by managers of `AuditedQuerySet`; a check refuses one
without the other. What is written past the ORM is not seen: services that do so call `recording.note`.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, ClassVar, TypeVar

from django.contrib.auth.models import Group
from django.core.exceptions import ObjectDoesNotExist
from django.db import models
from django.db.models.signals import m2m_changed, post_save, pre_delete, pre_save

from audit.recording import Change, Record, Thing, recording

M = TypeVar("M", bound=models.Model)
_Values = dict[str, Any]


class Audited(models.Model):
    """A row whose every change is an entry of the audit, in the same transaction."""

    #: Fields that change without anybody's doing, or that other tables tell better.
    audit_ignored: ClassVar[frozenset[str]] = frozenset()
    #: Fields of which only is told that they have changed.
    audit_secret: ClassVar[frozenset[str]] = frozenset()

    class Meta:
        abstract = True

    def audit_root(self) -> models.Model:
        """The object that this row is a part of, under which people look for its changes."""
        return self

    def save_base(self, *args: Any, **kwargs: Any) -> None:
        names = _named(type(self), kwargs.get("update_fields"))
        if not names:
            super().save_base(*args, **kwargs)
            return
        with recording() as record:
            before = None if self._state.adding else _kept(self)
            super().save_base(*args, **kwargs)
            _note(record, self, before, names)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        with recording():
            return super().delete(*args, **kwargs)


class AuditedQuerySet(models.QuerySet[M]):
    """Rows of an audited model: what changes many of them at once is noted row by row."""

    def update(self, **values: Any) -> int:
        names = _named(self.model, values)
        if not names:
            return super().update(**values)
        with recording() as record:
            before = {row.pk: row for row in _all(self).select_for_update()}
            changed = super().update(**values)
            for row in _base(self.model).filter(pk__in=list(before)):
                _note(record, row, before[row.pk], names)
            return changed

    def bulk_create(self, objs: Iterable[M], *args: Any, **kwargs: Any) -> list[M]:
        with recording() as record:
            made = super().bulk_create(objs, *args, **kwargs)
            for row in made:
                _note(record, row, None, _tracked(self.model))
            return made

    def delete(self) -> tuple[int, dict[str, int]]:
        with recording():
            return super().delete()


def _all(rows: "models.QuerySet[M]") -> "models.QuerySet[M]":
    """Whole rows, without what a list may have joined or left out."""
    return _base(rows.model).filter(pk__in=rows.order_by().values("pk"))


def _base(model: type[M]) -> "models.QuerySet[M]":
    found: models.QuerySet[M] = model._base_manager.all()
    return found


def _kept(row: M) -> M | None:
    return _base(type(row)).select_for_update().filter(pk=row.pk).first()


@cache
def _tracked(model: type[models.Model]) -> tuple[str, ...]:
    """The columns that people and programs set."""
    ignored: frozenset[str] = getattr(model, "audit_ignored", frozenset())
    return tuple(
        field.attname
        for field in model._meta.concrete_fields
        if not field.primary_key
        and not getattr(field, "auto_now", False)
        and not getattr(field, "auto_now_add", False)
        and not field.generated
        and field.name not in ignored
    )


def _named(model: type[models.Model], fields: Iterable[str] | None) -> tuple[str, ...]:
    """Those tracked columns that a write of `fields` may change; None is all."""
    if fields is None:
        return _tracked(model)
    wanted = {model._meta.get_field(name).attname for name in fields if name != "pk"}  # type: ignore[union-attr]
    return tuple(name for name in _tracked(model) if name in wanted)


def _note(
    record: Record, row: models.Model, before: models.Model | None, names: Sequence[str]
) -> None:
    old = _values(before, names) if before is not None else {}
    new = _values(row, names)
    changed = [name for name in names if before is None or old[name] != new[name]]
    if not changed:
        return
    record.add(
        Change(
            root=_root(row),
            row=Thing.of(row),
            verb="add" if before is None else "change",
            before=_by_name(row, {name: old[name] for name in changed if name in old}),
            after=_by_name(row, {name: new[name] for name in changed}),
            secret=_secret(row),
        )
    )


def _root(row: models.Model) -> Thing:
    whole: Callable[[], models.Model] | None = getattr(row, "audit_root", None)
    try:
        return Thing.of(whole() if whole else row)
    except ObjectDoesNotExist:
        return Thing.of(row)


def _values(row: models.Model, names: Iterable[str]) -> _Values:
    return {name: _plain(row, name) for name in names}


def _plain(row: models.Model, name: str) -> Any:
    """The value as JSON, alike whether it was set by a program or read from a database."""
    field = row._meta.get_field(name)
    value = getattr(row, name)
    if isinstance(field, models.Field) and not field.is_relation and value is not None:
        value = field.to_python(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).isoformat()
    if isinstance(value, list | dict):
        return json.loads(json.dumps(value, default=str))
    return str(value)


def _by_name(row: models.Model, values: _Values) -> _Values:
    return {row._meta.get_field(name).name: value for name, value in values.items()}


def _secret(row: models.Model) -> frozenset[str]:
    found: frozenset[str] = getattr(row, "audit_secret", frozenset())
    return found


# --- what has no hook of its own: deletions by cascade, relations of many to many, Django's groups ---


def connect() -> None:
    from django.apps import apps

    for model in apps.get_models():
        if not issubclass(model, Audited | Group):
            continue
        pre_delete.connect(_deleted, sender=model, dispatch_uid=f"audit {model._meta.label}")
        for relation in model._meta.many_to_many:
            m2m_changed.connect(_related, sender=relation.remote_field.through)
    pre_save.connect(_group_is_saved, sender=Group)
    post_save.connect(_group_was_saved, sender=Group)


def _deleted(sender: Any, instance: models.Model, **_of_signal: Any) -> None:
    with recording() as record:
        names = _tracked(type(instance))
        before = _by_name(instance, _values(instance, names))
        row = Thing.of(instance)
        record.add(Change(_root(instance), row, "delete", before, {}, _secret(instance)))


def _group_is_saved(instance: Group, **_of_signal: Any) -> None:
    instance._audited = None if instance._state.adding else _kept(instance)  # type: ignore[attr-defined]


def _group_was_saved(instance: Group, **_of_signal: Any) -> None:
    with recording() as record:
        _note(record, instance, instance._audited, _tracked(Group))  # type: ignore[attr-defined]


def _related(sender: Any, instance: models.Model, action: str, **of_signal: Any) -> None:
    """Groups of a user, rights of a group: noted from the side that has the list."""
    if of_signal["reverse"]:
        return
    name = next(
        each.name for each in instance._meta.many_to_many if each.remote_field.through is sender
    )
    held = sorted(str(each) for each in getattr(instance, name).all())
    if action.startswith("pre_"):
        instance.__dict__.setdefault("_audited_lists", {})[name] = held
        return
    before = instance.__dict__.get("_audited_lists", {}).pop(name, [])
    if before != held:
        with recording() as record:
            record.add(
                Change(_root(instance), Thing.of(instance), "change", {name: before}, {name: held})
            )
