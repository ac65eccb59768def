"""What is wrong with a parameter, in the reader's language.

The validator of JSON Schemas speaks English, to programmers, and repeats the value. The keywords that
schemas of parameters are made of have sentences here; the rare others are named.
"""

import json
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from jsonschema.exceptions import SchemaError, ValidationError

_SENTENCES: dict[str, Promise] = {
    "required": gettext_lazy("It is required."),
    "type": gettext_lazy("It must be %(bound)s."),
    "const": gettext_lazy("It must be %(bound)s."),
    "enum": gettext_lazy("It must be one of: %(bound)s."),
    "format": gettext_lazy("It is not of the form %(bound)s."),
    "minimum": gettext_lazy("It must be at least %(bound)s."),
    "maximum": gettext_lazy("It must be at most %(bound)s."),
    "exclusiveMinimum": gettext_lazy("It must be more than %(bound)s."),
    "exclusiveMaximum": gettext_lazy("It must be less than %(bound)s."),
    "multipleOf": gettext_lazy("It must be a multiple of %(bound)s."),
    "minLength": gettext_lazy("It is too short: its length must be at least %(bound)s."),
    "maxLength": gettext_lazy("It is too long: its length must be at most %(bound)s."),
    "minItems": gettext_lazy("The list is too short: its length must be at least %(bound)s."),
    "maxItems": gettext_lazy("The list is too long: its length must be at most %(bound)s."),
    "anyOf": gettext_lazy("It fits none of the forms that are allowed here."),
    "oneOf": gettext_lazy("It must fit exactly one of the forms that are allowed here."),
    "not": gettext_lazy("It is of a form that is not allowed here."),
    "additionalProperties": gettext_lazy("These names are unknown: %(bound)s."),
}
#: Keywords that this platform checks itself, and says in its own words.
OWN = frozenset({"pattern", "uniqueItems"})
_TYPES: dict[str, Promise] = {
    "string": gettext_lazy("a text"),
    "integer": gettext_lazy("a whole number"),
    "number": gettext_lazy("a number"),
    "boolean": gettext_lazy("true or false"),
    "array": gettext_lazy("a list"),
    "object": gettext_lazy("an object"),
    "null": gettext_lazy("null"),
}


def sentence(error: ValidationError | SchemaError) -> str:
    """One sentence about `error`. It names what is asked for, never the value, which may be a secret."""
    keyword = str(error.validator)
    if keyword in OWN:
        return error.message
    if keyword not in _SENTENCES:
        return _("It does not fit the schema (%(keyword)s).") % {"keyword": keyword}
    return str(_SENTENCES[keyword]) % {"bound": _bound(keyword, error)}


def _bound(keyword: str, error: ValidationError | SchemaError) -> str:
    bound: Any = error.validator_value
    given: Any = error.instance
    match keyword:
        case "type":
            names = [bound] if isinstance(bound, str) else bound
            return _(" or ").join(str(_TYPES[name]) for name in names)
        case "enum":
            return ", ".join(_json(each) for each in bound)
        case "additionalProperties":
            return ", ".join(name for name in given if repr(name) in error.message)
        case "format":
            return str(bound)
    return _json(bound)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
