"""Pages of shares: sharing a robot or a run by link, one's own shares, and what whoever has the link reads."""

import json
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from accounts.actors import Actor, actor_of
from accounts.pagination import page_of
from accounts.refusals import NotFound
from executions.choices import Status
from executions.models import Execution
from people.answers import attempt, back, fill_in, page, status_of, tried
from people.frames import link_to
from people.lists import listed
from robots.forms import form_fields
from robots.models import Robot
from robots.parameters import with_defaults
from robots.passwords import masked
from sharing import services
from sharing.models import Share, ShareType
from sharing.unkept import unkept
from spaces.access import require


class ShareForm(forms.Form):
    days = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=services.MOST_DAYS,
        label=gettext_lazy("For how many days"),
        help_text=gettext_lazy("1 to 365. Left empty, it lasts until you switch it off."),
    )


@page("GET", "POST")
def share_robot(request: HttpRequest, uid: UUID) -> HttpResponse:
    robots = Robot.objects.visible_to(actor_of(request)).select_related("space__enterprise")
    return _share(request, get_object_or_404(robots, uid=uid))


@page("GET", "POST")
def share_execution(request: HttpRequest, uid: UUID) -> HttpResponse:
    runs = Execution.objects.visible_to(actor_of(request))
    found = get_object_or_404(runs.select_related("space__enterprise", "robot"), uid=uid)
    return _share(request, found)


def _share(request: HttpRequest, what: Robot | Execution) -> HttpResponse:
    """Make a link; and the links that the reader has made for it before."""
    actor = actor_of(request)
    with tried(request, "share.create", what, by=actor):
        require(actor, "share.create", space=what.space)
    form = ShareForm(request.POST if request.method == "POST" else None)
    if form.is_valid() and fill_in(
        form, lambda: services.share(what, by=actor, days=form.cleaned_data["days"])
    ):
        messages.success(request, _("Whoever has the link may read it from now on."))
        return redirect(request.path)
    kind = ShareType.ROBOT if isinstance(what, Robot) else ShareType.EXECUTION
    mine = Share.objects.filter(sharer=actor.user, share_type=kind, base_id=what.pk)
    cut = page_of(mine, request.GET)
    for each in cut.items:
        _described(each)
    context = {
        "form": form,
        "what": what,
        "robot": what if isinstance(what, Robot) else what.robot,
        "is_robot": isinstance(what, Robot),
        **listed(cut),
    }
    return render(request, "sharing/share.html", context, status=status_of(form))


def _described(share: Any) -> Any:
    share.link = link_to("sharing:shared", share.share_key)
    return share


@page("GET")
def shares(request: HttpRequest) -> HttpResponse:
    """The reader's own, each with what it shows as far as the reader may still see it."""
    actor = actor_of(request)
    cut = page_of(Share.objects.ours().filter(sharer=actor.user), request.GET)
    robots = _named(cut.items, ShareType.ROBOT, actor)
    runs = _named(cut.items, ShareType.EXECUTION, actor)
    for each in cut.items:
        shown: Any = _described(each)
        shown.what = (robots if each.share_type == ShareType.ROBOT else runs).get(each.base_id)
    return render(request, "sharing/shares.html", listed(cut))


def _named(shares: list[Share], kind: ShareType, actor: Actor) -> dict[int, Any]:
    """The shared things of one kind by their keys: one query for all of them."""
    keys = {each.base_id for each in shares if each.share_type == kind}
    found: Any = (
        Robot.objects.visible_to(actor)
        if kind == ShareType.ROBOT
        else Execution.objects.visible_to(actor).select_related("robot").defer("params", "result")
    )
    return {each.pk: each for each in found.filter(pk__in=keys)} if keys else {}


@page("POST")
def switch_off(request: HttpRequest, key: str) -> HttpResponse:
    found = services.named(key)
    actor = actor_of(request)
    attempt(request, lambda: services.switch_off(found, by=actor), _("The share has ended."))
    return back(request, "sharing:shares")


@page("POST")
def switch_on(request: HttpRequest, key: str) -> HttpResponse:
    found = services.named(key)
    actor = actor_of(request)
    done = _("The share can be read again, by the same link.")
    attempt(request, lambda: services.switch_on(found, by=actor), done)
    return back(request, "sharing:shares")


@require_safe
def shared(request: HttpRequest, key: str) -> HttpResponseBase:
    """What is shared, for whoever has the key. One that has ended, whatever has ended it, is as absent."""
    try:
        share, what = services.shared(key)
    except NotFound as error:
        raise Http404 from error
    if isinstance(what, Robot):
        version = what.enabled_version
        schema = version.parameters if version else {}
        defaults = masked(schema, with_defaults(schema or None, {}))
        context: dict[str, Any] = {"robot": what, "fields": form_fields(schema, defaults)}
        return unkept(render(request, "sharing/shared_robot.html", {"share": share, **context}))
    context = {
        "share": share,
        "execution": what,
        "params": _pretty(masked(what.version.parameters, what.params)),
        "result": "" if what.result is None else _pretty(what.result),
        "statuses": Status.choices,
        "urls": {"events": reverse("share-events", args=[key])},
    }
    return unkept(render(request, "sharing/shared_execution.html", context))


def _pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
