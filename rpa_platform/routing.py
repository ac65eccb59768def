"""Where the websockets live."""

from typing import Any, cast

from django.urls import path, re_path

from executions.consumers import ExecutionConsumer, MultiplexConsumer, UnknownPath

websocket_urlpatterns = [
    path("ws/", cast(Any, MultiplexConsumer.as_asgi())),
    path("ws/executions/<uuid:uid>/", cast(Any, ExecutionConsumer.as_asgi())),
    re_path(r"", cast(Any, UnknownPath.as_asgi())),
]
