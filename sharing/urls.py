"""The addresses of shares."""

from typing import Any

from django.urls import path

from sharing.api import Shared, Shares

_LIST: Any = {"get": "list", "post": "create"}
_ONE: Any = {"get": "retrieve"}
_EVENTS: Any = {"get": "events"}
_OFF: Any = {"post": "off"}
_ON: Any = {"post": "on"}

urlpatterns = [
    path("shares/", Shares.as_view(_LIST), name="shares"),
    path("shares/<str:key>/", Shared.as_view(_ONE), name="share"),
    path("shares/<str:key>/events/", Shared.as_view(_EVENTS), name="share-events"),
    path("shares/<str:key>/off/", Shares.as_view(_OFF), name="share-off"),
    path("shares/<str:key>/on/", Shares.as_view(_ON), name="share-on"),
]
