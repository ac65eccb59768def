"""Response headers that hold for every page and file, and who may open a socket."""

from typing import Any
from wsgiref.headers import Headers

from channels.security.websocket import OriginValidator
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin
from servestatic import ServeStaticASGI

#: Pictures that runs have left may come from the storage itself.
_OWN = (
    f"default-src 'self'; img-src 'self' data: blob: {settings.RPA_STORAGE_PUBLIC_URL}".rstrip()
    + "; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
#: The built-in admin's theme evaluates Alpine expressions and styles elements in place.
_ADMIN = (
    f"{_OWN}; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'"
)
_API_PAGE = f"{_OWN}; style-src 'self' 'unsafe-inline'"


class ContentSecurityPolicyMiddleware(MiddlewareMixin):
    """Adds the policy of the page's part of the site, unless the view has set its own."""

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        policy = _OWN
        if request.path.startswith("/admin/"):
            policy = _ADMIN
        elif request.path.startswith("/api/v1/docs"):
            policy = _API_PAGE
        response.headers.setdefault("Content-Security-Policy", policy)
        return response


def static_files(application: Any) -> Any:
    """`application`, behind the collected static files: they need no database, session or thread of it."""
    return ServeStaticASGI(
        application,
        root=settings.STATIC_ROOT,
        prefix=settings.STATIC_URL,
        add_headers_function=_protect_file,
    )


def _protect_file(headers: Headers, path: str, url: str) -> None:
    headers["Content-Security-Policy"] = _OWN
    headers["X-Content-Type-Options"] = "nosniff"


class ForeignPageRefused(OriginValidator):  # type: ignore[misc]
    """Lets no page of another site open a socket with its visitor's cookies.

    Browsers always say which page asks. What says nothing is a program, which has only its key.
    """

    def valid_origin(self, parsed_origin: Any) -> bool:
        return parsed_origin is None or bool(super().valid_origin(parsed_origin))
