"""The pages of second factors and passkeys: django-allauth's, arranged on one page of the account."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes import views as recovery
from allauth.mfa.webauthn.views import AddWebAuthnView, EditWebAuthnView, RemoveWebAuthnView
from django.contrib import messages
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse_lazy

from accounts.encryption import Unreadable


class AddPasskey(AddWebAuthnView):
    """Django-allauth leaves the form of a refused passkey out of the page; here it says what was wrong."""

    def get_context_data(self, **more: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**more)
        return {**context, "form": more.get("form") or context["form"]}


class _OwnPasskey:
    """One of their own, before anything is asked of them: that of others is absent."""

    def dispatch(self, request: HttpRequest, *arguments: Any, pk: int) -> HttpResponseBase:
        own = Authenticator.objects.filter(
            type=Authenticator.Type.WEBAUTHN, user_id=request.user.pk
        )
        if request.user.is_authenticated and not own.filter(pk=pk).exists():
            raise Http404
        response: HttpResponseBase = super().dispatch(request, *arguments, pk=pk)  # type: ignore[misc]
        return response


class RenamePasskey(_OwnPasskey, EditWebAuthnView):
    success_url = reverse_lazy("mfa_index")


class RemovePasskey(_OwnPasskey, RemoveWebAuthnView):
    success_url = reverse_lazy("mfa_index")


def _readable(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Recovery codes that were encrypted by a key of before are said to be so."""

    @wraps(view)
    def wrapped(request: HttpRequest) -> HttpResponseBase:
        try:
            response = view(request)
            if hasattr(response, "render"):
                response.render()
        except Unreadable as error:
            messages.error(request, str(error))
            return redirect("mfa_index")
        return response

    return wrapped


view_codes = _readable(recovery.view_recovery_codes)
download_codes = _readable(recovery.download_recovery_codes)
