"""Signing in by the identity provider: django-allauth's OpenID Connect, with every token checked by its keys.

django-allauth finds this module by its name, and its class by `provider_classes`.
"""

import secrets
from typing import Any

import requests
from allauth.account.internal.decorators import login_not_required
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.models import SocialApp
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse

from accounts.identities import PROVIDER, subject_of
from accounts.issuer import BadToken, ProviderAway, issuer
from accounts.refusals import Refused


class OidcAdapter(OpenIDConnectOAuth2Adapter):
    """Trusts nothing but what the configured issuer has signed for this sign-in."""

    nonce = ""

    @property
    def openid_config(self) -> dict[str, Any]:
        provider = issuer()
        if provider is None:
            raise OAuth2Error("No provider is configured.")
        try:
            return provider.configuration()
        except ProviderAway as error:
            raise OAuth2Error(str(error)) from None

    def get_callback_url(self, request: HttpRequest, app: SocialApp) -> str:
        """By the platform's own address, as the provider knows it."""
        return f"{settings.RPA_BASE_URL}{reverse('oidc_callback')}"

    def complete_login(self, request: HttpRequest, app: Any, token: Any, **answer: Any) -> Any:
        """The claims of the ID token, and those of the same person that userinfo adds."""
        provider = issuer()
        id_token = answer["response"].get("id_token")
        if provider is None or not isinstance(id_token, str):
            raise OAuth2Error("The provider sent no ID token.")
        try:
            claims = provider.verified(id_token, audiences=[app.client_id], nonce=self.nonce)
            subject_of(claims)
        except (BadToken, Refused) as error:
            raise OAuth2Error(f"The ID token was refused: {error}") from None
        if claims.get("azp", app.client_id) != app.client_id:
            raise OAuth2Error("The ID token was made for another client.")
        claims = {**self._more(token.token, claims), **claims}
        known = {
            "sub": claims["sub"],
            "preferred_username": str(claims.get("preferred_username", "")),
        }
        login = self.get_provider().sociallogin_from_response(request, known)
        login.claims = claims
        return login

    def _more(self, access_token: str, claims: dict[str, Any]) -> dict[str, Any]:
        if "userinfo_endpoint" not in self.openid_config:
            return {}
        found = self._fetch_user_info(access_token)
        if not isinstance(found, dict) or found.get("sub") != claims["sub"]:
            raise OAuth2Error("Userinfo is about somebody else.")
        return found


class OidcProvider(OpenIDConnectProvider):
    oauth2_adapter_class = OidcAdapter

    def get_login_url(self, request: HttpRequest, **_query: Any) -> str:
        return reverse("oidc_leave")

    def get_callback_url(self) -> str:
        return reverse("oidc_callback")

    def begin(self, request: HttpRequest, process: str, next_url: str | None) -> str:
        """The address at the provider at which this sign-in goes on, or OAuth2Error."""
        nonce = secrets.token_urlsafe(24)
        response = self.redirect(
            request, process, next_url=next_url, auth_params={"nonce": nonce}, nonce=nonce
        )
        if "Location" not in response:
            raise OAuth2Error("The provider does not say where.")
        return str(response["Location"])


provider_classes = [OidcProvider]


class Callback(OAuth2CallbackView):
    """Where the provider sends people back to."""

    adapter: OidcAdapter

    def _get_state(self, request: HttpRequest, provider: Any) -> Any:
        state, response = super()._get_state(request, provider)
        if state is not None:
            self.adapter.nonce = state.get("nonce", "")
        return state, response


@login_not_required
def callback(request: HttpRequest) -> HttpResponseBase:
    if issuer() is None:
        raise Http404
    view = Callback.adapter_view(OidcAdapter(request, PROVIDER))
    response: HttpResponse = view(request)
    return response


def provider_of(request: HttpRequest) -> OidcProvider:
    if issuer() is None:
        raise Http404
    found: OidcProvider = get_adapter().get_provider(request, PROVIDER)
    return found


#: What may go wrong on the way to the provider and back.
FAULTS = (OAuth2Error, requests.RequestException)
