"""What each address answers to whom: the table that the walk compares the house with."""

from collections.abc import Iterator
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

# fmt: off
#                anon stra fore expi scop revo laps inac owne oper
PAGE =          "302  200  200  200  302  302  302  302  200  200"
OBJECT_PAGE =   "302  404  404  200  302  302  302  302  200  200"
PAGE_DEED =     "302  404  404  302  302  302  302  302  302  302"
RUN_FORM =      "302  404  404  422  302  302  302  302  302  302"
API =           "401  200  200  200  200  401  401  401  200  200"
API_OBJECT =    "401  404  404  200  200  401  401  401  200  200"
API_REFUSED =   "401  404  404  403  403  401  401  401  "
FIRM_OBJECT =   "401  404  404  200  404  401  401  401  200  200"
FIRM_REFUSED =  "401  404  404  403  404  401  401  401  "
NOWHERE =       "401  404  404  404  404  401  401  401  404  404"
OPEN =          "200  200  200  200  200  200  200  200  200  200"
OPEN_BUT_KEYS = "200  200  200  200  200  401  401  200  200  200"
BY_KEY =        "200  200  200  404  200  200  200  200  200  200"
REDIRECT =      "302  302  302  302  302  302  302  302  302  302"
STAFF =         "302  302  302  302  302  302  302  302  302  200"
# fmt: on

