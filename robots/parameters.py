"""The parameters that a robot takes, described by a JSON Schema (2020-12) that its author wrote.

The platform evaluates the author's schema on every request to run, so the schema is checked to be finite work first:
no recursion, a bound on what its references expand to, and no pattern whose matching can explode.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from django.utils.translation import gettext as _
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from jsonschema.validators import extend

from robots.patterns import PatternRefused, longest_text
from robots.references import Path, path_of
from robots.refusals import PackageRefused
from robots.violations import sentence

logger = logging.getLogger(__name__)

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MAX_EXPANDED_NODES = 20_000
MAX_PROPERTY_NAME = 256

_FORBIDDEN = (
    "$dynamicRef",
    "$dynamicAnchor",
    "$recursiveRef",
    "$vocabulary",
    "$anchor",
    "unevaluatedItems",
    "unevaluatedProperties",
)
_MAPS_OF_SCHEMAS = frozenset({"properties", "patternProperties", "dependentSchemas"})
_LISTS_OF_SCHEMAS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_SCHEMAS = frozenset(
    {"items", "contains", "additionalProperties", "propertyNames", "not", "if", "then", "else"}
)
#: Their schemas are evaluated only where a reference points to them.
_DEFINITIONS = frozenset({"$defs", "definitions"})


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with given parameters: where ("invoice.lines.0", "" for the whole), and what."""

    path: str
    message: str


def checked_schema(schema: object, where: str) -> dict[str, Any]:
    """`schema` itself once it is proven to describe an object and to be harmless to evaluate."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise _bad(_("It must be a JSON Schema with type: object at the top."), where)
    if schema.get("$schema", DIALECT) not in (DIALECT, f"{DIALECT}#"):
        raise _bad(_("Only JSON Schema 2020-12 is understood; leave out $schema."), where)
    try:
        Draft202012Validator.check_schema(schema, format_checker=_FORMATS)
    except SchemaError as error:
        at = ".".join(str(part) for part in error.absolute_path)
        said = sentence(error)
        raise _bad(f"{at}: {said}"[:500] if at else said[:500], where) from error
    except RecursionError as error:
        raise _bad(_("It is nested too deeply."), where) from error
    _Walk(schema, where).through(schema, ())
    return schema


def problems(schema: Mapping[str, Any] | None, parameters: object) -> list[Problem]:
    """Everything that is wrong with `parameters`; empty if the robot can be run with them.

    A robot without a schema takes any object.
    """
    if not isinstance(parameters, dict):
        return [Problem("", _("Parameters must be an object."))]
    if _longest_name(parameters) > MAX_PROPERTY_NAME:
        return [
            Problem(
                "", _("A name is longer than %(limit)d characters.") % {"limit": MAX_PROPERTY_NAME}
            )
        ]
    if schema is None:
        return []
    # Its own name and dialect say nothing here: every reference stays inside.
    own = {name: each for name, each in schema.items() if name not in ("$id", "$schema")}
    validator = _Validator(own, format_checker=_FORMATS)
    found = _found(validator.iter_errors(parameters))
    if found is None:
        return [Problem(_culprit(validator, parameters), _("It cannot be checked."))]
    return found


def _found(errors: Iterable[ValidationError]) -> list[Problem] | None:
    """What `errors` say; None if a value is more than the evaluation of the schema can take."""
    try:
        best = [best_match([error]) or error for error in errors]
        return [Problem(_path(error), sentence(error)[:500]) for error in best]
    except Exception:
        logger.warning("Parameters could not be checked against their schema", exc_info=True)
        return None


def _culprit(validator: Any, parameters: dict[str, Any]) -> str:
    """The first parameter that cannot be checked by itself; "" if each can."""
    for name, each in validator.schema.get("properties", {}).items():
        if name in parameters and _found(validator.descend(parameters[name], each)) is None:
            return str(name)
    return ""


def with_defaults(
    schema: Mapping[str, Any] | None, parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """`parameters`, completed by the defaults of the schema's top-level properties."""
    properties: Mapping[str, Any] = (schema or {}).get("properties", {})
    defaults = {
        name: each["default"]
        for name, each in properties.items()
        if isinstance(each, dict) and "default" in each
    }
    return {**defaults, **parameters}


def _path(error: ValidationError) -> str:
    parts = [str(part) for part in error.absolute_path]
    if error.validator == "required" and isinstance(error.instance, dict):
        wanted: list[str] = list(error.validator_value)  # type: ignore[arg-type]
        parts += [name for name in wanted if f"'{name}'" in error.message][:1]
    return ".".join(parts)


