"""How often somebody may look for people: accounts are nobody's to collect. The API and the pages count together."""

from typing import Any, cast

from django.http import HttpRequest
from django.utils.translation import gettext as _
from rest_framework.throttling import ScopedRateThrottle

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
