"""What the deletion of people takes away, found by one statement however much of it there is."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from django.contrib import admin
from django.db import models
from django.db.models import CASCADE, PROTECT, Exists, OuterRef, ProtectedError, QuerySet
from django.db.models.deletion import get_candidate_relations_to_delete
from django.http import HttpRequest
from django.utils.translation import gettext as _

from accounts.deletion import cascade_unless_first
from accounts.models import User
from accounts.purging import StillNeeded


class _Tie(NamedTuple):
    """Rows that refer to a user: how to find them, and whether they go with them or hold them."""

    model: type[models.Model]
    where: dict[str, Any]
    goes: bool

    @property
    def name(self) -> str:
        return str(self.model._meta.verbose_name_plural)


def _ties(model: type[models.Model], below: str = "", outer: str = "") -> Iterator[_Tie]:
    """All that refers to a user, or to what goes with one. What only forgets them is left out."""
    every: Iterable[Any] = get_candidate_relations_to_delete(model._meta)
    for relation in every:
        field, deed = relation.field, relation.on_delete
        key = outer or field.target_field.attname
        path = f"{field.name}__{below}" if below else field.attname
        where = {path: OuterRef(key)}
        if deed is PROTECT:
            yield _Tie(field.model, where, goes=False)
        elif deed is cascade_unless_first:
            yield _Tie(field.model, where | {"role": 1}, goes=False)
        if deed in (CASCADE, cascade_unless_first):
            yield _Tie(field.model, where, goes=True)
            yield from _ties(field.model, path, key)


class DeletesPeople:
    """For the ModelAdmin of users: the page that asks again names kinds of things, and counts none of them.

    Django's own looks each of them up, which takes a query a kind and all that a long history holds.
    """

    def get_deleted_objects(
        self, objs: Iterable[Any], request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[str]]:
        """What goes with each, and of what they are needed by."""
        people = list(objs)
        ties = list(_ties(User))
        found = User.objects.filter(pk__in=[user.pk for user in people]).annotate(
            **{
                f"tie_{number}": Exists(tie.model._base_manager.filter(**tie.where))
                for number, tie in enumerate(ties)
            }
        )
        shown: list[Any] = []
        missing: set[str] = set()
        holding: list[str] = []
        for user in found.order_by("username"):
            here = [tie for number, tie in enumerate(ties) if getattr(user, f"tie_{number}")]
            going = [tie for tie in here if tie.goes and not tie.model._meta.auto_created]
            shown += [str(user), sorted({tie.name for tie in going})]
            holding += [f"{user}: {name}" for name in sorted({t.name for t in here if not t.goes})]
            kinds = [tie.model for tie in going if not _may_delete(tie.model, request)]
            if not self.has_delete_permission(request, user):  # type: ignore[attr-defined]
                kinds.append(User)
            missing |= {str(kind._meta.verbose_name) for kind in kinds}
        plural = str(User._meta.verbose_name_plural)
        return shown, {plural: len(people)}, missing, holding

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        with _needed():
            super().delete_model(request, obj)  # type: ignore[misc]

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        with _needed():
            super().delete_queryset(request, queryset)  # type: ignore[misc]


def _may_delete(model: type[models.Model], request: HttpRequest) -> bool:
    """What no page of the admin shows goes with whom it belongs to."""
    page = admin.site._registry.get(model)
    return page is None or page.has_delete_permission(request)


@contextmanager
def _needed() -> Iterator[None]:
    """What has come in after the page was made is said, too."""
    try:
        yield
    except ProtectedError as error:
        others = sorted({str(each._meta.verbose_name_plural) for each in error.protected_objects})
        said = _("%(name)s is still needed by: %(others)s.")
        name = str(User._meta.verbose_name)
        raise StillNeeded(said % {"name": name, "others": ", ".join(others)}) from None
