"""How often somebody may look for people: accounts are nobody's to collect. The API and the pages count together.

A table tells of each row whether there is such an account: its rows are counted, too, and those in the database.
"""

from math import ceil
from typing import Any, cast

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext as _
from rest_framework.throttling import ScopedRateThrottle

from accounts.actors import Actor
from accounts.attempts import Limit, TooManyAttempts, spend
from accounts.refusals import Refused

SCOPE = "people"


class TooOften(Refused):
    status = 429
    code = "throttled"


class _Search:
    """What the throttle wants to know of a view."""

    throttle_scope = SCOPE


def require_pace(request: HttpRequest) -> None:
    """Count a search by the reader of a page, or raise TooOften."""
    throttle = ScopedRateThrottle()
    if not throttle.allow_request(cast("Any", request), cast("Any", _Search())):
        seconds = int(throttle.wait() or 0) + 1
        raise TooOften(
            _("You have looked for people too often. Try again in %(seconds)d seconds.")
            % {"seconds": seconds}
        )


def spend_rows(count: int, *, by: Actor) -> None:
    """Count the rows of a table that `by` has sent, or raise TooOften and count none. Operators see everybody anyway."""
    if by.is_operator:
        return
    most, window = ScopedRateThrottle().parse_rate(settings.RPA_INVITE_RATE)
    if most is None or window is None:
        return
    try:
        spend(Limit("rows of tables", by.user.uid, most, window), count)
    except TooManyAttempts as error:
        raise TooOften(
            _("Your tables name too many people: the limit is %(rate)s. Wait %(minutes)d minutes.")
            % {"rate": settings.RPA_INVITE_RATE, "minutes": ceil(error.seconds / 60)},
            details={"seconds": error.seconds},
        ) from None
