"""What is asked for a new API key."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy


class NewKeyForm(forms.Form):
    """`scopes` are the permissions that it may be limited to."""

    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=100,
        help_text=gettext_lazy("Such as the program that will use it."),
    )
    days = forms.TypedChoiceField(
        label=gettext_lazy("Expires"),
        coerce=int,
        choices=[
            (30, gettext_lazy("in 30 days")),
            (90, gettext_lazy("in 90 days")),
            (365, gettext_lazy("in a year")),
            (0, gettext_lazy("never")),
        ],
        initial=90,
    )
    scopes = forms.MultipleChoiceField(
        label=gettext_lazy("Limited to"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("Nothing chosen: all that you may do."),
    )

    def __init__(self, scopes: Iterable[str], *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        field: Any = self.fields["scopes"]
        field.choices = [(each, each) for each in sorted(scopes)]
