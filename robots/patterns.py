"""How long a text may be for a given regular expression to be matched in bounded time.

Python's matcher backtracks, and holds the interpreter while it does: `(a+)+$` and thirty characters stop the whole
server. So the number of ways in which a pattern can match is estimated from its parsed form.
"""

from __future__ import annotations

import math
import re
import warnings
from functools import lru_cache
from typing import Any

from django.utils.translation import gettext as _

MAX_PATTERN = 300
MAX_STEPS = 50_000_000
MAX_TEXT = 1_000_000
# More ways than these, apart from those that grow with the text, are an explosion in disguise.
_MAX_FIXED_WAYS = 10_000


class PatternRefused(ValueError):
    """The pattern is none, or may take forever."""


@lru_cache(maxsize=512)
def longest_text(pattern: str) -> int:
    """The length of text up to which searching for `pattern` stays below `MAX_STEPS`."""
    if len(pattern) > MAX_PATTERN:
        raise PatternRefused(_("it is longer than %(limit)d characters.") % {"limit": MAX_PATTERN})
    parser: Any = re._parser  # type: ignore[attr-defined]
    try:
        with warnings.catch_warnings(action="error"):
            re.compile(pattern)
            parsed = parser.parse(pattern)
    except (re.error, RecursionError, OverflowError, Warning) as error:
        raise PatternRefused(
            _("it is no regular expression (%(problem)s).") % {"problem": error}
        ) from error
    ways, degree = _sequence(list(parsed))
    first = next(iter(parsed), None)
    anchored = (
        first is not None
        and str(first[0]) == "AT"
        and str(first[1]) in {"AT_BEGINNING", "AT_BEGINNING_STRING"}
    )
    degree += 0 if anchored else 1
    length = (MAX_STEPS * math.factorial(degree) / ways) ** (1 / degree) if degree else MAX_TEXT
    if length < 50:
        raise PatternRefused(
            _("matching it may take too long. Use fewer '*' and '+', and begin it with '^'.")
        )
    return min(int(length), MAX_TEXT)


def _sequence(nodes: list[Any]) -> tuple[int, int]:
    """In how many ways the nodes can match, as factor * length ** degree."""
    ways, degree = 1, 0
    for node in nodes:
        node_ways, node_degree = _node(str(node[0]), node[1])
        ways, degree = ways * node_ways, degree + node_degree
        if ways > _MAX_FIXED_WAYS or degree > 6:
            raise PatternRefused(_("it can match in too many ways."))
    return ways, degree


def _node(kind: str, argument: Any) -> tuple[int, int]:
    if kind in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
        return _repeat(*argument)
    if kind == "BRANCH":
        branches = [_sequence(list(branch)) for branch in argument[1]]
        beginnings = {
            str(branch[0])
            for branch in argument[1]
            if len(branch) and str(branch[0][0]) == "LITERAL"
        }
        # Branches that begin with different letters never match at the same place.
        choices = max if len(beginnings) == len(branches) else sum
        return choices(ways for ways, _degree in branches), max(
            degree for _ways, degree in branches
        )
    if kind == "SUBPATTERN":
        return _sequence(list(argument[3]))
    if kind == "ATOMIC_GROUP":
        return _sequence(list(argument))
    if kind in {"ASSERT", "ASSERT_NOT"}:
        return _sequence(list(argument[1]))
    if kind in {"GROUPREF", "GROUPREF_EXISTS"}:
        raise PatternRefused(_("it refers back to a group."))
    return 1, 0


def _repeat(least: int, most: int, body: Any) -> tuple[int, int]:
    ways, degree = _sequence(list(body))
    if most > 100:
        if degree or ways > 1:
            raise PatternRefused(_("it repeats a part that can itself match in several ways."))
        return 1, 1
    if degree and most > 1:
        raise PatternRefused(_("it repeats a part that can itself match in several ways."))
    total = sum(ways**count for count in range(least, most + 1)) if ways > 1 else most - least + 1
    return total, degree if most else 0
