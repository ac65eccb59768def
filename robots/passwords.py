"""Parameters that are passwords (`format: password` in the schema): the run gets them, nobody is shown them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from robots.references import target_of

MASK = "********"

_LISTS_OF_SCHEMAS = ("allOf", "anyOf", "oneOf")
_SCHEMAS = ("if", "then", "else")
#: By these a schema names values.
_LISTS_OF_VALUES = ("enum", "examples")
_VALUES = ("default", "const", *_LISTS_OF_VALUES)
#: The schemas that are about the same values as each one, which is known by its `id`.
_Company = dict[int, dict[int, Any]]


def masked(schema: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """`params` with MASK in the place of each password that `schema` knows of, at any depth."""
    value: dict[str, Any] = _masked(schema, dict(params), schema)
    return value


def hidden_names(schema: Mapping[str, Any], params: Mapping[str, Any]) -> set[str]:
    """The names of those `params` that are passwords or have some inside."""
    shown = masked(schema, params)
    return {name for name, value in params.items() if shown[name] != value}


def concealed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """`schema` without the values that it names for passwords, such as their defaults."""
    if not _has_password(schema):
        return dict(schema)
    company: _Company = {}
    _meet([schema], schema, company)
    shown: dict[str, Any] = _concealed(schema, schema, company, hide=False)
    return shown


def _has_password(node: Any) -> bool:
    if isinstance(node, Mapping):
        return node.get("format") == "password" or any(map(_has_password, node.values()))
    return isinstance(node, list) and any(map(_has_password, node))


def _meet(schemas: Iterable[Any], root: Mapping[str, Any], company: _Company) -> None:
    """Note of each schema which others are about the same value, and so on with what is inside of that."""
    together = {id(each): each for schema in schemas for each in _whole(schema, root)}
    for key in together:
        company.setdefault(key, {}).update(together)
    found = list(together.values())
    names = {name for each in found for name in each.get("properties", {})}
    places = [[inner for each in found for inner in _of_property(each, name)] for name in names]
    longest = max((len(each.get("prefixItems", [])) for each in found), default=0)
    for index in range(longest + 1):
        places.append([inner for each in found for inner in _of_item(each, index)])
    for each in found:
        others = [*each.get("patternProperties", {}).values(), each.get("additionalProperties")]
        places.extend([other] for other in others)
    for place in places:
        if any(isinstance(each, Mapping) for each in place):
            _meet(place, root, company)


def _whole(schema: Any, root: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if isinstance(schema, Mapping):
        yield schema
        for each in _of_same_value(schema, root):
            yield from _whole(each, root)


def _concealed(node: Any, root: Mapping[str, Any], company: _Company, *, hide: bool) -> Any:
    """A copy; with `hide`, whatever it names is a password."""
    if isinstance(node, list):
        return [_concealed(each, root, company, hide=hide) for each in node]
    if not isinstance(node, Mapping):
        return node
    # What no value meets is known by its own word alone.
    others = list(company.get(id(node), {id(node): node}).values())
    hide = hide or any(each.get("format") == "password" for each in others)
    shown: dict[str, Any] = {}
    for keyword, value in node.items():
        if keyword not in _VALUES or (isinstance(value, Mapping) and id(value) in company):
            shown[keyword] = _concealed(value, root, company, hide=hide)
        elif not hide and keyword in _LISTS_OF_VALUES:
            shown[keyword] = [_all_masked(iter(others), each, root) for each in value]
        elif not hide:
            shown[keyword] = _all_masked(iter(others), value, root)
    return shown


def _masked(schema: Any, value: Any, root: Mapping[str, Any]) -> Any:
    if not isinstance(schema, Mapping):
        return value
    if schema.get("format") == "password":
        return MASK
    for each in _of_same_value(schema, root):
        value = _masked(each, value, root)
    if isinstance(value, dict):
        return {
            name: _all_masked(_of_property(schema, name), each, root)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [
            _all_masked(_of_item(schema, index), each, root) for index, each in enumerate(value)
        ]
    return value


def _all_masked(schemas: Iterator[Any], value: Any, root: Mapping[str, Any]) -> Any:
    for each in schemas:
        value = _masked(each, value, root)
    return value


def _of_same_value(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Iterator[Any]:
    """The schemas that say more of the value that `schema` is about. No schema refers to itself."""
    if "$ref" in schema:
        yield target_of(schema["$ref"], root)
    for keyword in _LISTS_OF_SCHEMAS:
        yield from schema.get(keyword, [])
    yield from (schema[keyword] for keyword in _SCHEMAS if keyword in schema)
    yield from schema.get("dependentSchemas", {}).values()


def _of_property(schema: Mapping[str, Any], name: str) -> Iterator[Any]:
    named = schema.get("properties", {})
    patterns = [
        each
        for pattern, each in schema.get("patternProperties", {}).items()
        if re.search(pattern, name)
    ]
    if name in named:
        yield named[name]
    yield from patterns
    if name not in named and not patterns:
        yield schema.get("additionalProperties")


def _of_item(schema: Mapping[str, Any], index: int) -> Iterator[Any]:
    first = schema.get("prefixItems", [])
    yield first[index] if index < len(first) else schema.get("items")
    yield schema.get("contains")
