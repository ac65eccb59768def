"""A person's own account: who they are, how they sign in, where they are signed in, their API keys."""

from datetime import timedelta
from typing import Any

from allauth.account.decorators import reauthentication_required
from allauth.account.utils import get_next_redirect_url
from allauth.account.views import PasswordChangeView
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts import identities, sessions
from accounts.actors import actor_of
from accounts.forms import ChangePasswordForm, ProfileForm
from accounts.key_forms import NewKeyForm
from accounts.models import ApiKey, User
from accounts.pagination import page_of
from accounts.provider import FAULTS, provider_of
from accounts.scopes import EVERYTHING, KNOWN_SCOPES
from audit.recording import deed

#: Usable keys of one user.
MOST_KEYS = 100


def user_of(request: HttpRequest) -> User:
    return actor_of(request).user


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def account(request: HttpRequest) -> HttpResponse:
    user = user_of(request)
    form = ProfileForm(request.POST if request.method == "POST" else None, instance=user)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, _("Saved."))
        return redirect("account")
    held = list(Authenticator.objects.filter(user=user))
    context = {
        "form": form,
        "codes": any(each.type == Authenticator.Type.TOTP for each in held),
        "passkeys": sum(each.type == Authenticator.Type.WEBAUTHN for each in held),
        "has_password": user.has_usable_password(),
        "mail": bool(settings.RPA_EMAIL_URL),
        "provider": settings.RPA_OIDC_NAME if settings.RPA_OIDC_ISSUER else "",
        "connected": SocialAccount.objects.filter(user=user, provider=identities.PROVIDER).first(),
    }
    return render(request, "account/account.html", context, status=422 if form.errors else 200)


class ChangePassword(PasswordChangeView):
    """One's own password. The other sessions end with it."""

    template_name = "account/password_change.html"

    def dispatch(self, request: HttpRequest, *arguments: Any, **named: Any) -> HttpResponseBase:
        if request.user.is_authenticated and not request.user.has_usable_password():
            return render(request, "account/password_elsewhere.html")
        response: HttpResponseBase = super().dispatch(request, *arguments, **named)
        return response

    def get_form_class(self) -> type[forms.Form]:
        return ChangePasswordForm

    def form_valid(self, form: Any) -> HttpResponse:
        user = user_of(self.request)
        ended = sessions.others(self.request, user)
        before = self.request.session.session_key
        response: HttpResponse = super().form_valid(form)
        sessions.end(user, ended, by=user)
        # This one goes on under another key.
        UserSession.objects.filter(session_key=before).delete()
        return response


# Sessions -----------------------------------------------------------------------------------------


@login_required
@require_http_methods(["GET", "HEAD"])
def session_list(request: HttpRequest) -> HttpResponse:
    here = request.session.session_key
    found = [
        {
            "session": each,
            "device": sessions.device_of(each.user_agent),
            "here": each.session_key == here,
        }
        for each in sessions.of(user_of(request))
    ]
    return render(request, "account/sessions.html", {"sessions": found})


@login_required
@require_POST
def session_end(request: HttpRequest, pk: int) -> HttpResponse:
    user = user_of(request)
    session = get_object_or_404(UserSession, pk=pk, user=user)
    sessions.end(user, [session], by=user)
    messages.success(request, _("The session was ended."))
    return redirect("sessions")


@login_required
@require_POST
def session_end_others(request: HttpRequest) -> HttpResponse:
    user = user_of(request)
    ended = sessions.end(user, sessions.others(request, user), by=user)
    messages.success(request, _("Ended: %(count)d other sessions.") % {"count": ended})
    return redirect("sessions")


# The identity provider ----------------------------------------------------------------------------


@require_POST
def oidc_leave(request: HttpRequest) -> HttpResponse:
    """On to the provider: to sign in there, or to connect the account that one is signed in with."""
    provider = provider_of(request)
    if request.user.is_authenticated:
        response: HttpResponse = _connect(request)
        return response
    return _leave(request, provider, "login")


@reauthentication_required(app="allauth.mfa")
def _connect(request: HttpRequest) -> HttpResponse:
    return _leave(request, provider_of(request), "connect")


def _leave(request: HttpRequest, provider: Any, process: str) -> HttpResponse:
    try:
        address = provider.begin(request, process, get_next_redirect_url(request))
    except FAULTS:
        context = {"auth_error": {"provider": provider}}
        return render(request, "socialaccount/authentication_error.html", context, status=503)
    # No redirect: browsers hold the answer to a form to the policy's `form-action`, and that is this site.
    page = render(request, "account/leaving.html", {"address": address, "provider": provider.name})
    page["Refresh"] = f"0; url={address}"
    return page


@login_required
@require_POST
@reauthentication_required(app="allauth.mfa")
def oidc_disconnect(request: HttpRequest) -> HttpResponse:
    """Part with the identity, where another way to sign in is left."""
    user = user_of(request)
    connected = get_object_or_404(SocialAccount, user=user, provider=identities.PROVIDER)
    if not user.has_usable_password() or connected.uid == user.uid:
        messages.error(
            request, _("It is the way by which you sign in: an operator has to change that.")
        )
        return redirect("account")
    connected.delete()
    identities.tell_of(user, "identity.disconnect", connected)
    messages.success(request, _("The identity is no longer connected."))
    return redirect("account")


# API keys -----------------------------------------------------------------------------------------


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def keys(request: HttpRequest) -> HttpResponse:
    """The keys, and a new one, whose secret this answer alone shows."""
    user = user_of(request)
    form = NewKeyForm(KNOWN_SCOPES, request.POST if request.method == "POST" else None)
    secret = ""
    if request.method == "POST" and form.is_valid():
        own = ApiKey.objects.filter(user=user, bound=False, revoked_at=None)
        if len(own.values_list("pk", flat=True)[:MOST_KEYS]) == MOST_KEYS:
            form.add_error(
                None, _("You have %(most)d keys: revoke some first.") % {"most": MOST_KEYS}
            )
        else:
            secret = _issue(user, form.cleaned_data)
            form = NewKeyForm(KNOWN_SCOPES)
    page = page_of(ApiKey.objects.filter(user=user), request.GET, size=20)
    context = {"form": form, "page": page, "secret": secret}
    return render(request, "account/keys.html", context, status=422 if form.errors else 200)


def _issue(user: User, wanted: dict[str, Any]) -> str:
    days = wanted["days"]
    _key, secret = ApiKey.issue(
        user=user,
        name=wanted["name"],
        scopes=wanted["scopes"] or [EVERYTHING],
        expires_at=timezone.now() + timedelta(days=days) if days else None,
    )
    return secret


@login_required
@require_POST
def key_revoke(request: HttpRequest, pk: int) -> HttpResponse:
    key = get_object_or_404(ApiKey, pk=pk, user=user_of(request))
    with deed("apikey.revoke", key):
        key.revoke()
    messages.success(request, _("%(name)s was revoked.") % {"name": key.name})
    return redirect("keys")
