"""The ways in which the platform says no. Every door turns these into its own form, with one meaning."""

from collections.abc import Mapping
from typing import Any


class Refused(Exception):
    """The request is understood and cannot be granted now. `code` is stable; the text is for people.

    `status` is the HTTP status that a door answers with; `details` is JSON that programs may read.
    """

    status = 409
    code = "refused"

    def __init__(self, message: Any, *, code: str = "", details: Mapping[str, Any] | None = None):
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.details = dict(details or {})

    def __str__(self) -> str:
        return str(self.message)


class Invalid(Refused):
    """What was sent breaks a rule that its sender can mend; `details["errors"]` says where."""

    status = 422
    code = "invalid"


class Forbidden(Refused):
    """The object may be seen, the deed may not be done."""

    status = 403
    code = "forbidden"


class NotFound(Refused):
    """Absent, or not to be seen: both answer alike."""

    status = 404
    code = "not_found"


class TooLarge(Refused):
    """A limit on size was passed; the text names the limit."""

    status = 413
    code = "too_large"


class Unavailable(Refused):
    """A part that this needs is not there now; the text says which and how to mend it."""

    status = 503
    code = "unavailable"
