"""What each address asks: the permission that a role must have there, or the reason why it is none."""

#: Nobody needs a role: it is about the caller alone, or shows what they may see and no more.
OWN = "own"
#: Whoever comes.
OPEN = "open"
#: Superusers.
OPERATORS = "operators"
#: What the walk asks about is not there for anybody: it is not deleted, or for somebody else alone.
ABSENT = "absent"

_SPACE, _FIRM = "api/v1/spaces/(?P<pk>[^/.]+)", "api/v1/enterprises/(?P<pk>[^/.]+)"
_IN_SPACE, _IN_FIRM = "api/v1/spaces/<int:pk>", "api/v1/enterprises/<int:pk>"
_ROBOT, _RUN = "api/v1/robots/(?P<uid>[^/.]+)", "api/v1/executions/(?P<uid>[^/.]+)"
_STREAM = "api/v1/executions/<uuid:uid>"
_APPLICATION = f"{_IN_SPACE}/applications/<int:application>"
_INVITE = "api/v1/invites/<str:token>"
_SHARE = "api/v1/shares/<str:key>"

#: "METHOD pattern" -> "space PERMISSION" or "enterprise PERMISSION", or one of the above.
RULES = {
    "GET ": OWN,
    "GET robots/": OWN,
    "GET robots/new/": OWN,
    "POST robots/new/": OWN,
    "GET robots/<uuid:uid>/": "space robot.view",
    "POST robots/<uuid:uid>/upload/": "space robot.publish",
    "POST robots/<uuid:uid>/enable/<int:number>/": "space robot.publish",
    "GET robots/<uuid:uid>/run/": "space execution.run",
    "POST robots/<uuid:uid>/run/": "space execution.run",
    "GET executions/": OWN,
    "GET executions/<uuid:uid>/": "space execution.view",
    "GET executions/<uuid:uid>/rerun/": "space execution.run",
    "POST executions/<uuid:uid>/rerun/": "space execution.run",
    "GET login/": OPEN,
    "POST login/": OPEN,
    "PUT login/": OPEN,
    "POST logout/": OWN,
    "GET i18n/setlang/": OPEN,
    "POST i18n/setlang/": OPEN,
    "GET api/v1/schema/": OPEN,
    "GET api/v1/docs/": OPEN,
    "GET api/v1/permissions/": OWN,
    "GET api/v1/enterprises/": OWN,
    "POST api/v1/enterprises/": OWN,
    "GET api/v1/enterprises/last/": OWN,
    f"GET {_FIRM}/": "enterprise enterprise.view",
    f"PATCH {_FIRM}/": "enterprise enterprise.rename",
    f"DELETE {_FIRM}/": "enterprise enterprise.delete",
    f"GET {_FIRM}/permissions/": "enterprise enterprise.view",
    f"POST {_FIRM}/restore/": ABSENT,
    f"POST {_FIRM}/visit/": "enterprise enterprise.view",
    f"POST {_FIRM}/leave/": "enterprise enterprise.leave",
    f"POST {_FIRM}/transfer/": "enterprise enterprise.transfer",
    f"GET {_FIRM}/members/": "enterprise member.list",
    f"PATCH {_IN_FIRM}/members/<str:member>/": "enterprise member.change_role",
    f"DELETE {_IN_FIRM}/members/<str:member>/": "enterprise member.remove",
    f"GET {_IN_FIRM}/limits/": "enterprise member.limits",
    f"GET {_IN_FIRM}/counts/": "enterprise space.count",
    f"GET {_IN_FIRM}/users/": "enterprise invite.search_users",
    f"GET {_IN_FIRM}/invites/": "enterprise invite.list",
    f"POST {_IN_FIRM}/invites/": "enterprise invite.create",
    f"POST {_IN_FIRM}/invites/table/": "enterprise invite.create",
    "GET api/v1/spaces/": OWN,
    "POST api/v1/spaces/": OWN,
    "GET api/v1/spaces/last/": OWN,
    f"GET {_SPACE}/": "enterprise space.list_all",
    f"PATCH {_SPACE}/": "enterprise space.edit",
    f"DELETE {_SPACE}/": "enterprise space.delete",
    f"GET {_SPACE}/permissions/": "enterprise space.list_all",
    f"POST {_SPACE}/restore/": ABSENT,
    f"POST {_SPACE}/visit/": "space space.view",
    f"POST {_SPACE}/leave/": "space space.leave",
    f"POST {_SPACE}/transfer/": "space space.transfer",
    f"GET {_IN_SPACE}/members/": "space member.list",
    f"POST {_IN_SPACE}/members/": "space member.add",
    f"PATCH {_IN_SPACE}/members/<str:member>/": "space member.change_role",
    f"DELETE {_IN_SPACE}/members/<str:member>/": "space member.remove",
    f"GET {_IN_SPACE}/limits/": "space space.limits",
    f"GET {_IN_SPACE}/users/": "space invite.search_users",
    f"GET {_IN_SPACE}/invites/": "space invite.list",
    f"POST {_IN_SPACE}/invites/": "space invite.create",
    f"POST {_IN_SPACE}/invites/table/": "space invite.create",
    f"GET {_IN_SPACE}/applications/": "space apply.list",
    f"POST {_IN_SPACE}/applications/": "enterprise apply.create",
    f"POST {_APPLICATION}/approve/": "space apply.approve",
    f"POST {_APPLICATION}/reject/": "space apply.reject",
    "GET api/v1/applications/": OWN,
    "GET api/v1/invites/": OWN,
    f"GET {_INVITE}/": ABSENT,
    f"POST {_INVITE}/accept/": ABSENT,
    f"POST {_INVITE}/refuse/": ABSENT,
    f"POST {_INVITE}/withdraw/": "space invite.withdraw",
    "GET api/v1/robots/": OWN,
    "POST api/v1/robots/": "space robot.edit",
    f"GET {_ROBOT}/": "space robot.view",
    f"PATCH {_ROBOT}/": "space robot.edit",
    f"DELETE {_ROBOT}/": "space robot.delete",
    f"POST {_ROBOT}/enable/": "space robot.publish",
    f"POST {_ROBOT}/uploads/": "space robot.publish",
    f"GET {_ROBOT}/versions/": "space robot.view",
    f"POST {_ROBOT}/versions/": "space robot.publish",
    "GET api/v1/executions/": OWN,
    "POST api/v1/executions/": "space execution.run",
    f"GET {_RUN}/": "space execution.view",
    f"GET {_RUN}/artifacts/": "space execution.view",
    f"POST {_RUN}/cancel/": "space execution.cancel_any",
    f"GET {_RUN}/events/": "space execution.view",
    f"POST {_RUN}/rerun/": "space execution.run",
    f"GET {_STREAM}/stream": "space execution.view",
    f"GET {_STREAM}/log/": "space execution.view",
    f"GET {_STREAM}/artifacts/<uuid:artifact>/download/": "space execution.view",
    "GET api/v1/shares/": OWN,
    "POST api/v1/shares/": "space share.create",
    f"GET {_SHARE}/": OPEN,
    f"GET {_SHARE}/events/": OPEN,
    f"POST {_SHARE}/off/": "space share.create",
    f"POST {_SHARE}/on/": ABSENT,
    "GET metrics": OPERATORS,
    "GET healthz": OPEN,
    "GET rpa/v1/ping": OPEN,
    # The protocol knows keys only; what they may run is asked inside.
    "POST rpa/v1/exec": OPEN,
}

#: The pages of the admin beyond those that every model has, with what their addresses need. For staff without rights
#: of their own, each is refused.
ADMIN_PAGES: dict[str, list[str]] = {
    "accounts_user_export": [],
    "accounts_user_import": [],
    "auth_user_password_change": ["a user"],
    "audit_entry_export": ["csv"],
    "enterprises_enterprise_export": [],
    "enterprises_enterprise_import": [],
    "enterprises_enterpriseuser_export": [],
    "enterprises_enterpriseuser_import": [],
    "enterprises_enterprisepermission_grid": [],
    "spaces_space_export": [],
    "spaces_space_import": [],
    "spaces_spaceuser_export": [],
    "spaces_spaceuser_import": [],
    "spaces_spacepermission_grid": [],
    "spaces_explain_access": [],
}
