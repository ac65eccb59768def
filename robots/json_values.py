"""JSON from strangers: read strictly, bounded, and made safe to store and to send."""

import json
from typing import Any

from django.utils.translation import gettext as _

#: Deeper values break the JSON readers of some clients (and Python's own, much later).
MAX_DEPTH = 100


class BadJson(ValueError):
    """The text is no JSON that this platform takes; the message says why."""


def read_json(text: str | bytes, *, limit: int) -> Any:
    """The value of `text`: at most `limit` bytes and MAX_DEPTH levels, no NaN, no lone surrogates."""
    size = len(text)
    if size > limit:
        raise BadJson(
            _("It has %(size)d bytes; %(limit)d is the limit.") % {"size": size, "limit": limit}
        )
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise _too_deep() from None
    except json.JSONDecodeError as error:
        at = {"line": error.lineno, "column": error.colno}
        raise BadJson(_("It is not valid JSON (line %(line)d, column %(column)d).") % at) from None
    except ValueError as error:
        raise BadJson(str(error)) from None
    return clean(value)


def clean(value: Any) -> Any:
    """`value`, parsed from JSON elsewhere, with lone surrogates replaced; raises BadJson as read_json does."""
    _check_depth(value)
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise BadJson(_("It has a number that is not finite.")) from None
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.loads(text.encode("utf-8", "replace"))
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(_("%(name)s is not JSON.") % {"name": name})


def _too_deep() -> BadJson:
    return BadJson(_("It nests deeper than %(limit)d levels.") % {"limit": MAX_DEPTH})


def _check_depth(value: Any) -> None:
    level = [value]
    for _depth in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if not below:
            return
        level = below
    raise _too_deep()
