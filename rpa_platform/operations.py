"""What machines ask the server: whether it lives, and its figures."""

import secrets

from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from django_prometheus.exports import ExportToDjangoView

from accounts.authentication import bearer_token
from accounts.problems import answer


@require_safe
def health(request: HttpRequest) -> HttpResponse:
    """200 where the database answers, 503 where it does not. Says nothing else, and needs no sign-in."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return JsonResponse({"status": "database unreachable"}, status=503)
    return JsonResponse({"status": "ok"})


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus' figures, for operators in the browser and for RPA_METRICS_TOKEN."""
    token = bearer_token(request.headers.get("Authorization", ""))
    by_token = bool(settings.RPA_METRICS_TOKEN) and secrets.compare_digest(
        token.encode(), settings.RPA_METRICS_TOKEN.encode()
    )
    if not by_token and not (request.user.is_active and request.user.is_staff):
        return answer(404, "Not found.", code="not_found")
    response: HttpResponse = ExportToDjangoView(request)
    return response
