"""What needs e-mail: forgotten passwords, and addresses that their owners have proved. Absent without it."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.account import views
from allauth.account.models import EmailAddress
from django.conf import settings
from django.db.models import Q
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_http_methods

from accounts import attempts
from accounts.attempts import Limit, TooManyAttempts, network_of
from accounts.sign_in import too_many

#: Mails that one address may cause in a quarter of an hour, and that one mailbox may get.
FROM_ADDRESS = 20
TO_MAILBOX = 3

_View = Callable[..., HttpResponseBase]


def with_mail(view: _View) -> _View:
    """A page that is absent where no e-mail is configured."""

    @require_http_methods(["GET", "HEAD", "POST"])
    @wraps(view)
    def wrapped(request: HttpRequest, *arguments: Any, **named: Any) -> HttpResponseBase:
        if not settings.RPA_EMAIL_URL:
            raise Http404
        return view(request, *arguments, **named)

    return wrapped


def mailing(view: _View) -> _View:
    """A page with mail whose POST may send some, to the mailbox that its `email` names."""

    @with_mail
    @wraps(view)
    def wrapped(request: HttpRequest, *arguments: Any, **named: Any) -> HttpResponseBase:
        if request.method == "POST":
            mailbox = request.POST.get("email", "").strip().casefold()
            try:
                attempts.take(
                    Limit("mail from", network_of(request), FROM_ADDRESS),
                    Limit("mail to", mailbox, TO_MAILBOX),
                )
            except TooManyAttempts as error:
                return too_many(request, error.seconds)
        return view(request, *arguments, **named)

    return wrapped


def _email(request: HttpRequest) -> HttpResponseBase:
    """Another address for oneself. Until it is proved, the one of before stays."""
    user = request.user
    if user.is_authenticated and user.email:
        known = EmailAddress.objects.filter(
            Q(user=user, verified=True) | Q(email=user.email, verified=True)
        )
        if not known.exists():
            # Operators and the identity provider have entered it: that is as good as proved.
            EmailAddress.objects.update_or_create(
                user=user, email=user.email.lower(), defaults={"verified": True, "primary": True}
            )
    response: HttpResponseBase = views.email(request)
    return response


reset = mailing(views.password_reset)
reset_done = with_mail(views.password_reset_done)
reset_from_key = with_mail(views.password_reset_from_key)
reset_from_key_done = with_mail(views.password_reset_from_key_done)
email = mailing(_email)
confirm_email = with_mail(views.confirm_email)
