"""What each address answers to whom: the table that the walk compares the house with."""

from collections.abc import Iterator
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

# fmt: off
#                anon stra fore expi scop revo laps inac owne oper
PAGE =          "302  200  200  200  302  302  302  302  200  200"
OBJECT_PAGE =   "302  404  404  200  302  302  302  302  200  200"
PAGE_DEED =     "302  404  404  302  302  302  302  302  302  302"
PAGE_REFUSED =  "302  404  404  403  302  302  302  302  200  200"
DEED_REFUSED =  "302  404  404  403  302  302  302  302  302  302"
NOT_MINE =      "302  404  404  404  302  302  302  302  404  404"
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
ABSENT =        "404  404  404  404  404  404  404  404  404  404"
MINE =          "302  404  404  404  302  302  302  302  404  404"
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
    "spaces/": {"GET": PAGE},
    # The stranger has his one personal space already.
    "spaces/new/": {"GET": PAGE, "POST": "302  422  302  302  302  302  302  302  302  302"},
    "spaces/deleted/": {"GET": PAGE},
    "spaces/all/": {"POST": REDIRECT},
    "spaces/<int:pk>/": {"GET": OBJECT_PAGE},
    "spaces/<int:pk>/visit/": {"POST": PAGE_DEED},
    "spaces/<int:pk>/restore/": {"POST": NOT_MINE},
    "spaces/<int:pk>/apply/": {"POST": PAGE_DEED},
    # An operator who is no member makes none: it would open nothing.
    "spaces/<int:pk>/keys/": {
        "GET": PAGE_REFUSED,
        "POST": "302  404  404  403  302  302  302  302  200  422",
    },
    "spaces/<int:pk>/keys/<int:key>/revoke/": {"POST": DEED_REFUSED},
    "enterprises/": {"GET": PAGE},
    "enterprises/new/": {"GET": PAGE, "POST": REDIRECT},
    "enterprises/deleted/": {"GET": PAGE},
    "enterprises/<int:pk>/": {"GET": OBJECT_PAGE},
    "enterprises/<int:pk>/restore/": {"POST": NOT_MINE},
    "enterprises/<int:pk>/spaces/": {"GET": OBJECT_PAGE},
    **{
        f"{kind}s/<int:pk>/{page}/": methods
        for kind in ("space", "enterprise")
        for page, methods in {
            "members": {"GET": PAGE_REFUSED},
            "members/<str:member>/role": {"POST": PAGE_DEED},
            "members/<str:member>/remove": {"GET": PAGE_REFUSED, "POST": PAGE_DEED},
            "invite": {"GET": PAGE_REFUSED, "POST": DEED_REFUSED},
            "invite/table": {"GET": DEED_REFUSED, "POST": PAGE_REFUSED},
            "invites": {"GET": PAGE_REFUSED},
            "settings": {"GET": PAGE_REFUSED, "POST": DEED_REFUSED},
            "transfer": {"GET": PAGE_REFUSED, "POST": DEED_REFUSED},
            # The first of a place cannot leave, and an operator is no member.
            "leave": {
                "GET": "302  404  404  403  302  302  302  302  403  403",
                "POST": "302  404  404  422  302  302  302  302  422  422",
            },
            "delete": {"GET": PAGE_REFUSED, "POST": DEED_REFUSED},
        }.items()
    },
    # An invite is for the invitee alone, who is none of these; it is taken back where it was sent from.
    "invites/": {"GET": PAGE},
    "invites/<str:token>/": {"GET": NOT_MINE},
    "invites/<str:token>/accept/": {"POST": NOT_MINE},
    "invites/<str:token>/refuse/": {"POST": NOT_MINE},
    "invites/<str:token>/withdraw/": {"POST": PAGE_DEED},
    "applications/": {"GET": PAGE},
    "applications/mine/": {"GET": PAGE},
    # What nobody may list any more, nobody decides.
    "applications/<int:application>/approve/": {
        "POST": "302  404  404  404  302  302  302  302  302  302"
    },
    "applications/<int:application>/reject/": {
        "POST": "302  404  404  404  302  302  302  302  302  302"
    },
    "robots/<uuid:uid>/share/": {"GET": PAGE_REFUSED, "POST": DEED_REFUSED},
    "executions/<uuid:uid>/share/": {"GET": PAGE_REFUSED, "POST": DEED_REFUSED},
    "shares/": {"GET": PAGE},
    "shares/<str:key>/off/": {"POST": PAGE_DEED},
    # On again by the sharer alone, who must still be allowed to share.
    "shares/<str:key>/on/": {"POST": "302  404  404  302  302  302  302  302  302  404"},
    # Who has the key reads it, whoever they are; that of an expired enterprise shows nothing.
    "s/<str:key>/": {"GET": BY_KEY},
    "login/": {
        "GET": "200  302  302  302  200  200  200  200  302  302",
        "POST": "200  302  302  302  200  200  200  200  302  302",
    },
    # Only who has given their password is asked for more.
    "login/second-step/": {"GET": REDIRECT, "POST": REDIRECT},
    "login/passkey/": {"GET": REDIRECT, "POST": REDIRECT},
    # No provider is configured.
    "login/oidc/": {"POST": ABSENT},
    "login/oidc/callback/": {"GET": ABSENT},
    "login/oidc/cancelled/": {"GET": OPEN},
    "logout/": {"POST": REDIRECT},
    # Nor is e-mail, and signing up is not open.
    "signup/": {"GET": ABSENT, "POST": ABSENT},
    "signup/<str:token>/": {"GET": ABSENT, "POST": ABSENT},
    "password/reset/": {"GET": ABSENT, "POST": ABSENT},
    "password/reset/sent/": {"GET": ABSENT},
    "password/reset/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>[^/]+)/": {"GET": ABSENT, "POST": ABSENT},
    "password/reset/done/": {"GET": ABSENT},
    "account/": {"GET": PAGE, "POST": "302  302  302  302  302  302  302  302  302  302"},
    "account/password/": {"GET": PAGE, "POST": PAGE},
    "account/email/": {"GET": ABSENT, "POST": ABSENT},
    "account/email/<str:key>/": {"GET": ABSENT, "POST": ABSENT},
    "account/reauthenticate/": {"GET": PAGE, "POST": PAGE},
    "account/reauthenticate/code/": {"GET": REDIRECT, "POST": REDIRECT},
    "account/reauthenticate/passkey/": {"GET": REDIRECT, "POST": REDIRECT},
    "account/mfa/": {"GET": PAGE},
    # Each asks first whether it is still them; what is not there is absent.
    "account/mfa/codes/": {"GET": REDIRECT, "POST": REDIRECT},
    "account/mfa/codes/remove/": {"GET": MINE, "POST": MINE},
    "account/mfa/recovery/": {"GET": MINE},
    "account/mfa/recovery/file/": {"GET": MINE},
    "account/mfa/recovery/new/": {"GET": REDIRECT, "POST": REDIRECT},
    "account/passkeys/new/": {"GET": REDIRECT, "POST": REDIRECT},
    "account/passkeys/<int:pk>/": {"GET": MINE, "POST": MINE},
    "account/passkeys/<int:pk>/remove/": {"GET": MINE, "POST": MINE},
    "account/oidc/disconnect/": {"POST": REDIRECT},
    "account/sessions/": {"GET": PAGE},
    "account/sessions/others/end/": {"POST": REDIRECT},
    "account/sessions/<int:pk>/end/": {"POST": MINE},
    "account/keys/": {
        "GET": PAGE,
        "POST": "302  422  422  422  302  302  302  302  422  422",
    },
    "account/keys/<int:pk>/revoke/": {"POST": MINE},
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
    "api/v1/spaces/<int:pk>/api-keys/": {
        "GET": API_REFUSED + "200  200",
        "POST": API_REFUSED + "201  404",
    },
    "api/v1/spaces/<int:pk>/api-keys/<int:key>/revoke/": {"POST": API_REFUSED + "200  200"},
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
    "api/v1/executions/(?P<uid>[^/.]+)/queue/": {"GET": API_OBJECT},
    "api/v1/executions/(?P<uid>[^/.]+)/priority/": {"POST": API_REFUSED + "204  204"},
    "api/v1/executions/(?P<uid>[^/.]+)/run-next/": {"POST": API_REFUSED + "204  204"},
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
    # By the token of one machine, which none of these has.
    "runners/join.sh": {"GET": OPEN},
    "runners/sources.tar.gz": {"GET": "404  404  404  404  404  404  404  404  404  404"},
    "runners/join": {"POST": "404  404  404  404  404  404  404  404  404  404"},
    "metrics": {"GET": "404  404  404  404  404  404  404  404  404  200"},
    "healthz": {"GET": OPEN},
    "rpa/v1/ping": {"GET": OPEN},
    # A missing header is malformed; a wrong key is told inside the stream, as the protocol has it.
    "rpa/v1/exec": {"POST": "422  422  422  422  200  200  200  422  422  422"},
    "admin/": {"GET": STAFF},
    "admin/search/": {"GET": STAFF},
    # The way in is the one of the pages.
    "admin/login/": {
        "GET": "302  403  403  403  302  302  302  302  403  302",
        "POST": "302  403  403  403  302  302  302  302  403  302",
    },
    "admin/logout/": {"POST": REDIRECT},
    "admin/password_change/": {"GET": REDIRECT, "POST": REDIRECT},
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
    "spaces.spacekey": "",
    "joining.invite": "",
    "joining.application": "",
    "robots.robot": "change delete",
    "robots.robotversion": "",
    "sharing.share": "change",
    "executions.execution": "",
    "executions.artifact": "",
    "executions.runner": "",
    "executions.pool": "add change",
    "executions.runlimit": "add change delete",
    "executions.spaceshare": "add change delete",
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
