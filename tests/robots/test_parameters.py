"""A robot's parameters: schemas that are refused, and values that are."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from robots.parameters import DIALECT, Problem, checked_schema, problems, with_defaults
from robots.passwords import MASK, masked
from robots.patterns import PatternRefused, longest_text
from robots.refusals import PackageRefused

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["customer"],
    "additionalProperties": False,
    "properties": {
        "customer": {"type": "string", "minLength": 2, "pattern": "^[A-Z]"},
        "count": {"type": "integer", "minimum": 1, "maximum": 9, "default": 3},
        "due": {"type": "string", "format": "date"},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "uniqueItems": True},
    },
    "$defs": {"tag": {"type": "string", "enum": ["a", "b"]}},
}


def properties(**each: Any) -> dict[str, Any]:
    return {"type": "object", "properties": each}


def test_a_good_schema_is_taken_as_it_is() -> None:
    assert checked_schema(SCHEMA, "robot.yaml") is SCHEMA


@pytest.mark.parametrize(
    "schema",
    [
        None,
        [],
        {"type": "string"},
        {},
        {"type": "object", "properties": 5},
        {"type": "object", "$schema": "http://json-schema.org/draft-07/schema#"},
        properties(a={"type": "strnig"}),
        properties(a={"pattern": "("}),
        properties(a={"minimum": "x"}),
        properties(a={"$ref": "https://evil/schema.json"}),
        properties(a={"$ref": "file:///etc/passwd"}),
        properties(a={"$ref": "#/$defs/missing"}),
        properties(a={"$ref": "#"}),
        properties(a={"$ref": "#/properties/a"}),
        {**properties(), "$ref": "#/$defs/x", "$defs": {"x": {"$ref": "#/$defs/x"}}},
        # What a reference points to must be one of the schema's own schemas.
        *(
            {**properties(x={"$ref": "#/foo"}), "foo": foo}
            for foo in (
                [1],
                "s",
                5,
                {"enum": 3, "required": 5, "multipleOf": 0},
                {"properties": 5},
                {"allOf": 5},
                {"patternProperties": {"(": 1}},
                {},
            )
        ),
        properties(x={"$ref": "#/properties"}),
        properties(x={"$ref": "#/properties/y/default"}, y={"default": {}}),
        properties(x={"$ref": "#/allOf/00"}) | {"allOf": [{}]},
        properties(x={"$ref": "#/allOf/-1"}) | {"allOf": [{}]},
        properties(x={"$ref": "#/$defs"}) | {"$defs": {}},
        properties(x={"$ref": "#/$defs/a%25b"}) | {"$defs": {"a%25b": {}}},
        properties(x={"$ref": "#/$defs/%78"}) | {"$defs": {"x": {"$ref": "#/properties/x"}}},
        properties(a={"$dynamicRef": "#x"}),
        properties(a={"$schema": "http://json-schema.org/draft-04/schema#", "pattern": "^a"}),
        properties(a={"$schema": "https://json-schema.org/draft/2020-12/schema"}),
        {**properties(), "$schema": 5},
        {**properties(), "$schema": None},
        {**properties(), "$schema": []},
        {**properties(), "$defs": {"a": {"$id": "https://evil/"}}},
        {**properties(), "patternProperties": {"^a": {}, "(?i)b": {}}},
        properties(a={"$id": "https://evil/"}),
        properties(a={"unevaluatedProperties": False}),
        properties(a={"pattern": "(a+)+$"}),
        properties(a={"pattern": "(a|a)*$"}),
        properties(a={"pattern": "(.*)(.*)(.*)(.*)(.*)(.*)(.*)x"}),
        properties(a={"pattern": r"(a)\1"}),
        properties(a={"pattern": "(a{0,30}){0,30}"}),
        properties(a={"patternProperties": {"(a+)+$": {}}}),
        {
            "type": "object",
            "$ref": "#/$defs/d0",
            "$defs": {
                **{f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(20)},
                "d20": {},
            },
        },
    ],
)
def test_a_bad_or_harmful_schema_is_refused(schema: object) -> None:
    with pytest.raises(PackageRefused) as caught:
        checked_schema(schema, "robot.yaml")
    assert (caught.value.code, caught.value.where) == ("bad_parameters", "robot.yaml")


@pytest.mark.parametrize(
    "schema",
    [
        properties(x={"$ref": "#/$defs/a~1b"}) | {"$defs": {"a/b": {"type": "string"}}},
        properties(x={"$ref": "#/$defs/a%20b"}) | {"$defs": {"a b": {"type": "string"}}},
        properties(x={"$ref": "#/$defs/a%25b"})
        | {"$defs": {"a%b": {"type": "string"}, "a%25b": {"type": "integer"}}},
        properties(x={"$ref": "#/$defs/~01"}) | {"$defs": {"~1": {"type": "string"}}},
        properties(x={"$ref": "#/definitions/a"}) | {"definitions": {"a": {"type": "string"}}},
        properties(x={"$ref": "#/allOf/0/properties/y"})
        | {"allOf": [{"properties": {"y": {"type": "string"}}}]},
        properties(x={"$ref": "#/properties/y"}, y={"type": "string"}),
        properties(x={"$ref": "#/$defs/a"})
        | {"$defs": {"a": {"type": "string"}}, "$id": "http://[::1"},
        properties(x={"type": "string"}) | {"$schema": DIALECT},
    ],
)
def test_a_reference_means_the_same_to_every_reader(schema: dict[str, Any]) -> None:
    assert checked_schema(schema, "robot.yaml") is schema
    assert problems(schema, {"x": "text"}) == []
    assert [each.path for each in problems(schema, {"x": 1})] == ["x"]
    secret = json.loads(json.dumps(schema).replace('"string"', '"string", "format": "password"'))
    assert masked(secret, {"x": "text"}) == {"x": MASK}


@pytest.mark.parametrize("text", ["(", "(" * 3000, "a{99999999999}"])
def test_a_pattern_that_cannot_be_compiled_is_no_regex(text: str) -> None:
    (problem,) = problems(properties(a={"format": "regex"}), {"a": text})
    assert (problem.path, problem.message) == ("a", "It is not of the form regex.")


@pytest.mark.parametrize(
    ("given", "paths"),
    [
        ({"customer": "Acme"}, []),
        ({"customer": "Acme", "count": 9, "due": "2026-12-31", "tags": ["a", "b"]}, []),
        ({}, ["customer"]),
        ({"customer": "a"}, ["customer", "customer"]),
        ({"customer": "Acme", "count": 10}, ["count"]),
        ({"customer": "Acme", "due": "tomorrow"}, ["due"]),
        ({"customer": "Acme", "tags": ["a", "x"]}, ["tags.1"]),
        ({"customer": "Acme", "tags": ["a", "a"]}, ["tags"]),
        ({"customer": "Acme", "more": 1}, [""]),
        ({"customer": "Acme", "n" * 300: 1}, [""]),
        ([], [""]),
    ],
)
def test_values_are_checked_where_they_are(given: object, paths: list[str]) -> None:
    assert [each.path for each in problems(SCHEMA, given)] == paths


def test_without_a_schema_any_object_will_do() -> None:
    assert problems(None, {"a": [1, {"b": None}]}) == []
    assert problems(None, "text") == [Problem("", "Parameters must be an object.")]


def test_defaults_fill_what_is_not_given() -> None:
    assert with_defaults(SCHEMA, {"customer": "Acme"}) == {"customer": "Acme", "count": 3}
    assert with_defaults(SCHEMA, {"count": 5}) == {"count": 5}
    assert with_defaults(None, {"a": 1}) == {"a": 1}


def test_equal_numbers_are_the_same_value_and_truth_is_no_number() -> None:
    schema = properties(a={"uniqueItems": True})
    assert problems(schema, {"a": [1, 1.0]})
    assert not problems(schema, {"a": [1, True, "1", [1], {"x": 1}]})


@pytest.mark.parametrize(
    ("step", "good", "bad"),
    [
        (0.01, [4.35, 0.07, 19.99, 0.29, 1.1, 0, -0.29, 7, 1e300, 10**400], [0.005, 4.351, 1e-300]),
        (0.1, [0.3, 0.7, 1.1], [0.25]),
        (1e-300, [1e300, 5], []),
        (3, [3, 9.0, 3 * 10**400], [10**400, 1.5]),
        (2.5, [5, 7.5, 10**400], [6, 10**400 + 1]),
        (1, [True, "text"], []),
    ],
)
def test_multiples_are_those_of_the_numbers_as_they_are_written(
    step: float, good: list[object], bad: list[object]
) -> None:
    schema = properties(a={"multipleOf": step})
    assert [each for each in good if problems(schema, {"a": each})] == []
    assert [each for each in bad if not problems(schema, {"a": each})] == []


@pytest.mark.parametrize(
    "pattern",
    [
        r"^\d{4}-\d{2}$",
        r"^(\d{1,3}\.){3}\d{1,3}$",
        r"^[^@\s]+@[^@\s]+\.[^@\s]+$",
        r"^(?:[A-Z]{2}|EUR)$",
        r"^https?://",
        r"^(foo|bar)+$",
        "^[A-Z]{2}[0-9]{3}$",
        r"\S",
        r"^(?=.*\d).{8,}$",
    ],
)
def test_patterns_that_people_write_are_taken(pattern: str) -> None:
    assert longest_text(pattern) >= 100


@pytest.mark.parametrize(
    "pattern",
    [
        "(a*)*b",
        "(a|ab)*c",
        "(.*a){12}",
        "a*a*a*a*a*a*b",
        "((a?){30}a{30})",
        "(x+x+)+y",
        "(?:a{0,9}){0,9}",
        r"(?P<n>a)(?P=n)",
        "(",
        "x" * 400,
        r"(\w+\s?)*$",
    ],
)
def test_patterns_that_may_never_end_are_refused(pattern: str) -> None:
    with pytest.raises(PatternRefused):
        longest_text(pattern)


@pytest.mark.parametrize("pattern", ["a*b", "^a*a*a*b", "a*a*b", "^(a|b)*c", "^(?=.*x).*y"])
def test_the_longest_text_really_takes_bounded_time(pattern: str) -> None:
    text = "a" * min(longest_text(pattern), 100_000)
    started = time.process_time()
    problems(properties(a={"pattern": pattern}), {"a": text})
    assert time.process_time() - started < 5
    assert problems(properties(a={"pattern": pattern}), {"a": "a" * (longest_text(pattern) + 1)})
