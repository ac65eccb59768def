"""The filters of lists over REST that are more exact than those of django-filter."""

import re
from typing import Any

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from rest_framework import exceptions
from rest_framework.request import Request


class SwitchField(forms.Field):
    """`true`, `false`, `1` or `0`; None for an empty one."""

    default_error_messages = {"invalid": _("It must be true or false.")}
    _MEANINGS = {"true": True, "1": True, "false": False, "0": False}

    def to_python(self, value: Any) -> bool | None:
        if value in self.empty_values:
            return None
        meaning = self._MEANINGS.get(value.lower())
        if meaning is None:
            raise ValidationError(self.error_messages["invalid"], code="invalid")
        return meaning


class SwitchFilter(django_filters.BooleanFilter):
    """A filter that is on, off or not given. Anything else is refused, instead of taken for not given."""

    field_class = SwitchField


class NumberField(forms.IntegerField):
    """A whole number in the digits 0 to 9: Python would take those of every script."""

    def to_python(self, value: Any) -> int | None:
        if value not in self.empty_values and re.fullmatch("-?[0-9]+", value) is None:
            raise ValidationError(self.error_messages["invalid"], code="invalid")
        number: int | None = super().to_python(value)
        return number


class NumberFilter(django_filters.Filter):
    field_class = NumberField


def number_asked(request: Request, name: str) -> int | None:
    """The number that a list is filtered by, where its view does that itself; None if it is not."""
    try:
        number: int | None = NumberField(required=False).clean(request.query_params.get(name, ""))
    except ValidationError as error:
        raise exceptions.ValidationError({name: error.messages}) from None
    return number