#: Pattern -> method -> the status for each of house.ACTORS, in their order. A method that is not
#: named must not be granted to anybody.
ROUTES: dict[str, dict[str, str]] = {
    "": {"GET": PAGE},
    "robots/": {"GET": PAGE},
    "robots/new/": {
        "GET": PAGE,
        "POST": "302  422  422  422  302  302  302  302  422  422",
    },
    "robots/<uuid:uid>/": {"GET": OBJECT_PAGE},
    "robots/<uuid:uid>/upload/": {"POST": PAGE_DEED},
    "robots/<uuid:uid>/enable/<int:number>/": {"POST": PAGE_DEED},
    "robots/<uuid:uid>/run/": {"GET": OBJECT_PAGE, "POST": RUN_FORM},
    "executions/": {"GET": PAGE},
    "executions/<uuid:uid>/": {"GET": OBJECT_PAGE},
    "executions/<uuid:uid>/rerun/": {"GET": OBJECT_PAGE, "POST": RUN_FORM},
    "login/": {
        "GET": "200  302  302  302  200  200  200  200  302  302",
        "POST": "200  302  302  302  200  200  200  200  302  302",
        "PUT": "200  302  302  302  200  200  200  200  302  302",
    },
    "logout/": {"POST": REDIRECT},
    "i18n/setlang/": {"GET": REDIRECT, "POST": REDIRECT},
    "api/v1/schema/": {"GET": OPEN_BUT_KEYS},
    "api/v1/docs/": {"GET": OPEN_BUT_KEYS},
    # Whoever is signed in may found an enterprise; a key needs to be told so.
    "api/v1/enterprises/": {
        "GET": API,
        "POST": "401  201  201  201  403  401  401  401  201  201",
    },
    "api/v1/enterprises/last/": {"GET": NOWHERE},
    "api/v1/enterprises/(?P<pk>[^/.]+)/": {
        "GET": FIRM_OBJECT,
        "PATCH": FIRM_REFUSED + "200  200",
        "DELETE": FIRM_REFUSED + "204  204",
    },
    "api/v1/permissions/": {"GET": API},
    "api/v1/enterprises/(?P<pk>[^/.]+)/permissions/": {"GET": FIRM_OBJECT},
    "api/v1/enterprises/(?P<pk>[^/.]+)/restore/": {"POST": NOWHERE},
    "api/v1/enterprises/(?P<pk>[^/.]+)/visit/": {
        "POST": "401  404  404  204  404  401  401  401  204  204"
    },
    # The officer cannot leave, and an operator is no member.
    "api/v1/enterprises/(?P<pk>[^/.]+)/leave/": {"POST": FIRM_REFUSED + "409  404"},
    "api/v1/enterprises/(?P<pk>[^/.]+)/transfer/": {"POST": FIRM_REFUSED + "200  200"},
    "api/v1/enterprises/(?P<pk>[^/.]+)/members/": {"GET": FIRM_REFUSED + "200  200"},
    "api/v1/enterprises/<int:pk>/members/<str:member>/": {
        "PATCH": FIRM_REFUSED + "200  200",
        "DELETE": FIRM_REFUSED + "204  204",
    },
    # Whoever is signed in may have a personal space; the stranger has one already.
    "api/v1/spaces/": {
        "GET": API,
        "POST": "401  409  201  201  403  401  401  401  201  201",
    },
    "api/v1/spaces/last/": {"GET": NOWHERE},
    "api/v1/spaces/(?P<pk>[^/.]+)/": {
        "GET": API_OBJECT,
        "PATCH": API_REFUSED + "200  200",
        "DELETE": API_REFUSED + "204  204",
    },
    "api/v1/spaces/(?P<pk>[^/.]+)/permissions/": {"GET": API_OBJECT},
    "api/v1/spaces/(?P<pk>[^/.]+)/restore/": {"POST": NOWHERE},
    "api/v1/spaces/(?P<pk>[^/.]+)/visit/": {
        "POST": "401  404  404  204  204  401  401  401  204  204"
    },
    "api/v1/spaces/(?P<pk>[^/.]+)/leave/": {"POST": API_REFUSED + "409  404"},
    "api/v1/spaces/(?P<pk>[^/.]+)/transfer/": {"POST": API_REFUSED + "200  200"},
    "api/v1/spaces/<int:pk>/members/": {
        "GET": API_REFUSED + "200  200",
        "POST": API_REFUSED + "201  201",
    },
    "api/v1/spaces/<int:pk>/limits/": {"GET": API_REFUSED + "200  200"},
    "api/v1/spaces/<int:pk>/users/": {"GET": API_REFUSED + "200  200"},
    "api/v1/spaces/<int:pk>/invites/": {
        "GET": API_REFUSED + "200  200",
        "POST": API_REFUSED + "201  201",
    },
    "api/v1/spaces/<int:pk>/invites/table/": {"POST": API_REFUSED + "200  200"},
    # The owner is a member already, and the operator is not of the enterprise.
    "api/v1/spaces/<int:pk>/applications/": {
        "GET": API_REFUSED + "200  200",
        "POST": API_REFUSED + "409  409",
    },
    "api/v1/spaces/<int:pk>/applications/<int:application>/approve/": {
        "POST": API_REFUSED + "200  200"
    },
    "api/v1/spaces/<int:pk>/applications/<int:application>/reject/": {
        "POST": API_REFUSED + "200  200"
    },
    "api/v1/enterprises/<int:pk>/limits/": {"GET": FIRM_REFUSED + "200  200"},
    "api/v1/enterprises/<int:pk>/counts/": {"GET": FIRM_REFUSED + "200  200"},
    "api/v1/enterprises/<int:pk>/users/": {"GET": FIRM_REFUSED + "200  200"},
    "api/v1/enterprises/<int:pk>/invites/": {
        "GET": FIRM_REFUSED + "200  200",
        "POST": FIRM_REFUSED + "201  201",
    },
    "api/v1/enterprises/<int:pk>/invites/table/": {"POST": FIRM_REFUSED + "200  200"},
    "api/v1/applications/": {"GET": API},
    # An invite is for the invitee alone, who is none of these; it is taken back where it was sent from.
    "api/v1/invites/": {"GET": API},
    "api/v1/invites/<str:token>/": {"GET": NOWHERE},
    "api/v1/invites/<str:token>/accept/": {"POST": NOWHERE},
    "api/v1/invites/<str:token>/refuse/": {"POST": NOWHERE},
    "api/v1/invites/<str:token>/withdraw/": {"POST": API_REFUSED + "200  200"},
    "api/v1/spaces/<int:pk>/members/<str:member>/": {
        "PATCH": API_REFUSED + "200  200",
        "DELETE": API_REFUSED + "204  204",
    },
    "api/v1/robots/": {"GET": API, "POST": API_REFUSED + "201  201"},
    "api/v1/robots/(?P<uid>[^/.]+)/": {
        "GET": API_OBJECT,
        "PATCH": API_REFUSED + "200  200",
        "DELETE": API_REFUSED + "204  204",
    },
    "api/v1/robots/(?P<uid>[^/.]+)/enable/": {"POST": API_REFUSED + "200  200"},
    # Granted is refused here: files go through the platform.
    "api/v1/robots/(?P<uid>[^/.]+)/uploads/": {"POST": API_REFUSED + "409  409"},
    "api/v1/robots/(?P<uid>[^/.]+)/versions/": {
        "GET": API_OBJECT,
        "POST": API_REFUSED + "201  201",
    },
    "api/v1/executions/": {"GET": API, "POST": API_REFUSED + "201  201"},
    "api/v1/executions/(?P<uid>[^/.]+)/": {"GET": API_OBJECT},
    "api/v1/executions/(?P<uid>[^/.]+)/artifacts/": {"GET": API_OBJECT},
    # Stopping what one has started is left to the members of an expired enterprise.
    "api/v1/executions/(?P<uid>[^/.]+)/cancel/": {
        "POST": "401  404  404  200  403  401  401  401  200  200"
    },
    "api/v1/executions/(?P<uid>[^/.]+)/events/": {"GET": API_OBJECT},
    "api/v1/executions/(?P<uid>[^/.]+)/rerun/": {"POST": API_REFUSED + "201  201"},
    "api/v1/executions/<uuid:uid>/stream": {"GET": API_OBJECT},
    "api/v1/executions/<uuid:uid>/log/": {"GET": API_OBJECT},
    "api/v1/executions/<uuid:uid>/artifacts/<uuid:artifact>/download/": {"GET": API_OBJECT},
    "api/v1/shares/": {"GET": API, "POST": API_REFUSED + "201  201"},
    # Who has the key reads it, whoever they are; that of an expired enterprise shows nothing.
    "api/v1/shares/<str:key>/": {"GET": BY_KEY},
    "api/v1/shares/<str:key>/events/": {"GET": BY_KEY},
    "api/v1/shares/<str:key>/off/": {"POST": "401  404  404  200  403  401  401  401  200  200"},
    # On again by the sharer alone, who must still be allowed to share.
    "api/v1/shares/<str:key>/on/": {"POST": API_REFUSED + "200  404"},
    "metrics": {"GET": "404  404  404  404  404  404  404  404  404  200"},
    "healthz": {"GET": OPEN},
    "rpa/v1/ping": {"GET": OPEN},
    # A missing header is malformed; a wrong key is told inside the stream, as the protocol has it.
    "rpa/v1/exec": {"POST": "422  422  422  422  200  200  200  422  422  422"},
    "admin/": {"GET": STAFF},
    "admin/search/": {"GET": STAFF},
    "admin/login/": {
        "GET": "200  200  200  200  200  200  200  200  200  302",
        "POST": "200  200  200  200  200  200  200  200  200  200",
    },
    "admin/logout/": {"POST": REDIRECT},
    "admin/password_change/": {"GET": STAFF, "POST": STAFF},
    "admin/password_change/done/": {"GET": STAFF},
    "admin/autocomplete/": {"GET": "302  302  302  302  302  302  302  302  302  403"},
    "admin/jsi18n/": {"GET": STAFF},
    "admin/r/<path:content_type_id>/<path:object_id>/": {
        "GET": "302  302  302  302  302  302  302  302  302  404"
    },
    "admin/(?P<app_label>audit|auth|accounts|enterprises|spaces|joining|robots|executions|sharing)/": {
        "GET": STAFF
    },
    "admin/(?P<url>.*)": {"GET": "302  302  302  302  302  302  302  302  302  404"},
}

