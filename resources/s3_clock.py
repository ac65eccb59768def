"""Requests to an S3 server are signed by its time: it refuses whoever's clock is a quarter of an hour off.

How far ours is off is told by the head of such a refusal, and the request is sent once more.
"""

from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from botocore.auth import AUTH_TYPE_MAPS, SIGV4_TIMESTAMP, S3SigV4Auth

_SIGNATURE = "s3v4-by-its-time"
#: The least that servers refuse is some minutes; heads tell whole seconds.
_TOLERATED = timedelta(minutes=1)
_AHEAD, _OURS = "server_ahead", "our_timestamp"


class _Signed(S3SigV4Auth):  # type: ignore[misc]
    """Signed with the time that the request's context says it is there."""

    def _modify_request_before_signing(self, request: Any) -> None:
        context = request.context
        context[_OURS] = context["timestamp"]
        context["timestamp"] = _text(_time(context[_OURS]) + context[_AHEAD])
        super()._modify_request_before_signing(request)


AUTH_TYPE_MAPS[_SIGNATURE] = _Signed


class ServerClock:
    """How far the clock of one client's server is ahead of ours. Threads may share it."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def attend(self, client: Any) -> None:
        """Sign what this client sends from now on; not what it signs for others to send."""
        client.meta.events.register_first("choose-signer.s3", self._sign)
        client.meta.events.register_first("needs-retry.s3", self._learn)

    def _sign(self, *, context: dict[str, Any], **_told: Any) -> str:
        context[_AHEAD] = self._ahead
        return _SIGNATURE

    def _learn(self, *, response: Any, request_dict: dict[str, Any], **_told: Any) -> float | None:
        """After how many seconds the request is to be sent again; None where the clock is not the reason."""
        if response is None or response[0].status_code != HTTPStatus.FORBIDDEN:
            return None
        context, told = request_dict["context"], response[0].headers.get("Date")
        if not told or _OURS not in context:
            return None
        theirs = parsedate_to_datetime(told).replace(tzinfo=None)
        if abs(theirs - _time(context["timestamp"])) < _TOLERATED:
            return None
        self._ahead = theirs - _time(context[_OURS])
        return 0.0


def _time(text: str) -> datetime:
    """UTC, as everything here; without saying so, as botocore has it."""
    return datetime.strptime(text, SIGV4_TIMESTAMP)  # noqa: DTZ007


def _text(time: datetime) -> str:
    return time.strftime(SIGV4_TIMESTAMP)
