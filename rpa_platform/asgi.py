"""The ASGI application: pages, API and sockets; with the embedded engine, the runner as well."""

import atexit
import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rpa_platform.settings")
django.setup(set_prefix=False)

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.sessions import CookieMiddleware  # noqa: E402
from django.conf import settings  # noqa: E402

from executions import engine  # noqa: E402
from rpa_platform.handler import PlatformHandler, on_shared_threads  # noqa: E402
from rpa_platform.routing import websocket_urlpatterns  # noqa: E402
from rpa_platform.security import ForeignPageRefused, static_files  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": static_files(PlatformHandler()),
        "websocket": on_shared_threads(
            ForeignPageRefused(
                CookieMiddleware(URLRouter(websocket_urlpatterns)), settings.ALLOWED_HOSTS
            )
        ),
    }
)

if settings.RPA_ENGINE == "embedded":
    engine.start_when_free()
    atexit.register(engine.stop)
