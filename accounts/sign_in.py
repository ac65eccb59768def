"""Signing in: the page, how often a wrong password may be tried, and the one way in for the admin, too."""

import math
from http import HTTPStatus
from typing import Any

from allauth.account.views import LoginView
from allauth.mfa.webauthn.views import LoginWebAuthnView
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render, resolve_url
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode

from accounts import attempts, devices
from accounts.attempts import Limit, TooManyAttempts, network_of
from audit.recording import refused

#: Wrong passwords in a quarter of an hour: for one account from one address, or from one known browser ...
OF_ONE = 10
#: ... for one account from all unknown ones, and from one address for all accounts.
OF_ACCOUNT = 100
OF_ADDRESS = 100
#: Passkeys: there is nothing to guess, but something to work out.
PASSKEYS = 60


class SignIn(LoginView):
    """By name and password, or on to a passkey or the identity provider."""

    template_name = "account/login.html"
    limits: tuple[Limit, ...] = ()

    def post(self, request: HttpRequest, *arguments: Any, **named: Any) -> HttpResponseBase:
        account = request.POST.get("username", "").strip().casefold()
        if account:
            self.limits = _limits(request, account)
            try:
                attempts.take(*self.limits)
            except TooManyAttempts as error:
                return too_many(request, error.seconds)
        response: HttpResponseBase = super().post(request, *arguments, **named)
        return response

    def form_valid(self, form: Any) -> HttpResponse:
        """The password was right, whatever is asked for next."""
        attempts.forget(self.limits[0])
        attempts.give_back(*self.limits[1:])
        response: HttpResponse = super().form_valid(form)
        return response

    def get_context_data(self, **more: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**more)
        return {
            **context,
            "next": context["redirect_field_value"] or "",
            "provider": settings.RPA_OIDC_NAME if settings.RPA_OIDC_ISSUER else "",
            "mail": bool(settings.RPA_EMAIL_URL),
            "open_sign_up": settings.RPA_OPEN_SIGN_UP,
        }


def _limits(request: HttpRequest, account: str) -> tuple[Limit, ...]:
    device = devices.known(request, account)
    if device is not None:
        return (Limit("password in browser", device, OF_ONE),)
    network = network_of(request)
    return (
        Limit("password", f"{network} {account}", OF_ONE),
        Limit("password of account", account, OF_ACCOUNT),
        Limit("password from", network, OF_ADDRESS),
    )


class PasskeySignIn(LoginWebAuthnView):
    """By a passkey alone. GET asks for a challenge, POST brings the answer."""

    def post(self, request: HttpRequest, *arguments: Any, **named: Any) -> HttpResponseBase:
        try:
            attempts.take(Limit("passkey", network_of(request), PASSKEYS))
        except TooManyAttempts as error:
            return too_many(request, error.seconds)
        response: HttpResponseBase = super().post(request, *arguments, **named)
        return response

    def form_invalid(self, form: Any) -> HttpResponse:
        refused({"reason": "wrong passkey"}, action="session.sign_in")
        response: HttpResponse = super().form_invalid(form)
        return response


def admin_door(request: HttpRequest) -> HttpResponse:
    """The admin has no sign-in of its own, which would ask for no second factor."""
    wanted = request.GET.get("next", "")
    hosts = {request.get_host()}
    if not url_has_allowed_host_and_scheme(wanted, hosts, require_https=request.is_secure()):
        wanted = reverse("admin:index")
    if not request.user.is_authenticated:
        return redirect(f"{resolve_url(settings.LOGIN_URL)}?{urlencode({'next': wanted})}")
    if not (request.user.is_active and request.user.is_staff):
        raise PermissionDenied
    return redirect("admin:index" if wanted.startswith(request.path) else wanted)


def too_many(request: HttpRequest, seconds: int) -> HttpResponse:
    """429, and when to come again."""
    context = {"minutes": math.ceil(seconds / 60)}
    response = render(request, "429.html", context, status=HTTPStatus.TOO_MANY_REQUESTS)
    response["Retry-After"] = str(seconds)
    return response
