"""What holds for every request: how it is read, that a session was used, who needs a second factor first."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.common import CommonMiddleware
from django.shortcuts import redirect
from django.utils.http import escape_leading_slashes
from django.utils.translation import gettext as _

from accounts import sessions
from accounts.problems import answer
from accounts.second_factor import is_lacking

_Next = Callable[[HttpRequest], HttpResponseBase]
#: Where one gets a second factor, and what is needed on the way.
_OPEN = {
    "mfa_index",
    "mfa_activate_totp",
    "mfa_add_webauthn",
    "account_reauthenticate",
    "account_logout",
    "set_language",
    "health",
    "metrics",
}


def read_as_utf8(get_response: _Next) -> _Next:
    """Every form is read as UTF-8, as browsers send it.

    The charset that a Content-Type names may be none of text at all ("hex"), which breaks the reading.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        request.encoding = settings.DEFAULT_CHARSET
        return get_response(request)

    return middleware


class FinishAddress(CommonMiddleware):
    """An address without its last slash is the one with it: who only reads is sent there by a 301.

    Clients repeat what was sent to a 301 as a GET, and lose it. After a 308 they send it again.
    """

    def get_full_path_with_slash(self, request: HttpRequest) -> str:
        """Also in debug mode, where Django's own raises for what has a body, because that would be lost."""
        return escape_leading_slashes(request.get_full_path(force_append_slash=True))

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> Any:
        answer = super().process_response(request, response)
        if answer is not response and request.method not in ("GET", "HEAD"):
            answer.status_code = HTTPStatus.PERMANENT_REDIRECT
        return answer


def note_session(get_response: _Next) -> _Next:
    """Sessions know when they were last used."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        # Only where the view has read it: what needs no session shall not cost one.
        if request.session.accessed:
            sessions.note_use(request)
        return response

    return middleware


class DemandSecondFactor:
    """A session whose user has to have a second factor opens nothing until they have set one up."""

    def __init__(self, get_response: _Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Any, arguments: Any, named: Any
    ) -> HttpResponse | None:
        if settings.RPA_REQUIRE_MFA == "none" or request.headers.get("Authorization"):
            return None
        match = request.resolver_match
        if match is not None and match.view_name in _OPEN:
            return None
        if not request.user.is_authenticated or not is_lacking(request.user):
            return None
        if request.path.startswith(("/api/", "/rpa/")):
            message = _("Your account needs a second factor first: set one up in the browser.")
            return answer(403, message, code="second_factor_required")
        return redirect("mfa_index")
