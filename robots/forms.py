"""The run form: drawn from a robot's JSON Schema, and read back into parameters.

Strings, numbers, switches, choices, dates and lists of plain values get a widget of their own; what
has no widget is edited as JSON. The schema, not this form, decides what is valid.
"""

import json
import math
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext as _

from robots.json_values import BadJson, read_json

_MAX_TEXT = 256 * 1024
_FORMATS = {
    "date": "date",
    "date-time": "datetime",
    "email": "email",
    "uri": "url",
}
_LONG_TEXT = 200


@dataclass(frozen=True)
class FormField:
    """One property as the template draws it."""

    name: str
    label: str
    help: str
    widget: str
    required: bool
    value: Any = None
    choices: list[tuple[Any, str]] = field(default_factory=list)
    min: Any = None
    max: Any = None
    step: Any = None
    pattern: str = ""
    min_length: int | None = None
    max_length: int | None = None
    placeholder: str = ""
    error: str | None = None


class FormError(ValueError):
    """A field's text cannot be read; `errors` says why, by the field's name."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__(errors)
        self.errors = errors


def form_fields(
    schema: Mapping[str, Any],
    values: Mapping[str, Any],
    errors: Mapping[str, str] | None = None,
    texts: Mapping[str, str] | None = None,
    kept: Collection[str] = (),
) -> list[FormField]:
    """The fields of `schema` with `values` (or, where they could not be read, `texts`) filled in.

    Passwords never are. Those of `kept` have a value from before, which stays if they are left empty.
    """
    required = set(schema.get("required", [])) - set(kept)
    found = []
    for name, each in schema.get("properties", {}).items():
        spec = each if isinstance(each, dict) else {}
        widget = _widget(spec)
        value = values.get(name, spec.get("default"))
        shown = (texts or {}).get(name, _as_text(widget, value))
        helps = [str(spec.get("description") or "")]
        if name in kept:
            helps.append(_("Left empty, the value of the earlier run is used again."))
        found.append(
            FormField(
                name=name,
                label=str(spec.get("title") or name.replace("_", " ").capitalize()),
                help=" ".join(filter(None, helps)),
                widget=widget,
                required=name in required and widget != "checkbox",
                value=None if widget == "password" else shown,
                choices=[(choice, str(choice)) for choice in spec.get("enum", [])],
                min=spec.get("minimum"),
                max=spec.get("maximum"),
                step=spec.get("multipleOf"),
                pattern=str(spec.get("pattern") or ""),
                min_length=spec.get("minLength"),
                max_length=spec.get("maxLength"),
                placeholder=_placeholder(widget, spec),
                error=(errors or {}).get(name),
            )
        )
    return found


def example_values(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema's own example of each required parameter that has no default."""
    properties = schema.get("properties", {})
    return {
        name: properties[name]["examples"][0]
        for name in schema.get("required", [])
        if isinstance(properties.get(name), dict)
        and "default" not in properties[name]
        and properties[name].get("examples")
    }


def read_params(schema: Mapping[str, Any], post: QueryDict) -> dict[str, Any]:
    """The parameters that a submitted form means. An empty optional field is left out."""
    params: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for each in form_fields(schema, {}):
        text = post.get(f"p.{each.name}", "")
        if each.widget == "checkbox":
            params[each.name] = text == "true"
        elif text.strip() or (each.required and each.widget in {"text", "textarea"}):
            try:
                params[each.name] = _as_value(each, schema["properties"][each.name], text)
            except ValueError as error:
                errors[each.name] = str(error)
    if errors:
        raise FormError(errors)
    return params


def read_raw(text: str) -> dict[str, Any]:
    """The parameters that were typed as JSON. Raises FormError unless they are an object."""
    try:
        value = read_json(text or "{}", limit=_MAX_TEXT)
    except BadJson as error:
        raise FormError({"params": str(error)}) from None
    if not isinstance(value, dict):
        raise FormError({"params": _("Parameters are one JSON object: {…}.")})
    return value


def _widget(spec: Mapping[str, Any]) -> str:
    if "enum" in spec and all(isinstance(each, str | int | float) for each in spec["enum"]):
        return "select"
    if spec.get("format") == "password" and spec.get("type", "string") == "string":
        return "password"
    match spec.get("type"):
        case "string":
            if str(spec.get("format")) in _FORMATS:
                return _FORMATS[str(spec["format"])]
            long = int(spec.get("maxLength") or 0) > _LONG_TEXT
            return "textarea" if long or spec.get("contentMediaType") else "text"
        case "integer":
            return "integer"
        case "number":
            return "number"
        case "boolean":
            return "checkbox"
        case "array" if _plain_items(spec):
            return "list"
    return "json"


def _placeholder(widget: str, spec: Mapping[str, Any]) -> str:
    examples = spec.get("examples")
    if widget in {"password", "list", "json"} or not isinstance(examples, list) or not examples:
        return ""
    return str(examples[0])


def _plain_items(spec: Mapping[str, Any]) -> bool:
    items = spec.get("items")
    return isinstance(items, dict) and items.get("type") in ("string", "integer", "number")


def _as_text(widget: str, value: Any) -> Any:
    if widget == "checkbox":
        return value is True
    if value is None:
        return None
    if widget == "list" and isinstance(value, list):
        return "\n".join(str(each) for each in value)
    if widget == "json":
        return json.dumps(value, ensure_ascii=False, indent=2)
    if widget == "datetime":
        return str(value).removesuffix("Z").removesuffix("+00:00")
    return value


def _as_value(each: FormField, spec: Mapping[str, Any], text: str) -> Any:
    match each.widget:
        case "integer":
            return _number(text, whole=True)
        case "number":
            return _number(text, whole=False)
        case "select":
            chosen = [choice for choice, label in each.choices if label == text]
            return chosen[0] if chosen else text
        case "list":
            lines = [line.strip() for line in text.splitlines() if line.strip()]
            kind = spec["items"]["type"]
            if kind == "string":
                return lines
            return [_number(line, whole=kind == "integer") for line in lines]
        case "json":
            return read_json(text, limit=_MAX_TEXT)
        case "datetime":
            # The widget knows no zone: what it shows and gives is UTC.
            return text if text.endswith("Z") or "+" in text else f"{text}Z"
    return text


def _number(text: str, *, whole: bool) -> int | float:
    """The number that was typed: 3 stays an integer also where 3.5 would do."""
    with suppress(ValueError):
        return int(text)
    if not whole:
        with suppress(ValueError):
            value = float(text)
            if math.isfinite(value):
                return value
    raise ValueError(_("This is not a number."))
