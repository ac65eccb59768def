"""Signing in with a password: the page, and how often a wrong one may be tried."""

import hashlib
import math
import time
from collections.abc import Callable
from functools import wraps
from http import HTTPStatus

from django.contrib.auth.views import LoginView
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse

from audit.scenes import address_of

ATTEMPTS = 10
WINDOW_SECONDS = 15 * 60


class SignIn(LoginView):
    """Django's, for who is signed in already too: they go on to where they wanted."""

    redirect_authenticated_user = True

    def get_redirect_url(self, request: HttpRequest | None = None) -> str:
        # Back to this very page would be a circle, which Django answers with an error.
        url = super().get_redirect_url()
        return "" if url.partition("?")[0] == reverse("login") else url


def limited(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A sign-in view that takes ATTEMPTS wrong passwords a quarter of an hour, account and address.

    An attempt counts before its password is looked at, so that racing ones are bounded too; success
    takes the count back.
    """

    @wraps(view)
    def guarded(request: HttpRequest) -> HttpResponseBase:
        account = request.POST.get("username", "").strip().casefold()
        if request.method != "POST" or not account:
            return view(request)
        window, passed = divmod(int(time.time()), WINDOW_SECONDS)
        key = _key(window, account, address_of(request))
        if _count(key) > ATTEMPTS:
            return _too_many(request, WINDOW_SECONDS - passed)
        response = view(request)
        # A redirect alone proves nothing: who is signed in as somebody else gets one at once.
        if request.user.is_authenticated and request.user.get_username().casefold() == account:
            cache.delete(key)
        return response

    return guarded


def _key(window: int, account: str, address: str) -> str:
    who = hashlib.sha256(f"{address} {account}".encode("utf-8", "replace")).hexdigest()
    return f"sign-in:{window}:{who}"


def _count(key: str) -> int:
    cache.add(key, 0, WINDOW_SECONDS)
    try:
        return cache.incr(key)
    except ValueError:  # a full cache has thrown it out in between
        return 1


def _too_many(request: HttpRequest, seconds: int) -> HttpResponse:
    context = {"minutes": math.ceil(seconds / 60)}
    response = render(request, "429.html", context, status=HTTPStatus.TOO_MANY_REQUESTS)
    response["Retry-After"] = str(seconds)
    return response
