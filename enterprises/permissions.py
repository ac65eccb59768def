"""The deeds of an enterprise that the code asks about, each with its key and its default row."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from django.apps import apps as installed
from django.utils.translation import gettext_noop as _


class EnterpriseDefault(NamedTuple):
    """A row of the permission table: who may do it (`o`fficer, `g`overnor, `s`taff), also when expired?"""

    module: str
    description: str
    roles: str
    available_expired: bool = False


DEFAULTS: dict[str, EnterpriseDefault] = {
    "enterprise.view": EnterpriseDefault(
        "enterprise", _("View details"), "ogs", available_expired=True
    ),
    "enterprise.rename": EnterpriseDefault("enterprise", _("Rename"), "og"),
    "enterprise.set_logo": EnterpriseDefault("enterprise", _("Set the logo"), "og"),
    "enterprise.set_avatar": EnterpriseDefault("enterprise", _("Set the avatar"), "og"),
    "enterprise.leave": EnterpriseDefault("enterprise", _("Leave"), "ogs"),
    "enterprise.transfer": EnterpriseDefault("enterprise", _("Hand the office over"), "o"),
    "enterprise.delete": EnterpriseDefault("enterprise", _("Delete and restore"), "o"),
    "space.list_all": EnterpriseDefault(
        "space", _("List all spaces"), "ogs", available_expired=True
    ),
    "space.list_mine": EnterpriseDefault(
        "space", _("List my spaces"), "ogs", available_expired=True
    ),
    "space.count": EnterpriseDefault("space", _("Count spaces"), "ogs"),
    "space.create": EnterpriseDefault("space", _("Create a space"), "og"),
    "space.edit": EnterpriseDefault("space", _("Edit a space"), "og"),
    "space.delete": EnterpriseDefault("space", _("Delete a space"), "og"),
    "member.list": EnterpriseDefault("member", _("List members"), "ogs"),
    "member.change_role": EnterpriseDefault("member", _("Change a member's role"), "og"),
    "member.remove": EnterpriseDefault("member", _("Remove a member"), "og"),
    "member.limits": EnterpriseDefault("member", _("See the limits"), "og"),
    "invite.create": EnterpriseDefault("invite", _("Invite"), "og"),
    "invite.search_users": EnterpriseDefault("invite", _("Search users to invite"), "og"),
    "invite.list": EnterpriseDefault("invite", _("List invites"), "og"),
    "invite.withdraw": EnterpriseDefault("invite", _("Withdraw an invite"), "og"),
    "apply.create": EnterpriseDefault("application", _("Apply to join a space"), "ogs"),
}

#: What everybody may do for themselves: no role grants it, and only an API key may be too narrow for it.
OWN_DEEDS = ("enterprise.create",)


def add_missing(apps: Any = installed, **_of_signal: Any) -> None:
    """After every `migrate` and `flush`: add the default rows that are missing. What operators have edited is kept."""
    add_rows(apps, "enterprises.EnterprisePermission", DEFAULTS, ("officer", "governor", "staff"))


def add_rows(apps: Any, label: str, rows: Mapping[str, Any], role_columns: Iterable[str]) -> None:
    """Add those of `rows` that a permission table lacks; a role is granted where its first letter stands."""
    try:
        table = apps.get_model(label)
    except LookupError:
        return  # migrated back to before there was a table
    from audit.recording import deed  # only now: it needs the models, which load later

    with deed("permissions.add_missing"):
        for key, row in rows.items():
            columns = row._asdict()
            roles = columns.pop("roles")
            columns |= {column: column[0] in roles for column in role_columns}
            table.objects.get_or_create(permission_key=key, defaults=columns)
