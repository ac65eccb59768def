"""What a place is called and looks like; and the deeds that are not easily taken back."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from enterprises import services as enterprise_services
from enterprises.models import Enterprise
from joining.seats import seats_of
from people.answers import fill_in, page, status_of
from people.forms import ConfirmForm, EnterpriseForm, SpaceForm, TransferForm
from people.frames import SPACE, Frame, frame_of
from spaces import services

#: The permission that each field of an enterprise needs.
_OF_FIELDS = {
    "name": "enterprise.rename",
    "logo_url": "enterprise.set_logo",
    "avatar_url": "enterprise.set_avatar",
}


@page("GET", "POST")
def settings(request: HttpRequest, kind: str, pk: int) -> HttpResponse:
    frame = frame_of(request, kind, pk)
    frame.refuse_unless(frame.has_settings, f"{kind}.edit", deed=f"{kind}.change")
    form = _form(frame, request.POST if request.method == "POST" else None)
    if request.method == "POST":
        frame.refuse_unless(frame.can_edit, f"{kind}.edit", deed=f"{kind}.change")
        if form.is_valid() and fill_in(form, lambda: _change(frame, form.cleaned_data)):
            messages.success(request, _("The changes are saved."))
            return redirect(frame.urls["settings"])
        # The service has tried the new values on this very object.
        frame.place.refresh_from_db(fields=list(form.fields))
    context: dict[str, Any] = {"frame": frame, "form": form}
    if frame.can_see_limits:
        context["seats"] = seats_of(frame.place)
    return render(request, "people/settings.html", context, status=status_of(form))


def _form(frame: Frame, data: Any) -> EnterpriseForm | SpaceForm:
    if frame.is_space:
        initial = {name: getattr(frame.place, name) for name in SpaceForm.base_fields}
        return SpaceForm(data, initial=initial)
    initial = {name: getattr(frame.place, name) for name in _OF_FIELDS}
    form = EnterpriseForm(data, initial=initial)
    for name, permission in _OF_FIELDS.items():
        if permission not in frame.allowed:
            del form.fields[name]
    return form


def _change(frame: Frame, values: dict[str, Any]) -> None:
    if isinstance(frame.place, Enterprise):
        enterprise_services.change_enterprise(frame.place, by=frame.actor, **values)
    else:
        services.change_space(frame.place, by=frame.actor, **values)


@page("GET", "POST")
def transfer(request: HttpRequest, kind: str, pk: int) -> HttpResponse:
    """Hand the office, or the ownership, over to another member."""
    frame = frame_of(request, kind, pk)
    frame.refuse_unless(frame.can_transfer, f"{kind}.transfer")
    data = request.POST if request.method == "POST" else None
    form = TransferForm(frame.place, data, initial={"user": request.GET.get("user", "")})
    form.fields["user"].label = _("New owner") if kind == SPACE else _("New officer")
    form.fields["user"].help_text = _("The user name of a member.")

    def hand_over() -> None:
        uid = _member_named(frame, form.cleaned_data["user"])
        if isinstance(frame.place, Enterprise):
            enterprise_services.transfer_enterprise(frame.place, uid, by=frame.actor)
        else:
            services.transfer_space(frame.place, uid, by=frame.actor)

    if form.is_valid() and fill_in(form, hand_over):
        said = _("%(name)s belongs to %(user)s now.")
        words = {"name": frame.place.name, "user": form.cleaned_data["user"]}
        messages.success(request, said % words)
        return redirect(frame.urls["overview"])
    return _asked(request, frame, form, "transfer")


def _member_named(frame: Frame, username: str) -> str:
    """The uid of a member; for the service a name that nobody has, which it knows how to refuse."""
    members: Any = frame.place.members.filter(user__username=username.strip())
    uid: str | None = members.values_list("user__uid", flat=True).first()
    return uid or ""


@page("GET", "POST")
def leave(request: HttpRequest, kind: str, pk: int) -> HttpResponse:
    frame = frame_of(request, kind, pk)

    def end() -> None:
        if isinstance(frame.place, Enterprise):
            enterprise_services.leave_enterprise(frame.place, by=frame.actor)
        else:
            services.leave_space(frame.place, by=frame.actor)

    done = _("You are no member of %(name)s any more.")
    if request.method != "POST":
        frame.refuse_unless(frame.can_leave, f"{kind}.leave")
    return _confirmed(request, frame, "leave", end, done)


@page("GET", "POST")
def delete(request: HttpRequest, kind: str, pk: int) -> HttpResponse:
    """Hide it, with all that is in it. It can be restored."""
    frame = frame_of(request, kind, pk)
    frame.refuse_unless(frame.can_delete, f"{kind}.delete")

    def hide() -> None:
        if isinstance(frame.place, Enterprise):
            enterprise_services.delete_enterprise(frame.place, by=frame.actor)
        else:
            services.delete_space(frame.place, by=frame.actor)

    done = _("%(name)s is deleted. It can be restored from the list of deleted ones.")
    return _confirmed(request, frame, "delete", hide, done)


def _confirmed(
    request: HttpRequest, frame: Frame, deed: str, do: Callable[[], Any], done: str
) -> HttpResponse:
    form = ConfirmForm(frame.place, request.POST if request.method == "POST" else None)
    if form.is_valid() and fill_in(form, do):
        messages.success(request, done % {"name": frame.place.name})
        return redirect("people:spaces" if frame.is_space else "people:enterprises")
    return _asked(request, frame, form, deed)


def _asked(request: HttpRequest, frame: Frame, form: ConfirmForm, deed: str) -> HttpResponse:
    context = {"frame": frame, "form": form, "deed": deed}
    return render(request, "people/danger.html", context, status=status_of(form))
