"""The forms of these pages. What their values may be is said by the services; a form says it where it is typed."""

from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from enterprises.models import Enterprise, ServiceType
from spaces.models import Space

_NAME = 50
_PICTURE = 1024
_PICTURE_HELP = gettext_lazy(
    "An https:// address, or one of this site. Pages show those of this site."
)


def _name() -> forms.CharField:
    return forms.CharField(
        max_length=_NAME,
        label=gettext_lazy("Name"),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


def _picture(label: Any) -> forms.CharField:
    return forms.CharField(
        max_length=_PICTURE, required=False, label=label, help_text=_PICTURE_HELP
    )


class EnterpriseForm(forms.Form):
    """Those of its fields that the reader may change."""

    name = _name()
    logo_url = _picture(gettext_lazy("Logo"))
    avatar_url = _picture(gettext_lazy("Avatar"))


class NewEnterpriseForm(forms.Form):
    name = _name()
    service_type = forms.TypedChoiceField(
        coerce=lambda value: ServiceType(int(value)),
        choices=ServiceType.choices,
        initial=ServiceType.TEAM,
        label=gettext_lazy("Type"),
        help_text=gettext_lazy("It says how many spaces and users there may be."),
    )


class SpaceForm(forms.Form):
    name = _name()
    description = forms.CharField(
        max_length=2000,
        required=False,
        label=gettext_lazy("Description"),
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    avatar_url = _picture(gettext_lazy("Avatar"))


class NewSpaceForm(forms.Form):
    """The enterprises to choose from are those in which the reader may make spaces; none is a personal one."""

    name = _name()
    enterprise = forms.ModelChoiceField(
        Enterprise.objects.none(),
        required=False,
        label=gettext_lazy("Belongs to"),
        empty_label=gettext_lazy("Me alone (a personal space)"),
    )
    description = forms.CharField(
        max_length=2000,
        required=False,
        label=gettext_lazy("Description"),
        widget=forms.Textarea(attrs={"rows": 3}),
    )


class ConfirmForm(forms.Form):
    """A deed that is not easily taken back: who types the name has read which place it is about."""

    confirm = forms.CharField(
        label=gettext_lazy("Name"),
        strip=True,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )

    def __init__(self, place: Space | Enterprise, data: Any = None, **more: Any) -> None:
        super().__init__(data, **more)
        self._name = place.name
        self.fields["confirm"].label = _("Type the name to confirm: %(name)s") % {
            "name": place.name
        }

    def clean_confirm(self) -> str:
        typed = " ".join(self.cleaned_data["confirm"].split())
        if typed != self._name:
            raise forms.ValidationError(_("This is not the name."))
        return typed


class TransferForm(ConfirmForm):
    """To whom: a member, by their user name."""

    user = forms.CharField(
        max_length=150,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    field_order = ["user", "confirm"]


class TableForm(forms.Form):
    """Whom to invite, as a table. What is wrong with a row is told in the answer, row by row."""

    file = forms.FileField(
        label=gettext_lazy("Table"),
        help_text=gettext_lazy(
            "An .xlsx or .csv of at most 500 rows. Its first column has user names, e-mails or phones."
        ),
        widget=forms.FileInput(attrs={"accept": ".xlsx,.csv"}),
    )
    role = forms.TypedChoiceField(coerce=int, label=gettext_lazy("Role"))

    def __init__(self, roles: list[tuple[int, str]], *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.fields["role"].choices = roles  # type: ignore[attr-defined]
