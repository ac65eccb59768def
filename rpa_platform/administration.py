"""How the admin looks: the platform's own name, mark and colours, and a menu in the order of the work."""

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _


def _mark(_request: HttpRequest) -> str:
    return static("img/logo.svg")


def _item(title: Any, icon: str, model: str) -> dict[str, Any]:
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{model.replace('.', '_')}_changelist"),
        "needs": model.replace(".", ".view_"),
    }


_GROUPS = [
    (
        _("Work"),
        [
            _item(_("Executions"), "play_circle", "executions.execution"),
            _item(_("Artifacts"), "draft", "executions.artifact"),
            _item(_("Runners"), "dns", "executions.runner"),
            _item(_("Pools"), "lan", "executions.pool"),
            _item(_("Run limits"), "speed", "executions.runlimit"),
            _item(_("Shares of the fleet"), "balance", "executions.spaceshare"),
            _item(_("Robots"), "smart_toy", "robots.robot"),
            _item(_("Robot versions"), "deployed_code", "robots.robotversion"),
        ],
    ),
    (
        _("Organisation"),
        [
            _item(_("Enterprises"), "apartment", "enterprises.enterprise"),
            _item(_("Enterprise members"), "badge", "enterprises.enterpriseuser"),
            _item(_("Spaces"), "workspaces", "spaces.space"),
            _item(_("Space members"), "group_add", "spaces.spaceuser"),
            _item(_("API keys of spaces"), "vpn_key", "spaces.spacekey"),
            _item(_("Invites"), "mail", "joining.invite"),
            _item(_("Applications"), "how_to_reg", "joining.application"),
            _item(_("Shares"), "share", "sharing.share"),
            _item(_("Retention"), "auto_delete", "executions.spaceretention"),
            _item(_("Users"), "person", "accounts.user"),
            _item(_("API keys"), "key", "accounts.apikey"),
            _item(_("Audit"), "history", "audit.entry"),
        ],
    ),
    (
        _("Permissions"),
        [
            _item(_("Enterprise permissions"), "rule", "enterprises.enterprisepermission"),
            _item(_("Space permissions"), "rule", "spaces.spacepermission"),
            _item(_("Groups of the admin"), "group", "auth.group"),
        ],
    ),
]
# `active`: every address begins with "/".
_BACK = {"title": _("Back to the platform"), "icon": "arrow_back", "link": "/", "active": False}


def menu(request: HttpRequest) -> list[dict[str, Any]]:
    """What the user may look at, in groups; a group of nothing is left out."""
    allowed = [
        (title, [each for each in items if request.user.has_perm(each["needs"])])
        for title, items in _GROUPS
    ]
    groups = [
        {"title": title, "separator": True, "items": items} for title, items in allowed if items
    ]
    return [{"items": [_BACK]}, *groups]


UNFOLD = {
    "SITE_TITLE": _("RPA Platform"),
    "SITE_HEADER": _("RPA Platform"),
    "SITE_SUBHEADER": _("Administration"),
    "SITE_URL": "/",
    "SITE_ICON": _mark,
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda _request: static("img/favicon.svg")}
    ],
    "SHOW_HISTORY": True,
    "SHOW_BACK_BUTTON": True,
    "COLORS": {
        "primary": {
            "50": "#eef2fe",
            "100": "#e0e7fd",
            "200": "#c6d2fb",
            "300": "#a2b5f8",
            "400": "#869bf5",
            "500": "#6f87f2",
            "600": "#3454d1",
            "700": "#2a46b5",
            "800": "#263c92",
            "900": "#243673",
            "950": "#172046",
        }
    },
    "SIDEBAR": {"navigation": menu},
}
