"""Signing up, where it is open: first prove an address, then choose a name and a password.

The first page answers alike, and sends one mail, whether the address is known or not. No account is there
before its owner has proved the address.
"""

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.login import perform_login, record_authentication
from allauth.account.internal.userkit import filter_users_by_email
from allauth.account.models import EmailAddress, Login
from django import forms
from django.conf import settings
from django.contrib.auth import password_validation
from django.core import signing
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from accounts import attempts
from accounts.attempts import Limit, TooManyAttempts, network_of
from accounts.mail_pages import mailing, with_mail
from accounts.models import User
from accounts.sign_in import too_many
from audit.recording import deed

_SALT = "accounts.sign_up"
_SECONDS = 24 * 3600
#: Names and passwords in a quarter of an hour: with the mails to one address, and from one network.
OF_MAIL = 20
FROM_ADDRESS = 60


class AddressForm(forms.Form):
    email = forms.EmailField(
        label=gettext_lazy("E-mail address"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )


class AccountForm(forms.ModelForm):  # type: ignore[type-arg]
    password = forms.CharField(
        label=gettext_lazy("Password"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=password_validation.password_validators_help_text_html(),
    )

    class Meta:
        model = User
        fields = ["username"]

    def clean_username(self) -> str:
        """Names that differ in capitals alone would be taken for each other."""
        name: str = get_adapter().clean_username(self.cleaned_data["username"])
        return name

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        password_validation.validate_password(
            password, User(username=self.data.get("username", ""))
        )
        return password


def _open() -> None:
    if not settings.RPA_OPEN_SIGN_UP:
        raise Http404


@mailing
@require_http_methods(["GET", "HEAD", "POST"])
def sign_up(request: HttpRequest) -> HttpResponse:
    """Ask for an address, and send it what comes next."""
    _open()
    if request.user.is_authenticated:
        return redirect("home")
    form = AddressForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        _invite(form.cleaned_data["email"].lower())
        return render(request, "account/sign_up_sent.html")
    return render(
        request, "account/sign_up.html", {"form": form}, status=422 if form.errors else 200
    )


def _invite(email: str) -> None:
    adapter = get_adapter()
    if filter_users_by_email(email):
        adapter.send_mail(
            "account/email/account_already_exists",
            email,
            {"password_reset_url": settings.RPA_BASE_URL + reverse("account_reset_password")},
        )
        return
    token = signing.dumps(email, salt=_SALT)
    url = settings.RPA_BASE_URL + reverse("account_signup_complete", args=[token])
    adapter.send_mail("account/email/sign_up", email, {"url": url})


@with_mail
@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def complete(request: HttpRequest, token: str) -> HttpResponse:
    """The account of who has followed the mail."""
    _open()
    if request.user.is_authenticated:
        return redirect("home")
    try:
        email: str = signing.loads(token, salt=_SALT, max_age=_SECONDS)
    except signing.BadSignature:
        email = ""
    if not email or filter_users_by_email(email):
        return render(request, "account/sign_up_over.html", status=410)
    # Each answer says whether a name is taken.
    limits = (
        Limit("sign-up", email, OF_MAIL),
        Limit("sign-up from", network_of(request), FROM_ADDRESS),
    )
    if request.method == "POST":
        try:
            attempts.take(*limits)
        except TooManyAttempts as error:
            return too_many(request, error.seconds)
    form = AccountForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        user = _create(form, email)
        attempts.give_back(*limits)
        record_authentication(request, user, "password")
        response: HttpResponse = perform_login(request, Login(user=user))
        return response
    context: dict[str, Any] = {"form": form, "email": email}
    return render(
        request, "account/sign_up_complete.html", context, status=422 if form.errors else 200
    )


def _create(form: AccountForm, email: str) -> User:
    user: User = form.save(commit=False)
    user.email = email
    user.set_password(form.cleaned_data["password"])
    with deed("user.sign_up", user):
        user.save()
        EmailAddress.objects.create(user=user, email=email, primary=True, verified=True)
    return user
