"""What holds for every request before anything reads it."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

_Next = Callable[[HttpRequest], HttpResponseBase]


def read_as_utf8(get_response: _Next) -> _Next:
    """Every form is read as UTF-8, as browsers send it.

    The charset that a Content-Type names may be none of text at all ("hex"), which breaks the reading.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        request.encoding = settings.DEFAULT_CHARSET
        return get_response(request)

    return middleware
