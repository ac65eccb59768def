"""The API keys of a space: seeing them, making one, ending one."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from accounts.key_forms import NewKeyForm
from accounts.pagination import page_of
from people.answers import attempt, fill_in, page, status_of, tried
from people.frames import SPACE, frame_of
from people.lists import listed
from spaces.keys import key_to_revoke, keys_of, make_key, revoke_key
from spaces.permissions import DEFAULTS


@never_cache
@page("GET", "POST")
def keys(request: HttpRequest, pk: int) -> HttpResponse:
    """The keys, and a new one, whose secret this answer alone shows."""
    frame = frame_of(request, SPACE, pk)
    place: Any = frame.place
    with tried(request, "space.key_make", place, by=frame.actor):
        there = keys_of(place, by=frame.actor)
    form = NewKeyForm(DEFAULTS, request.POST if request.method == "POST" else None)
    secret = ""

    def make() -> None:
        nonlocal secret
        wanted = form.cleaned_data
        _held, secret = make_key(
            place,
            by=frame.actor,
            name=wanted["name"],
            scopes=wanted["scopes"] or None,
            days=wanted["days"] or None,
        )

    if form.is_valid() and fill_in(form, make):
        form = NewKeyForm(DEFAULTS)
    cut = page_of(there, request.GET)
    context = {**listed(cut), "frame": frame, "form": form, "secret": secret}
    return render(request, "people/keys.html", context, status=status_of(form))


@page("POST")
def revoke(request: HttpRequest, pk: int, key: int) -> HttpResponse:
    frame = frame_of(request, SPACE, pk)
    place: Any = frame.place
    held = key_to_revoke(place, key, by=frame.actor)
    done = _("%(name)s was revoked.") % {"name": held.key.name}
    attempt(request, lambda: revoke_key(held, by=frame.actor), done)
    return redirect("people:space-keys", pk)
