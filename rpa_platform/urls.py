"""Every address of the platform."""

from typing import Any

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView
from rest_framework.routers import SimpleRouter

from accounts.sign_in import admin_door
from enterprises.api import EnterpriseMemberViewSet, EnterpriseViewSet
from executions import pages, streams
from executions.api import ExecutionViewSet
from robots import pages as robot_pages
from robots.api import RobotViewSet
from rpa_platform import machines, operations
from spaces.api import PermissionTables, SpaceMemberViewSet, SpaceViewSet
from spaces.key_api import SpaceKeys

router = SimpleRouter()
router.register("enterprises", EnterpriseViewSet, "enterprise")
router.register("spaces", SpaceViewSet, "space")
router.register("robots", RobotViewSet, "api-robot")
router.register("executions", ExecutionViewSet, "execution")

_run = "api/v1/executions/<uuid:uid>"
_table: Any = {"get": "retrieve"}
_member: Any = {"patch": "partial_update", "delete": "destroy"}
_list_and_add: Any = {"get": "list", "post": "create"}
_revoke: Any = {"post": "revoke"}

urlpatterns = [
    path("", pages.home, name="home"),
    path("robots/", pages.robots, name="robots"),
    path("robots/new/", robot_pages.new, name="robot-new"),
    path("robots/<uuid:uid>/", pages.robot, name="robot"),
    path("robots/<uuid:uid>/upload/", robot_pages.upload, name="robot-upload"),
    path("robots/<uuid:uid>/enable/<int:number>/", robot_pages.enable, name="version-enable"),
    path("robots/<uuid:uid>/run/", pages.run, name="robot-run"),
    path("executions/", pages.executions, name="executions"),
    path("executions/<uuid:uid>/", pages.execution, name="execution"),
    path("executions/<uuid:uid>/rerun/", pages.rerun, name="execution-rerun-form"),
    path("", include("people.urls")),
    path("", include("sharing.page_urls")),
    path("", include("accounts.urls")),
    path("i18n/", include("django.conf.urls.i18n")),
    path("admin/login/", admin_door),
    path("admin/password_change/", RedirectView.as_view(pattern_name="account_change_password")),
    path("admin/", admin.site.urls),
    path(f"{_run}/stream", streams.event_stream, name="execution-stream"),
    path(f"{_run}/log/", streams.log_text, name="execution-log"),
    path(
        f"{_run}/artifacts/<uuid:artifact>/download/",
        streams.artifact_download,
        name="artifact-download",
    ),
    path("api/v1/schema/", SpectacularJSONAPIView.as_view(), name="api-schema"),
    path(
        "api/v1/docs/", SpectacularSwaggerSplitView.as_view(url_name="api-schema"), name="api-docs"
    ),
    path(
        "api/v1/enterprises/<int:pk>/members/<str:member>/",
        EnterpriseMemberViewSet.as_view(_member),
        name="enterprise-member",
    ),
    path(
        "api/v1/spaces/<int:pk>/members/<str:member>/",
        SpaceMemberViewSet.as_view(_member),
        name="space-member",
    ),
    path(
        "api/v1/spaces/<int:pk>/api-keys/",
        SpaceKeys.as_view(_list_and_add),
        name="space-api-keys",
    ),
    path(
        "api/v1/spaces/<int:pk>/api-keys/<int:key>/revoke/",
        SpaceKeys.as_view(_revoke),
        name="space-api-key-revoke",
    ),
    path("api/v1/permissions/", PermissionTables.as_view(_table), name="permission-tables"),
    path("api/v1/", include("joining.urls")),
    path("api/v1/", include("sharing.urls")),
    path("api/v1/", include(router.urls)),
    path("runners/join.sh", machines.script, name="runner-script"),
    path("runners/sources.tar.gz", machines.sources, name="runner-sources"),
    path("runners/join", machines.join, name="runner-join"),
    path("metrics", operations.metrics, name="metrics"),
    path("healthz", operations.health, name="health"),
    path("", include("interop.urls")),
]

handler400 = "accounts.problems.bad_request"
handler403 = "accounts.problems.permission_denied"
handler404 = "accounts.problems.not_found"
handler500 = "accounts.problems.server_error"
