"""Each request is a scene: its door, its address, and whoever sent it."""

import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib.admindocs.views import simplify_regex
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import ResolverMatch

from audit import recording, scenes
from audit.choices import Door
from audit.recording import MASK
from audit.scenes import NOBODY, Scene, Who, address_of, who_is

_DOORS = {"/api/": Door.API, "/admin/": Door.ADMIN, "/rpa/": Door.INTEROP}
_SAFE = {"GET", "HEAD", "OPTIONS", "TRACE"}
_REFUSALS = {401, 403, 404, 429}
_LONGEST_PATH = 300
#: What routes call the numbers and uids of things, where no converter says that it is one.
_NUMBERED = {"pk", "uid", "artifact", "object_id"}
_NUMBER = re.compile(r"\d{1,19}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PART = re.compile(r"<(?:\w+:)?(\w+)>")

_Next = Callable[[HttpRequest], HttpResponseBase]


def set_scene(get_response: _Next) -> _Next:
    """Let the audit know where a request comes from, and tell it of those that were turned away."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        opened = scene_of(request)
        with scenes.scene(opened):
            response = get_response(request)
            recording.flush(opened)
            turned_away = request.method not in _SAFE and response.status_code in _REFUSALS
            # An address that does not exist is no privilege that somebody tried to have.
            if turned_away and not opened.refused and request.resolver_match is not None:
                about = {
                    "method": request.method,
                    "path": _address(request.resolver_match)[:_LONGEST_PATH],
                    "status": response.status_code,
                }
                recording.refused(about, action="request")
        return response

    return middleware


def _address(match: ResolverMatch) -> str:
    """The path as entries tell it: filled in are numbers and uids alone. Any other part may open a door."""

    def shown(part: "re.Match[str]") -> str:
        value = match.kwargs.get(part[1])
        return str(value) if _is_number(part[1], value) else MASK

    return _PART.sub(shown, str(simplify_regex(match.route)))


def _is_number(name: str, value: Any) -> bool:
    if isinstance(value, int):
        return True
    told = name in _NUMBERED and isinstance(value, str | UUID)
    return told and _NUMBER.fullmatch(str(value)) is not None


def scene_of(request: HttpRequest) -> Scene:
    door = next(
        (door for start, door in _DOORS.items() if request.path.startswith(start)), Door.PAGE
    )

    def ask() -> Who:
        return who_is(request.user) if hasattr(request, "user") else NOBODY

    return Scene(door, address_of(request), ask)
