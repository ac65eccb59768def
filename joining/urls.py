"""The addresses of becoming a member."""

from typing import Any

from django.urls import path

from joining import api

_LIST: Any = {"get": "list"}
_LIST_AND_ADD: Any = {"get": "list", "post": "create"}
_ADD: Any = {"post": "create"}
_ONE: Any = {"get": "retrieve"}
_space = "spaces/<int:pk>"
_enterprise = "enterprises/<int:pk>"
_invite = "invites/<str:token>"
_application = f"{_space}/applications/<int:application>"


def _deed(view: Any, name: str) -> Any:
    deed: Any = {"post": name}
    return view.as_view(deed)


urlpatterns = [
    path(f"{_space}/members/", api.SpaceMembers.as_view(_LIST_AND_ADD), name="space-members"),
    path(f"{_space}/limits/", api.SpaceLimits.as_view(_ONE), name="space-limits"),
    path(f"{_space}/users/", api.SpaceUsers.as_view(_LIST), name="space-users"),
    path(f"{_space}/invites/", api.SpaceInvites.as_view(_LIST_AND_ADD), name="space-invites"),
    path(
        f"{_space}/invites/table/",
        api.SpaceInviteTables.as_view(_ADD),
        name="space-invite-table",
    ),
    path(
        f"{_space}/applications/",
        api.SpaceApplications.as_view(_LIST_AND_ADD),
        name="space-applications",
    ),
    path(f"{_application}/approve/", _deed(api.SpaceApplication, "approve"), name="approve"),
    path(f"{_application}/reject/", _deed(api.SpaceApplication, "reject"), name="reject"),
    path(f"{_enterprise}/limits/", api.EnterpriseLimits.as_view(_ONE), name="enterprise-limits"),
    path(
        f"{_enterprise}/counts/",
        api.EnterpriseLimits.as_view({"get": "counts"}),
        name="enterprise-counts",
    ),
    path(f"{_enterprise}/users/", api.EnterpriseUsers.as_view(_LIST), name="enterprise-users"),
    path(
        f"{_enterprise}/invites/",
        api.EnterpriseInvites.as_view(_LIST_AND_ADD),
        name="enterprise-invites",
    ),
    path(
        f"{_enterprise}/invites/table/",
        api.EnterpriseInviteTables.as_view(_ADD),
        name="enterprise-invite-table",
    ),
    path("invites/", api.InviteViewSet.as_view(_LIST), name="invites"),
    path(f"{_invite}/", api.InviteViewSet.as_view(_ONE), name="invite"),
    path(f"{_invite}/accept/", _deed(api.InviteViewSet, "accept"), name="invite-accept"),
    path(f"{_invite}/refuse/", _deed(api.InviteViewSet, "refuse"), name="invite-refuse"),
    path(f"{_invite}/withdraw/", _deed(api.InviteViewSet, "withdraw"), name="invite-withdraw"),
    path("applications/", api.MyApplications.as_view(_LIST), name="my-applications"),
]
