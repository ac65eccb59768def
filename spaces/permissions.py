"""The deeds of a space that the code asks about, each with its key and its default row."""

from typing import Any, NamedTuple

from django.apps import apps as installed
from django.utils.translation import gettext_noop as _

from enterprises.permissions import add_rows


class SpaceDefault(NamedTuple):
    """A row of the permission table: who may do it (`o`wner, `a`dmin, `m`ember), also when expired?"""

    module: str
    point: str
    description: str
    roles: str
    available_expired: bool = False


DEFAULTS: dict[str, SpaceDefault] = {
    "space.view": SpaceDefault("space", "view", _("View the space"), "oam", available_expired=True),
    "space.edit_personal": SpaceDefault("space", "edit", _("Edit a personal space"), "o"),
    "space.delete_personal": SpaceDefault(
        "space", "delete", _("Delete and restore a personal space"), "o"
    ),
    "space.limits": SpaceDefault("space", "limits", _("See the limits"), "oa"),
    "space.transfer": SpaceDefault("space", "transfer", _("Transfer ownership"), "o"),
    "space.leave": SpaceDefault("space", "leave", _("Leave the space"), "oam"),
    "invite.list": SpaceDefault("invite", "list", _("List invites"), "oa"),
    "invite.create": SpaceDefault("invite", "create", _("Invite"), "oa"),
    "invite.search_users": SpaceDefault("invite", "search", _("Search users to invite"), "oa"),
    "invite.withdraw": SpaceDefault("invite", "withdraw", _("Withdraw an invite"), "oa"),
    "apply.list": SpaceDefault("application", "list", _("List applications"), "oa"),
    "apply.approve": SpaceDefault("application", "approve", _("Approve an application"), "oa"),
    "apply.reject": SpaceDefault("application", "reject", _("Reject an application"), "oa"),
    "member.list": SpaceDefault("member", "list", _("List members"), "oam"),
    "member.add": SpaceDefault("member", "add", _("Add a member of the enterprise"), "oa"),
    "member.change_role": SpaceDefault("member", "change_role", _("Change a member's role"), "oa"),
    "member.remove": SpaceDefault("member", "remove", _("Remove a member"), "oa"),
    "robot.view": SpaceDefault("robot", "view", _("View robots"), "oam", available_expired=True),
    "robot.edit": SpaceDefault("robot", "edit", _("Create and edit robots"), "oam"),
    "robot.publish": SpaceDefault("robot", "publish", _("Publish and enable versions"), "oam"),
    "robot.delete": SpaceDefault("robot", "delete", _("Delete robots"), "oa"),
    "execution.view": SpaceDefault(
        "execution", "view", _("View executions"), "oam", available_expired=True
    ),
    "execution.run": SpaceDefault("execution", "run", _("Run robots"), "oam"),
    "execution.cancel_own": SpaceDefault(
        "execution", "cancel_own", _("Cancel own runs"), "oam", available_expired=True
    ),
    "execution.cancel_any": SpaceDefault(
        "execution", "cancel_any", _("Cancel any run"), "oa", available_expired=True
    ),
    "execution.set_priority": SpaceDefault(
        "execution", "set_priority", _("Give waiting runs a priority"), "oa"
    ),
    "share.create": SpaceDefault("share", "create", _("Share robots and runs by link"), "oa"),
    "secret.use": SpaceDefault("secret", "use", _("Use secrets"), "oam"),
    "secret.manage": SpaceDefault("secret", "manage", _("Manage secrets"), "oa"),
    "api_key.manage": SpaceDefault("api_key", "manage", _("Manage the space's API keys"), "oa"),
}

#: See enterprises.permissions.
OWN_DEEDS = ("space.create_personal",)


def add_missing(apps: Any = installed, **_of_signal: Any) -> None:
    """After every `migrate` and `flush`: add the default rows that are missing. What operators have edited is kept."""
    add_rows(apps, "spaces.SpacePermission", DEFAULTS, ("owner", "admin", "member"))
