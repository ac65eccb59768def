"""Web pages that change robots: new, upload a version, enable one."""

from typing import BinaryIO, cast
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from accounts.actors import actor_of
from accounts.refusals import Refused
from robots import services
from robots.models import Robot
from spaces.access import spaces_allowing
from spaces.models import Space
from spaces.working import working_space


class NewRobotForm(forms.Form):
    """A package, the space that gets it, and a name if the file's will not do."""

    space = forms.ModelChoiceField(
        Space.objects.none(), label=gettext_lazy("Space"), empty_label=None
    )
    name = forms.CharField(
        max_length=100,
        required=False,
        label=gettext_lazy("Name"),
        help_text=gettext_lazy("Left empty, the file's name is taken."),
    )
    package = forms.FileField(
        label=gettext_lazy("Package"),
        help_text=gettext_lazy("A zip with a robot.yaml, a single .py or a single .robot."),
        widget=forms.FileInput(attrs={"accept": ".zip,.py,.robot"}),
    )


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Create a robot from a package. A refused package leaves no robot behind."""
    actor = actor_of(request)
    sent = request.method == "POST"
    form = NewRobotForm(
        request.POST if sent else None,
        request.FILES if sent else None,
        initial={"space": working_space(request)},
    )
    chooser = cast("forms.ModelChoiceField[Space]", form.fields["space"])
    chooser.queryset = spaces_allowing(actor, "robot.publish").select_related("enterprise")
    if sent and form.is_valid():
        file = form.cleaned_data["package"]
        name = form.cleaned_data["name"] or file.name.rsplit(".", 1)[0]
        try:
            robot, _version = services.create_and_publish(
                space=form.cleaned_data["space"],
                name=name,
                file=file,
                file_name=file.name,
                by=actor,
            )
        except Refused as error:
            form.add_error("package" if error.code.startswith("package") else None, str(error))
        else:
            return redirect("robot", robot.uid)
    status = 422 if form.errors else 200
    return render(request, "robots/new.html", {"form": form}, status=status)


@login_required
@require_POST
def upload(request: HttpRequest, uid: UUID) -> HttpResponse:
    """Publish a further version."""
    actor = actor_of(request)
    robot = get_object_or_404(Robot.objects.visible_to(actor).select_related("space"), uid=uid)
    file = request.FILES.get("package")
    if file is None:
        messages.error(request, _("Choose a file first."))
        return redirect("robot", uid)
    try:
        version = services.publish_version(
            robot=robot, file=cast("BinaryIO", file), file_name=file.name or "package", by=actor
        )
    except Refused as error:
        messages.error(request, str(error))
    else:
        published = _("Version %(number)s is published and enabled.")
        messages.success(request, published % {"number": version.number})
    return redirect("robot", uid)


@login_required
@require_POST
def enable(request: HttpRequest, uid: UUID, number: int) -> HttpResponse:
    """Enable a version, a newer or an older one."""
    actor = actor_of(request)
    robot = get_object_or_404(Robot.objects.visible_to(actor).select_related("space"), uid=uid)
    version = get_object_or_404(robot.versions, number=number)
    try:
        services.enable_version(robot, version, by=actor)
    except Refused as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("Version %(number)s is enabled.") % {"number": number})
    return redirect("robot", uid)
