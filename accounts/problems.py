"""Errors as problem details (RFC 9457): what went wrong, where, and what to do."""

import logging
import math
import sys
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from accounts.databases import is_away
from accounts.refusals import Refused

logger = logging.getLogger(__name__)

_CONTENT_TYPE = "application/problem+json"
#: In seconds: a database that was restarted is back in no more, as a rule.
_AGAIN_AFTER = "1"


def problem(
    status: int, detail: Any, *, code: str, more: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The members of a problem: `code` is ours, stable, and what programs should look at."""
    return {
        "type": f"urn:rpa-platform:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": _sendable(str(detail)),
        "code": code,
        **_sendable(more or {}),
    }


def _sendable(value: Any) -> Any:
    """`value` with `?` for lone surrogates: an error may quote what was sent, and no UTF-8 has those."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_sendable(name): _sendable(each) for name, each in value.items()}
    return [_sendable(each) for each in value] if isinstance(value, list) else value


def problem_response(error: Exception, context: dict[str, Any]) -> Response | None:
    """REST framework's exception handler: every error that has a meaning becomes a problem."""
    if isinstance(error, Refused):
        set_rollback()
        body = problem(error.status, error, code=error.code, more=error.details)
        refusal = Response(body, status=error.status, content_type=_CONTENT_TYPE)
        if error.status == HTTPStatus.TOO_MANY_REQUESTS:
            refusal["Retry-After"] = str(error.details.get("seconds", 1))
        return refusal
    if is_away(error):
        set_rollback()
        logger.warning("The database does not answer: %s", error)
        return Response(
            _database_problem(),
            status=HTTPStatus.SERVICE_UNAVAILABLE,
            headers={"Retry-After": _AGAIN_AFTER},
            content_type=_CONTENT_TYPE,
        )
    if isinstance(error, Http404):
        error = exceptions.NotFound(_("Not found."))
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    if not isinstance(error, exceptions.APIException):
        return None
    set_rollback()
    response = Response(
        _of_api_exception(error), status=error.status_code, content_type=_CONTENT_TYPE
    )
    if header := getattr(error, "auth_header", None):
        response["WWW-Authenticate"] = header
    if isinstance(error, exceptions.Throttled):
        response["Retry-After"] = str(max(1, math.ceil(getattr(error, "wait", None) or 0)))
    return response


def _database_problem() -> dict[str, Any]:
    message = _("The database does not answer. Try again in a moment.")
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, message, code="database_unavailable")


def _of_api_exception(error: exceptions.APIException) -> dict[str, Any]:
    if isinstance(error, exceptions.ValidationError):
        errors = list(_flat(error.detail, ""))
        detail = f"{errors[0]['where']}: {errors[0]['message']}" if errors else str(error)
        return problem(error.status_code, detail, code="invalid", more={"errors": errors})
    code = error.get_codes()
    return problem(error.status_code, error.detail, code=code if isinstance(code, str) else "error")


def _flat(detail: Any, where: str) -> list[dict[str, str]]:
    """Every message of nested validation errors with the path of what it is about."""
    if isinstance(detail, dict):
        items = [(f"{where}.{key}" if where else str(key), value) for key, value in detail.items()]
    elif isinstance(detail, list):
        items = [(where, value) for value in detail]
    else:
        return [{"where": where or "body", "message": str(detail)}]
    return [each for path, value in items for each in _flat(value, path)]


def refused(error: Refused) -> HttpResponse:
    """A refusal as a problem, for doors outside REST framework."""
    return answer(error.status, error, code=error.code, more=error.details)


def answer(
    status: int, detail: Any, *, code: str, more: dict[str, Any] | None = None
) -> HttpResponse:
    return _as_response(problem(status, detail, code=code, more=more))


def _as_response(body: dict[str, Any]) -> HttpResponse:
    status = body["status"]
    response = JsonResponse(body, status=status, content_type=_CONTENT_TYPE)
    if status == HTTPStatus.UNAUTHORIZED:
        response["WWW-Authenticate"] = 'Bearer realm="api"'
    return response


def _wants_json(request: HttpRequest) -> bool:
    return request.path.startswith(("/api/", "/rpa/"))


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if isinstance(exception, RequestDataTooBig):
        return too_large(request)
    if _wants_json(request):
        return answer(400, _("The request is malformed."), code="malformed")
    return render(request, "400.html", status=400)


def too_large(request: HttpRequest) -> HttpResponse:
    if _wants_json(request):
        return answer(413, _("The request is larger than the server takes."), code="too_large")
    return render(request, "413.html", status=413)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _wants_json(request):
        return answer(404, _("Not found."), code="not_found")
    return render(request, "404.html", status=404)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _wants_json(request):
        return answer(403, _("This is not allowed."), code="forbidden")
    return render(request, "403.html", status=403)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django calls it while it handles the error, wherever that arose: in a view or on the way to one."""
    if is_away(sys.exception()):
        return _database_away(request)
    if _wants_json(request):
        message = _("Something broke on our side; it was logged.")
        return answer(500, message, code="server_error")
    return render(request, "500.html", status=500)


def _database_away(request: HttpRequest) -> HttpResponse:
    if _wants_json(request):
        response = _as_response(_database_problem())
    else:
        response = render(request, "503.html", status=HTTPStatus.SERVICE_UNAVAILABLE)
    response["Retry-After"] = _AGAIN_AFTER
    return response