class _Walk:
    """Visits a schema as its evaluation would, every reference expanded."""

    def __init__(self, root: dict[str, Any], where: str) -> None:
        self.root = root
        self.where = where
        self.visited = 0
        #: Each place where a schema stands, and so one that a reference may point to.
        self.places: dict[Path, object] = {}
        self._check((), root)

    def through(self, schema: object, following: tuple[str, ...]) -> None:
        self.visited += 1
        if self.visited > MAX_EXPANDED_NODES:
            raise _bad(_("Its references expand to too much."), self.where)
        if not isinstance(schema, dict):
            return
        reference = schema.get("$ref")
        if isinstance(reference, str):
            if reference in following:
                raise _bad(
                    _("It refers to itself (%(reference)s).") % {"reference": reference[:120]},
                    self.where,
                )
            self.through(self._target(reference), (*following, reference))
        for keyword, _path_there, each in _inside(schema):
            if keyword not in _DEFINITIONS:
                self.through(each, following)

    def _check(self, path: Path, schema: object) -> None:
        """Note every place of a schema, and refuse what may stand in none."""
        self.places[path] = schema
        if not isinstance(schema, dict):
            return
        # A schema inside that named itself or a dialect would be evaluated by other rules than these.
        own = () if schema is self.root else ("$id", "$schema")
        for name in (*_FORBIDDEN, *own):
            if name in schema:
                raise _bad(_("%(keyword)s is not supported here.") % {"keyword": name}, self.where)
        self._check_patterns(schema)
        for keyword, names, each in _inside(schema):
            self._check((*path, keyword, *names), each)

    def _target(self, reference: str) -> object:
        if not reference.startswith("#/"):
            raise _bad(
                _(
                    "A reference may only point into the schema itself (#/$defs/...), not to %(reference)s."
                )
                % {"reference": reference[:120]},
                self.where,
            )
        path = path_of(reference)
        if path not in self.places:
            raise _bad(
                _("It refers to %(reference)s, where it has no schema.")
                % {"reference": reference[:120]},
                self.where,
            )
        return self.places[path]

    def _check_patterns(self, schema: dict[str, Any]) -> None:
        of_names = list(schema.get("patternProperties", {}))
        patterns = [*of_names, schema["pattern"]] if "pattern" in schema else of_names
        for pattern in patterns:
            try:
                if longest_text(pattern) < MAX_PROPERTY_NAME and pattern in of_names:
                    raise PatternRefused(
                        _(
                            "matching it may take too long. Use fewer '*' and '+', and begin it with '^'."
                        )
                    )
            except PatternRefused as error:
                raise _bad(
                    _("The pattern %(pattern)s cannot be used: %(reason)s")
                    % {"pattern": pattern[:120], "reason": error},
                    self.where,
                ) from error
        try:
            # The library searches for those of names all at once.
            re.compile("|".join(of_names))
        except re.error as error:
            raise _bad(
                _("The pattern %(pattern)s cannot be used: %(reason)s")
                % {"pattern": "|".join(of_names)[:120], "reason": error},
                self.where,
            ) from error


def _inside(schema: dict[str, Any]) -> Iterator[tuple[str, Path, object]]:
    """The schemas directly inside `schema`: by which keyword, at which path below it, and each itself."""
    for keyword, value in schema.items():
        if keyword in _SCHEMAS:
            yield keyword, (), value
        elif keyword in _LISTS_OF_SCHEMAS:
            yield from ((keyword, (str(index),), each) for index, each in enumerate(value))
        elif keyword in _MAPS_OF_SCHEMAS | _DEFINITIONS:
            yield from ((keyword, (name,), each) for name, each in value.items())


def _pattern(
    _validator: object, pattern: str, instance: object, _schema: object
) -> Iterator[ValidationError]:
    if not isinstance(instance, str):
        return
    if len(instance) > longest_text(pattern):
        yield ValidationError(_("The text is too long to be checked against its pattern."))
    elif not re.search(pattern, instance):
        yield ValidationError(_("It does not match %(pattern)s.") % {"pattern": pattern})


def _unique_items(
    _validator: object, wanted: bool, instance: object, _schema: object
) -> Iterator[ValidationError]:
    """Linear, where the library compares every pair."""
    if wanted and isinstance(instance, list):
        forms = {json.dumps(_by_value(item), sort_keys=True) for item in instance}
        if len(forms) < len(instance):
            yield ValidationError(_("The list has the same value more than once."))


def _multiple_of(
    _validator: object, step: float, instance: object, _schema: object
) -> Iterator[ValidationError]:
    """Of the numbers as they are written: 0.07 is a multiple of 0.01, though no quotient of binary fractions says so."""
    if isinstance(instance, int | float) and not isinstance(instance, bool):
        exact = Fraction(instance) if isinstance(instance, int) else Fraction(str(instance))
        if exact % Fraction(str(step)):
            yield ValidationError(f"It is not a multiple of {step}.")


def _by_value(item: object) -> object:
    """1 and 1.0 are the same number."""
    if isinstance(item, float) and item.is_integer():
        return int(item)
    if isinstance(item, dict):
        return {name: _by_value(each) for name, each in item.items()}
    return [_by_value(each) for each in item] if isinstance(item, list) else item


def _longest_name(value: object) -> int:
    if isinstance(value, dict):
        return max((max(len(name), _longest_name(each)) for name, each in value.items()), default=0)
    return max(map(_longest_name, value), default=0) if isinstance(value, list) else 0


_FORMATS = FormatChecker(())
_FORMATS.checkers = dict(Draft202012Validator.FORMAT_CHECKER.checkers)


@_FORMATS.checks("regex", raises=(re.error, RecursionError, OverflowError))
def _is_pattern(value: object) -> bool:
    """As the library's own, which lets what it cannot compile end the request."""
    return not isinstance(value, str) or bool(re.compile(value))


_Validator = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {"pattern": _pattern, "uniqueItems": _unique_items, "multipleOf": _multiple_of},
)


def _bad(message: str, where: str) -> PackageRefused:
    return PackageRefused("bad_parameters", message, where)