#: The pages of a model in the admin, for an operator: may rows be added, changed, deleted there?
ADMIN: dict[str, str] = {
    "audit.entry": "",
    "auth.group": "add change delete",
    "accounts.user": "add change delete",
    "accounts.apikey": "add change",
    "enterprises.enterprise": "add change delete",
    "enterprises.enterprisepermission": "change",
    "enterprises.enterpriseuser": "add change delete",
    "spaces.space": "add change delete",
    "spaces.spacepermission": "change",
    "spaces.spaceuser": "add change delete",
    "joining.invite": "",
    "joining.application": "",
    "robots.robot": "change delete",
    "robots.robotversion": "",
    "sharing.share": "change",
    "executions.execution": "",
    "executions.artifact": "",
    "executions.runner": "",
    "executions.spaceretention": "add change delete",
}


def statuses(row: str) -> list[int]:
    return [int(each) for each in row.split()]


def patterns(found: list[Any] | None = None, prefix: str = "") -> Iterator[str]:
    """Every pattern of the project, written like the keys of ROUTES."""
    for each in get_resolver().url_patterns if found is None else found:
        path = prefix + str(each.pattern).removeprefix("^").removesuffix("$")
        if isinstance(each, URLResolver):
            yield from patterns(each.url_patterns, path)
        else:
            assert isinstance(each, URLPattern)
            yield path


def is_model_admin(pattern: str) -> bool:
    return pattern.count("/") > 2 and pattern.startswith(
        tuple(f"admin/{label.replace('.', '/')}/" for label in ADMIN)
    )
