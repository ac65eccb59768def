"""By which addresses a machine joins the fleet: a script to be piped into a shell, the sources, the settings."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.template.loader import render_to_string
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe

from accounts.authentication import bearer_token
from accounts.problems import refused
from accounts.refusals import Refused
from audit.scenes import address_of
from executions.enrolment import check_token, redeem_token

#: What a runner is made of; everything else, such as data, keys and `.env`, stays here.
_SOURCES = (
    *("manage.py", "Makefile", "requirements.txt", "requirements-dev.txt", "constraints.txt"),
    *("pyproject.toml", "scripts", "locale", "static", "templates", "rpa_platform"),
)
_LEFT_OUT = {"__pycache__", ".env"}


@require_safe
def script(request: HttpRequest) -> HttpResponse:
    """What sets a machine up as a runner. It holds no secret: the token is in the variable TOKEN."""
    text = render_to_string("runners/join.sh", {"url": settings.RPA_BASE_URL})
    return HttpResponse(text, content_type="text/x-shellscript; charset=utf-8")


@require_safe
def sources(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """The platform's own code as this server runs it, for who has a token that may still be redeemed."""
    try:
        check_token(bearer_token(request.headers.get("Authorization", "")))
    except Refused as error:
        return refused(error)
    return StreamingHttpResponse(_packed(), content_type="application/gzip")


@csrf_exempt
@require_POST
def join(request: HttpRequest) -> HttpResponse:
    """The settings of a new runner, once for each token."""
    try:
        told = redeem_token(
            bearer_token(request.headers.get("Authorization", "")), address=address_of(request)
        )
    except Refused as error:
        return refused(error)
    answer = JsonResponse(told)
    answer["Cache-Control"] = "no-store"
    return answer


def _packed() -> Iterator[bytes]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path in _files():
            archive.add(path, arcname=str(path.relative_to(settings.BASE_DIR)), filter=_plain)
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _files() -> Iterator[Path]:
    apps = {name.partition(".")[0] for name in settings.INSTALLED_APPS}
    for name in sorted({*_SOURCES, *apps}):
        root = settings.BASE_DIR / name
        found = [root] if root.is_file() else sorted(root.rglob("*"))
        for path in found:
            inside = path.relative_to(settings.BASE_DIR).parts
            if path.is_file() and not path.is_symlink() and not _LEFT_OUT & set(inside):
                yield path


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info
