"""Each request is a scene: its door, its address, and whoever sent it."""

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from audit import recording, scenes
from audit.choices import Door
from audit.scenes import NOBODY, Scene, Who, address_of, who_is

_DOORS = {"/api/": Door.API, "/admin/": Door.ADMIN, "/rpa/": Door.INTEROP}
_SAFE = {"GET", "HEAD", "OPTIONS", "TRACE"}
_REFUSALS = {401, 403, 404, 429}
_LONGEST_PATH = 300

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
                    "path": request.path[:_LONGEST_PATH],
                    "status": response.status_code,
                }
                recording.refused(about, action="request")
        return response

    return middleware


def scene_of(request: HttpRequest) -> Scene:
    door = next(
        (door for start, door in _DOORS.items() if request.path.startswith(start)), Door.PAGE
    )

    def ask() -> Who:
        return who_is(request.user) if hasattr(request, "user") else NOBODY

    return Scene(door, address_of(request), ask)
