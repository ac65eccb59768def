"""Every address of signing in and of one's own account. Names with a prefix are those that django-allauth asks for."""

from typing import Any

from allauth.account import views as account
from allauth.mfa.base import views as mfa
from allauth.mfa.recovery_codes import views as recovery
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as webauthn
from allauth.socialaccount import views as identity
from django.urls import path, re_path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts import mail_pages, mfa_pages, pages, provider, sign_up
from accounts.sign_in import PasskeySignIn, SignIn


def _form(view: Any) -> Any:
    """A page with a form: the library would take it by PUT as well, and let browsers keep its secrets."""
    return never_cache(require_http_methods(["GET", "HEAD", "POST"])(view))


urlpatterns = [
    path("login/", _form(SignIn.as_view()), name="account_login"),
    path("login/second-step/", _form(mfa.authenticate), name="mfa_authenticate"),
    path("login/passkey/", _form(PasskeySignIn.as_view()), name="mfa_login_webauthn"),
    path("login/oidc/", pages.oidc_leave, name="oidc_leave"),
    path("login/oidc/callback/", provider.callback, name="oidc_callback"),
    path("login/oidc/cancelled/", identity.login_cancelled, name="socialaccount_login_cancelled"),
    path("logout/", require_POST(account.logout), name="account_logout"),
    path("signup/", sign_up.sign_up, name="account_signup"),
    path("signup/<str:token>/", sign_up.complete, name="account_signup_complete"),
    path("password/reset/", mail_pages.reset, name="account_reset_password"),
    path("password/reset/sent/", mail_pages.reset_done, name="account_reset_password_done"),
    re_path(
        r"^password/reset/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>[^/]+)/$",
        mail_pages.reset_from_key,
        name="account_reset_password_from_key",
    ),
    path(
        "password/reset/done/",
        mail_pages.reset_from_key_done,
        name="account_reset_password_from_key_done",
    ),
    path("account/", pages.account, name="account"),
    path(
        "account/password/", _form(pages.ChangePassword.as_view()), name="account_change_password"
    ),
    path("account/email/", mail_pages.email, name="account_email"),
    path("account/email/<str:key>/", mail_pages.confirm_email, name="account_confirm_email"),
    path("account/reauthenticate/", _form(account.reauthenticate), name="account_reauthenticate"),
    path("account/reauthenticate/code/", _form(mfa.reauthenticate), name="mfa_reauthenticate"),
    path(
        "account/reauthenticate/passkey/",
        _form(webauthn.reauthenticate_webauthn),
        name="mfa_reauthenticate_webauthn",
    ),
    path("account/mfa/", mfa.index, name="mfa_index"),
    path("account/mfa/codes/", _form(totp.activate_totp), name="mfa_activate_totp"),
    path("account/mfa/codes/remove/", _form(totp.deactivate_totp), name="mfa_deactivate_totp"),
    path(
        "account/mfa/recovery/", never_cache(mfa_pages.view_codes), name="mfa_view_recovery_codes"
    ),
    path(
        "account/mfa/recovery/file/", mfa_pages.download_codes, name="mfa_download_recovery_codes"
    ),
    path(
        "account/mfa/recovery/new/",
        _form(recovery.generate_recovery_codes),
        name="mfa_generate_recovery_codes",
    ),
    path("account/passkeys/new/", _form(mfa_pages.AddPasskey.as_view()), name="mfa_add_webauthn"),
    path(
        "account/passkeys/<int:pk>/",
        _form(mfa_pages.RenamePasskey.as_view()),
        name="mfa_edit_webauthn",
    ),
    path(
        "account/passkeys/<int:pk>/remove/",
        _form(mfa_pages.RemovePasskey.as_view()),
        name="mfa_remove_webauthn",
    ),
    path("account/oidc/disconnect/", pages.oidc_disconnect, name="oidc_disconnect"),
    path("account/sessions/", pages.session_list, name="sessions"),
    path("account/sessions/others/end/", pages.session_end_others, name="session-end-others"),
    path("account/sessions/<int:pk>/end/", pages.session_end, name="session-end"),
    path("account/keys/", pages.keys, name="keys"),
    path("account/keys/<int:pk>/revoke/", pages.key_revoke, name="key-revoke"),
]
