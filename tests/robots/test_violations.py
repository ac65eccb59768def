"""What is wrong with a parameter is said in the reader's language, and never repeats the value."""

import re
from typing import Any

import pytest
from django.utils import translation

from robots.parameters import problems

CASES: list[tuple[dict[str, Any], Any, str]] = [
    ({"type": "integer"}, "hunter2", "It must be a whole number."),
    ({"type": ["number", "null"]}, "hunter2", "It must be a number or null."),
    ({"const": "yes"}, "hunter2", 'It must be "yes".'),
    ({"enum": ["eu", 3, None]}, "hunter2", 'It must be one of: "eu", 3, null.'),
    ({"type": "string", "format": "date"}, "hunter2", "It is not of the form date."),
    ({"minimum": 88.5}, 77, "It must be at least 88.5."),
    ({"maximum": 4}, 77, "It must be at most 4."),
    ({"exclusiveMinimum": 77}, 76, "It must be more than 77."),
    ({"exclusiveMaximum": 4}, 77, "It must be less than 4."),
    ({"multipleOf": 5}, 77, "It must be a multiple of 5."),
    ({"minLength": 9}, "hunter2", "It is too short: its length must be at least 9."),
    ({"maxLength": 2}, "hunter2", "It is too long: its length must be at most 2."),
    ({"minItems": 2}, ["hunter2"], "The list is too short: its length must be at least 2."),
    ({"maxItems": 0}, ["hunter2"], "The list is too long: its length must be at most 0."),
    ({"pattern": "^x"}, "hunter2", "It does not match ^x."),
    ({"uniqueItems": True}, ["hunter2"] * 2, "The list has the same value more than once."),
    ({"anyOf": [{"type": "null"}, {"minLength": 9}]}, "hunter2", "It fits none of the forms"),
    ({"oneOf": [{"minLength": 1}, {"minLength": 2}]}, "hunter2", "exactly one of the forms"),
    ({"not": {"type": "string"}}, "hunter2", "It is of a form that is not allowed here."),
    ({"contains": {"const": 1}}, ["hunter2"], "It does not fit the schema (contains)."),
]


@pytest.mark.parametrize(("schema", "value", "said"), CASES)
def test_each_keyword_has_a_sentence(schema: dict[str, Any], value: Any, said: str) -> None:
    whole = {"type": "object", "properties": {"it": schema}}
    (problem,) = problems(whole, {"it": value})
    assert problem.path == "it"
    assert said in problem.message
    assert str(value) not in problem.message
    with translation.override("zh-hans"):
        (chinese,) = problems(whole, {"it": value})
    assert re.search(r"[\u4e00-\u9fff]", chinese.message)
    assert not re.search(r"\b(it|must|is)\b", chinese.message, re.IGNORECASE)


def test_a_missing_parameter_is_named_by_its_path() -> None:
    schema = {"type": "object", "required": ["a", "b"]}
    assert [(each.path, each.message) for each in problems(schema, {"a": 1})] == [
        ("b", "It is required.")
    ]


def test_unknown_names_are_listed() -> None:
    schema = {"type": "object", "properties": {"a": {}}, "additionalProperties": False}
    (problem,) = problems(schema, {"a": 1, "b": 2, "c": 3})
    assert problem.message == "These names are unknown: b, c."
