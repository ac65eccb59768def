"""The documents inside a package (YAML, TOML, plain text), read as what they are: somebody else's data."""

from __future__ import annotations

import math
import tomllib
from collections import Counter
from collections.abc import Callable
from datetime import date, time
from typing import Any

import yaml
from django.utils.translation import gettext as _

from robots.refusals import PackageRefused

MAX_DOCUMENT_BYTES = 1024**2
MAX_YAML_BYTES = 256 * 1024
MAX_NODES = 50_000
MAX_NESTING = 40
# Python writes no longer numbers than of some 4,300 digits, and reads hexadecimal ones of any length.
MAX_INTEGER_BITS = 4096
# Aliases multiply: with merge keys, n of them can stand for e^(n/e) copies. Twenty are plenty for a robot.yaml.
MAX_ALIASES = 20

# The C library's parser where PyYAML was built with it: the one in Python needs seconds for what that reads at once.
_Loader: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# Gives a document of the package by its path from the robot's folder, or None if it does not exist.
Reader = Callable[[str], bytes | None]


def text(raw: bytes, where: str) -> str:
    """The document as text (UTF-8, with or without a byte order mark)."""
    if len(raw) > MAX_DOCUMENT_BYTES:
        raise PackageRefused(
            "document_too_large",
            _("The document is larger than %(limit)d KiB.") % {"limit": MAX_DOCUMENT_BYTES // 1024},
            where,
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PackageRefused(
            "not_utf8", _("It is not UTF-8 text (byte %(at)d).") % {"at": error.start}, where
        ) from error


def yaml_map(raw: bytes, where: str) -> dict[str, Any]:
    """The document's top-level map, made of nothing but JSON's types."""
    source = text(raw, where)
    if len(raw) > MAX_YAML_BYTES:
        raise PackageRefused(
            "document_too_large",
            _("The document is larger than %(limit)d KiB.") % {"limit": MAX_YAML_BYTES // 1024},
            where,
        )
    try:
        _check_events(source, where)
        loaded = yaml.load(source, _Loader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        if isinstance(error, PackageRefused):
            raise
        raise PackageRefused(
            "bad_yaml",
            _("It is not valid YAML: %(problem)s") % {"problem": _in_one_line(error)},
            where,
        ) from error
    if not isinstance(loaded, dict):
        raise PackageRefused(
            "not_a_map", _("It must be a map of keys to values at the top."), where
        )
    return plain_map(loaded, where)


def repeated(raw: bytes, where: str, key: str) -> list[str]:
    """What is there more than once: `key` at the top of the document, or a name in its map.

    The document must be one that `yaml_map` takes, where the last of several silently wins, and that has a map there.
    """
    root: Any = yaml.compose(text(raw, where), _Loader)
    found = [value for name, value in root.value if name.value == key]
    if len(found) != 1:
        return [key] * (len(found) > 1)
    names = Counter(name.value for name, _each in found[0].value)
    return [name for name, count in names.items() if count > 1]


def _check_events(source: str, where: str) -> None:
    """Stop at what would cost more than its size, before anything is built of it."""
    aliases = depth = 0
    for event in yaml.parse(source, _Loader):
        aliases += isinstance(event, yaml.AliasEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(
            event, yaml.CollectionEndEvent
        )
        if aliases > MAX_ALIASES:
            raise PackageRefused(
                "bad_yaml",
                _("It repeats itself by aliases more than %(limit)d times.")
                % {"limit": MAX_ALIASES},
                where,
            )
        if depth > MAX_NESTING:
            raise PackageRefused(
                "too_complex", _("It is nested too deeply, or holds too many values."), where
            )


def toml_map(source: str, where: str) -> dict[str, Any]:
    """The same for TOML."""
    try:
        loaded = tomllib.loads(source)
    except (tomllib.TOMLDecodeError, ValueError, RecursionError) as error:
        raise PackageRefused(
            "bad_toml",
            _("It is not valid TOML: %(problem)s") % {"problem": _in_one_line(error)},
            where,
        ) from error
    return plain_map(loaded, where)


def plain_map(value: dict[Any, Any], where: str) -> dict[str, Any]:
    """`value` as JSON's types: dates as ISO text (YAML makes dates of what people mean as text), keys as text."""
    seen = 0

    def plain(item: object, depth: int) -> Any:
        nonlocal seen
        seen += 1
        if seen > MAX_NODES or depth > MAX_NESTING:
            raise PackageRefused(
                "too_complex", _("It is nested too deeply, or holds too many values."), where
            )
        if isinstance(item, dict):
            return {
                str(_plain_value(key, where)): plain(each, depth + 1) for key, each in item.items()
            }
        if isinstance(item, list | tuple):
            return [plain(each, depth + 1) for each in item]
        return _plain_value(item, where)

    plain_value: dict[str, Any] = plain(value, 0)
    return plain_value


def _plain_value(item: object, where: str) -> object:
    """`item` if it can be written as JSON and read again, which is neither nested nor too large a number."""
    if isinstance(item, date | time):
        return item.isoformat()
    if isinstance(item, str):
        if not any("\ud800" <= character <= "\udfff" for character in item):
            return item
    elif isinstance(item, float):
        if math.isfinite(item):
            return item
    elif item is None or (isinstance(item, int) and item.bit_length() <= MAX_INTEGER_BITS):
        return item
    shown = _("a whole number of too many digits") if isinstance(item, int) else repr(item)[:80]
    raise PackageRefused(
        "bad_value",
        _("It holds a value that JSON has no form for: %(value)s") % {"value": shown},
        where,
    )


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
