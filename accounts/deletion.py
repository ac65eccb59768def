"""What the deletion of a user does to their memberships."""

from typing import Any

from django.db.models import CASCADE, ProtectedError


def cascade_unless_first(collector: Any, field: Any, sub_objs: Any, using: str) -> None:
    """Memberships go with their user, but nobody goes who is the first of something: they hand that over before."""
    first = sub_objs.filter(role=1)
    if first.exists():
        raise ProtectedError("The officer of an enterprise, or the owner of a space.", set(first))
    CASCADE(collector, field, sub_objs, using)
