"""How these pages answer: signed in or not at all; a refusal is a message on the page."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from http import HTTPStatus
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods

from accounts.actors import Actor
from accounts.refusals import Forbidden, NotFound, Refused
from audit import recording

View = Callable[..., HttpResponse]


def page(*methods: str) -> Callable[[View], Callable[..., HttpResponseBase]]:
    """A view for who is signed in. Of what does not exist for them it is a 404, of what they may not see a 403."""

    def decorate(view: View) -> Callable[..., HttpResponseBase]:
        @login_required
        @require_http_methods([*methods, "HEAD"] if "GET" in methods else list(methods))
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            try:
                return view(request, *args, **kwargs)
            except NotFound as error:
                raise Http404 from error
            except Forbidden as error:
                context = {"message": str(error)}
                return render(request, "403.html", context, status=HTTPStatus.FORBIDDEN)

        return guarded

    return decorate


def tried(request: HttpRequest, deed: str, on: Model, *, by: Actor) -> AbstractContextManager[None]:
    """Where a page refuses what a service would have refused: it is told of alike. Who only looks tries nothing."""
    looks = request.method in {"GET", "HEAD"}
    return nullcontext() if looks else recording.attempt(deed, on, by=by)


def attempt(request: HttpRequest, deed: Callable[[], Any], done: str) -> bool:
    """Do it, and leave a message for the next page that says what came of it."""
    try:
        deed()
    except Refused as error:
        _raise_hidden(error)
        messages.error(request, str(error))
        return False
    messages.success(request, done)
    return True


def fill_in(form: forms.Form, deed: Callable[[], Any]) -> bool:
    """Do it, and put a refusal where it belongs in the form."""
    try:
        deed()
    except Refused as error:
        _raise_hidden(error)
        places = {str(each["where"]) for each in error.details.get("errors", [])}
        field = next((name for name in form.fields if name in places), None)
        if field is None and error.code == "name_taken" and "name" in form.fields:
            field = "name"
        form.add_error(field, str(error))
        return False
    return True


def _raise_hidden(error: Refused) -> None:
    """What does not exist for the reader is said by no message; who is no member, by one."""
    if error.code == NotFound.code:
        raise error


def status_of(form: forms.Form) -> int:
    return HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK


def back(request: HttpRequest, otherwise: str) -> HttpResponse:
    """To the page of this site that the form was on."""
    wanted = request.POST.get("next", "")
    ours = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return redirect(wanted if ours else otherwise)
