"""What the libraries tell of signing in: sessions are kept in order, and the audit hears of it."""

from typing import Any

from allauth.account.signals import password_reset
from allauth.account.signals import user_logged_in as signed_in
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import (
    authentication_failed,
    authenticator_added,
    authenticator_removed,
    authenticator_reset,
)
from allauth.socialaccount.signals import social_account_added
from allauth.usersessions import signals as usersessions
from django.contrib.auth.signals import user_logged_in, user_logged_out

from accounts import identities, sessions
from accounts.models import User
from audit.recording import refused, tell
from audit.scenes import who_is


def connect() -> None:
    # It would look at each of the user's sessions at every sign-in; accounts/sessions.py keeps them.
    signed_in.disconnect(usersessions.on_user_logged_in)
    user_logged_in.connect(_signed_in)
    user_logged_out.connect(_signed_out)
    password_reset.connect(_password_reset)
    authenticator_added.connect(_factor_added)
    authenticator_removed.connect(_factor_removed)
    authenticator_reset.connect(_codes_renewed)
    authentication_failed.connect(_wrong_code)
    social_account_added.connect(_connected)


def _signed_in(request: Any, user: User, **_of_signal: Any) -> None:
    sessions.opened(request, user)


def _signed_out(request: Any, **_of_signal: Any) -> None:
    sessions.closed(request)


def _password_reset(user: User, **_of_signal: Any) -> None:
    sessions.end_all(user, by=user)


def _factor_added(user: User, authenticator: Authenticator, **_of_signal: Any) -> None:
    _tell("mfa.add", user, authenticator)


def _factor_removed(user: User, authenticator: Authenticator, **_of_signal: Any) -> None:
    _tell("mfa.remove", user, authenticator)


def _codes_renewed(user: User, authenticator: Authenticator, **_of_signal: Any) -> None:
    _tell("mfa.renew", user, authenticator)


def _tell(action: str, user: User, authenticator: Authenticator) -> None:
    tell(action, who=who_is(user), on=user, kind=authenticator.type)


def _wrong_code(user: User, reauthentication: bool, **_of_signal: Any) -> None:
    action = "session.reauthenticate" if reauthentication else "session.sign_in"
    refused({"reason": "wrong code"}, action=action, who=who_is(user))


def _connected(sociallogin: Any, **_of_signal: Any) -> None:
    identities.tell_of(sociallogin.user, "identity.connect", sociallogin.account)
