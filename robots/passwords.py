"""Parameters that are passwords (`format: password` in the schema): the run gets them, nobody is shown them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

MASK = "********"

_LISTS_OF_SCHEMAS = ("allOf", "anyOf", "oneOf")
_SCHEMAS = ("if", "then", "else")


def masked(schema: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """`params` with MASK in the place of each password that `schema` knows of, at any depth."""
    value: dict[str, Any] = _masked(schema, dict(params), schema)
    return value


def hidden_names(schema: Mapping[str, Any], params: Mapping[str, Any]) -> set[str]:
    """The names of those `params` that are passwords or have some inside."""
    shown = masked(schema, params)
    return {name for name, value in params.items() if shown[name] != value}


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
        target: Any = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]
        yield target
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
