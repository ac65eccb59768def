"""Signing in and out, and trying to. A name that nobody has is not kept: people type passwords there."""

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed

from audit.recording import refused, tell
from audit.scenes import Who, who_is


def connect() -> None:
    user_logged_in.connect(_signed_in)
    user_logged_out.connect(_signed_out)
    user_login_failed.connect(_failed)


def _signed_in(user: Any, **_of_signal: Any) -> None:
    tell("session.sign_in", who=who_is(user), on=user)


def _signed_out(user: Any, **_of_signal: Any) -> None:
    if user is not None:
        tell("session.sign_out", who=who_is(user), on=user)


def _failed(credentials: dict[str, Any], **_of_signal: Any) -> None:
    model = get_user_model()
    name = str(credentials.get(model.USERNAME_FIELD, ""))[:150]
    user = model._default_manager.filter(**{model.USERNAME_FIELD: name}).first()
    who = who_is(user) if user is not None else Who(name="?")
    refused(
        {"reason": "wrong password" if user else "no such account"},
        action="session.sign_in",
        who=who,
    )
