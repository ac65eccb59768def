"""The addresses of the pages of enterprises, spaces, and those who are in them."""

from collections.abc import Callable, Iterator
from typing import Any

from django.urls import URLPattern, path

from people.frames import ENTERPRISE, SPACE
from people.pages import applications, invitations, invites, keys, members, places, settings

app_name = "people"

_PLACE: dict[str, Callable[..., Any]] = {
    "members": members.members,
    "members/<str:member>/role": members.change_role,
    "members/<str:member>/remove": members.remove,
    "invite": invites.invite,
    "invite/table": invites.invite_table,
    "invites": invites.invites,
    "settings": settings.settings,
    "transfer": settings.transfer,
    "leave": settings.leave,
    "delete": settings.delete,
}


def _place(kind: str) -> Iterator[URLPattern]:
    """What enterprises and spaces have alike."""
    start = f"{kind}s/<int:pk>/"
    yield path(start, places.overview, {"kind": kind}, name=kind)
    for address, view in _PLACE.items():
        name = address.replace("members/<str:member>", "member").replace("/", "-")
        yield path(f"{start}{address}/", view, {"kind": kind}, name=f"{kind}-{name}")


urlpatterns = [
    path("spaces/", places.spaces, name="spaces"),
    path("spaces/new/", places.new_space, name="space-new"),
    path("spaces/deleted/", places.deleted_spaces, name="spaces-deleted"),
    path("spaces/all/", places.everywhere, name="everywhere"),
    path("spaces/<int:pk>/visit/", places.visit, name="space-visit"),
    path("spaces/<int:pk>/restore/", places.restore_space, name="space-restore"),
    path("spaces/<int:pk>/apply/", applications.apply, name="apply"),
    path("spaces/<int:pk>/keys/", keys.keys, name="space-keys"),
    path("spaces/<int:pk>/keys/<int:key>/revoke/", keys.revoke, name="space-key-revoke"),
    *_place(SPACE),
    path("enterprises/", places.enterprises, name="enterprises"),
    path("enterprises/new/", places.new_enterprise, name="enterprise-new"),
    path("enterprises/deleted/", places.deleted_enterprises, name="enterprises-deleted"),
    path("enterprises/<int:pk>/restore/", places.restore_enterprise, name="enterprise-restore"),
    path("enterprises/<int:pk>/spaces/", places.enterprise_spaces, name="enterprise-spaces"),
    *_place(ENTERPRISE),
    path("invites/", invitations.invitations, name="invitations"),
    path("invites/<str:token>/", invitations.invitation, name="invitation"),
    path("invites/<str:token>/accept/", invitations.accept, name="invitation-accept"),
    path("invites/<str:token>/refuse/", invitations.refuse, name="invitation-refuse"),
    path("invites/<str:token>/withdraw/", invites.withdraw, name="invite-withdraw"),
    path("applications/", applications.inbox, name="applications"),
    path("applications/mine/", applications.mine, name="applications-mine"),
    path(
        "applications/<int:application>/approve/", applications.approve, name="application-approve"
    ),
    path("applications/<int:application>/reject/", applications.reject, name="application-reject"),
]
