"""A page of the admin for operators: may they, why, and what would a change change?"""

from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from accounts.actors import Actor
from accounts.models import ApiKey, User
from spaces.explanation import COLUMNS, explain, preview_grant, preview_role
from spaces.models import Space, SpacePermission, SpaceRole
from spaces.permissions import DEFAULTS

_KEYS = [(key, key) for key in sorted(DEFAULTS)]
_NO_MEMBER = "none"


class WhyForm(forms.Form):
    """Who, where, what; and perhaps in which role instead."""

    user = forms.CharField(label=_("User"), max_length=150, widget=UnfoldAdminTextInputWidget)
    key = forms.CharField(
        label=_("API key"),
        max_length=8,
        required=False,
        help_text=_("The first eight characters, if they come by a key."),
        widget=UnfoldAdminTextInputWidget,
    )
    space = forms.IntegerField(
        label=_("Space"), min_value=1, max_value=2**63 - 1, widget=UnfoldAdminIntegerFieldWidget
    )
    permission = forms.ChoiceField(
        label=_("Permission"), choices=_KEYS, widget=UnfoldAdminSelectWidget
    )
    role = forms.ChoiceField(
        label=_("What if the role were"),
        choices=[("", "–"), (_NO_MEMBER, _("no member")), *SpaceRole.choices],  # noqa: RUF001
        required=False,
        widget=UnfoldAdminSelectWidget,
    )

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        user = User.objects.filter(username=given.get("user", "")).first()
        space = (
            Space.objects.select_related("enterprise").filter(pk=given.get("space") or 0).first()
        )
        if user is None:
            self.add_error("user", _("There is no such user."))
        if space is None:
            self.add_error("space", _("There is no such space."))
        key = None
        if user is not None and given.get("key"):
            keys = ApiKey.objects.filter(user=user, prefix=given["key"]).select_related("user")
            key = keys.first()
            if key is None:
                self.add_error("key", _("The user has no such key."))
        return given | {"user": user, "space": space, "key": key}


class GrantForm(forms.Form):
    """A row of the table as it might be."""

    grant = forms.ChoiceField(label=_("Permission"), choices=_KEYS, widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in (*COLUMNS.values(), "available_expired"):
            label = getattr(SpacePermission._meta.get_field(name), "verbose_name", name)
            self.fields[name] = forms.BooleanField(
                label=label, required=False, widget=UnfoldBooleanWidget
            )


class ExplainsAccess:
    """For the ModelAdmin of the permissions: its page `explain/`. For operators alone."""

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.explain_view)  # type: ignore[attr-defined]
        return [
            path("explain/", view, name="spaces_explain_access"),
            *super().get_urls(),  # type: ignore[misc]
        ]

    def explain_view(self, request: HttpRequest) -> HttpResponse:
        if not (request.user.is_active and request.user.is_superuser):
            raise PermissionDenied
        why = WhyForm(request.GET if "user" in request.GET else None)
        grant = GrantForm(request.GET if "grant" in request.GET else None)
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),  # type: ignore[attr-defined]
            "title": _("Who may do what, and why"),
            "opts": SpacePermission._meta,
            "why": why,
            "grant": grant,
        }
        if why.is_bound and why.is_valid():
            given = why.cleaned_data
            actor = Actor(given["user"], given["key"])
            context["explanation"] = explain(actor, given["permission"], space=given["space"])
            if given["role"]:
                role = None if given["role"] == _NO_MEMBER else int(given["role"])
                context["role_change"] = preview_role(given["user"], given["space"], role)
        if grant.is_bound and grant.is_valid():
            columns = dict(grant.cleaned_data)
            context["grant_change"] = preview_grant(columns.pop("grant"), columns)
        return TemplateResponse(request, "admin/explain_access.html", context)
