"""What django-allauth asks the house: its words, its addresses, its rules about who may come in."""

from ipaddress import ip_address
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialApp
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import devices, encryption, identities
from accounts.actors import actor_of
from accounts.models import User
from accounts.refusals import Refused
from audit.recording import deed, refused
from audit.scenes import address_of, who_is


class AccountAdapter(DefaultAccountAdapter):
    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "username_password_mismatch": _("The user name or the password is wrong."),
        "incorrect_password": _("The password is wrong."),
        "enter_current_password": _("The password is wrong."),
        "incorrect_code": _("The code is wrong."),
    }

    def authenticate(self, request: HttpRequest, **credentials: Any) -> User | None:
        """The active user with these; who is deactivated is told no more than who is wrong."""
        user = super().authenticate(request, **credentials)
        return user if isinstance(user, User) and user.is_active else None

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Attempts are counted by accounts/sign_in.py."""

    def is_safe_url(self, url: str) -> bool:
        """Only this host itself: others that it is called by may be somebody else's tomorrow."""
        request = context.request
        return url_has_allowed_host_and_scheme(
            url, allowed_hosts={request.get_host()}, require_https=request.is_secure()
        )

    def get_client_ip(self, request: HttpRequest) -> str:
        """An address that a column takes; where there is none, as in commands, that of nobody."""
        try:
            return str(ip_address(address_of(request)))
        except ValueError:
            return "0.0.0.0"  # noqa: S104 - nothing is bound to it

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return reverse("account")

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Nobody signs up through the library: accounts/sign_up.py has the house's own way."""
        return False

    def respond_user_inactive(self, request: HttpRequest, user: User) -> HttpResponse:
        refused({"reason": "deactivated"}, action="session.sign_in", who=who_is(user))
        messages.error(request, gettext("You cannot sign in by this way."))
        return redirect("account_login")

    def post_login(self, request: HttpRequest, user: User, **options: Any) -> HttpResponse:
        response: HttpResponse = super().post_login(request, user, **options)
        devices.remember(response, user)
        return response

    def set_password(self, user: User, password: str) -> None:
        """The password's one way in. It ends every session, of which the caller keeps its own."""
        with deed("password.change", user):
            super().set_password(user, password)

    def get_reset_password_from_key_url(self, key: str) -> str:
        """By the platform's own address, whatever host the request has named."""
        path: str = super().get_reset_password_from_key_url(key)
        return _at_base(path)

    def get_email_confirmation_url(self, request: HttpRequest, emailconfirmation: Any) -> str:
        return _at_base(super().get_email_confirmation_url(request, emailconfirmation))


def _at_base(url: str) -> str:
    request = context.request
    return settings.RPA_BASE_URL + url.removeprefix(f"{request.scheme}://{request.get_host()}")


class SecondFactorAdapter(DefaultMFAAdapter):
    error_messages = {**DefaultMFAAdapter.error_messages, "incorrect_code": _("The code is wrong.")}

    def encrypt(self, text: str) -> str:
        return encryption.encrypt(text)

    def decrypt(self, encrypted_text: str) -> str:
        return encryption.decrypt(encrypted_text)

    def get_totp_label(self, user: User) -> str:
        return user.get_username()

    def generate_authenticator_name(self, user: User, type: Authenticator.Type) -> str:
        held = Authenticator.objects.filter(user_id=user.pk, type=type).count()
        return gettext("Passkey %(number)d") % {"number": held + 1}

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        host: str = context.request.get_host()
        return {
            "id": host.rsplit(":", 1)[0] if not host.endswith("]") else host,
            "name": "RPA Platform",
        }

    def get_public_key_credential_user_entity(self, user: User) -> dict[str, Any]:
        entity: dict[str, Any] = super().get_public_key_credential_user_entity(user)
        return {**entity, "name": user.get_username()}


class IdentityAdapter(DefaultSocialAccountAdapter):
    """The one provider of the settings; who its subjects are is said by accounts/identities.py."""

    def list_apps(self, request: HttpRequest | None, **_wanted: Any) -> list[SocialApp]:
        if not settings.RPA_OIDC_ISSUER:
            return []
        return [
            SocialApp(
                provider="openid_connect",
                provider_id=identities.PROVIDER,
                name=settings.RPA_OIDC_NAME,
                client_id=settings.RPA_OIDC_CLIENT_ID,
                secret=settings.RPA_OIDC_CLIENT_SECRET,
                settings={"server_url": settings.RPA_OIDC_ISSUER, "oauth_pkce_enabled": True},
            )
        ]

    def authenticate_by_email(self, sociallogin: Any) -> None:
        """Never: see accounts/identities.py."""

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        """Put the user who the subject is into the login; it is then an existing one."""
        connecting = sociallogin.state.get("process") == "connect"
        try:
            user = self._user(request, sociallogin, connecting=connecting)
        except Refused as error:
            refused({"reason": str(error)}, action="session.sign_in")
            messages.error(request, str(error))
            raise ImmediateHttpResponse(
                redirect("account" if connecting else "account_login")
            ) from None
        if connecting:
            return
        sociallogin.user = user
        if sociallogin.account.pk is None:
            identities.connect(user, sociallogin.account)
        if user.is_active:
            identities.tell_groups(user, sociallogin.claims)

    def _user(self, request: HttpRequest, sociallogin: Any, *, connecting: bool) -> User:
        subject = identities.subject_of(sociallogin.claims)
        if (
            sociallogin.account.uid != subject
        ):  # a database that compares loosely has found another one
            raise identities.TakenBySomebody(
                gettext("Another identity is spelled nearly like yours.")
            )
        if not connecting:
            return identities.admit(sociallogin.claims)
        owner = identities.find(subject)
        if owner is not None and owner != request.user:
            raise identities.TakenBySomebody(
                gettext("That identity belongs to another account here.")
            )
        return actor_of(request).user

    def get_connect_redirect_url(self, request: HttpRequest, socialaccount: Any) -> str:
        return reverse("account")

    def on_authentication_error(
        self, request: HttpRequest, provider: Any, error: Any = None, exception: Any = None,
        extra_context: Any = None,
    ) -> None:  # fmt: skip
        refused(
            {
                "reason": "the identity provider's answer",
                "detail": str(exception or error or "")[:300],
            },
            action="session.sign_in",
        )
