"""The forms of signing in: django-allauth's, with the house's limits, and deaf to what no browser sends."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.forms import ChangePasswordForm as BaseChangePasswordForm
from allauth.account.forms import LoginForm
from allauth.account.forms import ReauthenticateForm as BaseReauthenticateForm
from allauth.account.forms import ResetPasswordForm as BaseResetPasswordForm
from allauth.core import context
from allauth.mfa.base.forms import AuthenticateForm
from allauth.mfa.base.forms import ReauthenticateForm as BaseReauthenticateByCodeForm
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.forms import ActivateTOTPForm
from allauth.mfa.totp.internal.auth import SECRET_SESSION_KEY
from allauth.mfa.webauthn.forms import (
    AddWebAuthnForm,
    AuthenticateWebAuthnForm,
    LoginWebAuthnForm,
    ReauthenticateWebAuthnForm,
)
from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import attempts
from accounts.attempts import Limit, TooManyAttempts
from accounts.encryption import Unreadable, decrypt, encrypt
from accounts.models import User
from audit.recording import refused

#: Wrong codes, and wrong passwords of who is signed in already, of one user.
MOST_CODES = 10
#: A code of an app is taken for as long as three of its steps.
_CODE_SECONDS = 120


def no_more() -> forms.ValidationError:
    return forms.ValidationError(
        _("There were too many attempts. Try again in a quarter of an hour."), code="too_many"
    )


@contextmanager
def _limited(limit: Limit) -> Iterator[None]:
    """What is checked inside is wrong if it raises ValidationError, and counts then."""
    try:
        attempts.take(limit)
    except TooManyAttempts:
        raise no_more() from None
    yield
    attempts.give_back(limit)


class SignInForm(LoginForm):
    """Name and password. In pages and for programs the name is called `username`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.fields["login"].widget.attrs.update(autocapitalize="none", spellcheck="false")
        for field in self.fields.values():
            field.widget.attrs.pop("placeholder", None)
        self.fields["password"].help_text = ""

    def add_prefix(self, field_name: str) -> str:
        return "username" if field_name == "login" else str(super().add_prefix(field_name))


class ChangePasswordForm(BaseChangePasswordForm):
    def clean_oldpassword(self) -> str:
        with _limited(Limit("password of the signed-in", str(self.user.pk), MOST_CODES)):
            return str(super().clean_oldpassword())


class ReauthenticateForm(BaseReauthenticateForm):
    def clean_password(self) -> str:
        with _limited(Limit("password of the signed-in", str(self.user.pk), MOST_CODES)):
            # Not by `authenticate`, which would tell the audit of a failed sign-in.
            if not self.user.check_password(self.cleaned_data["password"]):
                refused({"reason": "wrong password"}, action="session.reauthenticate")
                raise get_adapter().validation_error("incorrect_password")
        return str(self.cleaned_data["password"])


class ResetPasswordForm(BaseResetPasswordForm):
    """Accounts whose password is kept elsewhere have none to reset here."""

    def clean_email(self) -> str:
        email: str = super().clean_email()
        self.users: list[User] = [each for each in self.users if each.has_usable_password()]
        return email


class ProfileForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = User
        fields = ["first_name", "last_name"]


class _Once:
    """Codes: limited for each user, and those of an app taken once, by whichever process."""

    user: User
    authenticator: Authenticator

    def clean_code(self) -> str:
        with _limited(Limit("code", str(self.user.pk), MOST_CODES)):
            try:
                code: str = super().clean_code()  # type: ignore[misc]
            except Unreadable as error:
                raise forms.ValidationError(str(error), code=error.code) from None
            if self.authenticator.type == Authenticator.Type.TOTP:
                plain = "".join(each for each in code if each.isalnum())
                if not attempts.first_use(f"{self.user.pk} {plain}", _CODE_SECONDS):
                    raise forms.ValidationError(
                        _("This code has been used already. Wait for the next one."), code="used"
                    )
        return code


class CodeForm(_Once, AuthenticateForm):
    pass


class ReauthenticateByCodeForm(_Once, BaseReauthenticateByCodeForm):
    pass


class ActivateCodesForm(ActivateTOTPForm):
    """Until a code proves it, the secret waits in the session, which allauth keeps readable: here it is encrypted."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        session = context.request.session
        waiting = session.pop(SECRET_SESSION_KEY, None)
        if waiting is not None:
            with suppress(Unreadable):  # by another key: there is a new one then
                session[SECRET_SESSION_KEY] = decrypt(waiting)
        super().__init__(*arguments, **options)
        session[SECRET_SESSION_KEY] = encrypt(self.secret)

    def clean_code(self) -> str:
        with _limited(Limit("code", str(self.user.pk), MOST_CODES)):
            return str(super().clean_code())


def _refusing(check: Callable[[], Any]) -> Any:
    """What `check` returns; whatever breaks in what a stranger has made up is wrong, and no fault of ours."""
    try:
        return check()
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError):
        raise forms.ValidationError(_("The passkey was not accepted."), code="passkey") from None


class AddPasskeyForm(AddWebAuthnForm):
    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=100,
        required=False,
        help_text=gettext_lazy("Such as the device that it is on."),
    )
    passwordless = forms.BooleanField(
        label=gettext_lazy("Sign in with this passkey alone"),
        required=False,
        initial=True,
        help_text=gettext_lazy("Otherwise it is asked for after the password."),
    )

    def clean(self) -> Any:
        return _refusing(super().clean)


class PasskeyForm(AuthenticateWebAuthnForm):
    def clean_credential(self) -> Any:
        with _limited(Limit("code", str(self.user.pk), MOST_CODES)):
            return _refusing(super().clean_credential)


class PasskeySignInForm(LoginWebAuthnForm):
    def clean_credential(self) -> Any:
        return _refusing(super().clean_credential)


class ReauthenticateByPasskeyForm(ReauthenticateWebAuthnForm):
    def clean_credential(self) -> Any:
        with _limited(Limit("code", str(self.user.pk), MOST_CODES)):
            return _refusing(super().clean_credential)
