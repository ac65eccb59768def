"""The platform's own words on a robot: `rpa:` in robot.yaml, [tool.rpa] in a script, parameters.json beside them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from django.utils.translation import gettext as _

from robots.documents import Reader, plain_map, text
from robots.manifest import (
    MAX_DESCRIPTION,
    MAX_TIMEOUT,
    MEMORY_RANGE,
    Extension,
    Manifest,
)
from robots.parameters import checked_schema
from robots.refusals import PackageRefused

PARAMETERS_JSON = "parameters.json"
_KEYS = frozenset({"parameters", "profile", "timeout", "memory", "description"})


def extension(raw: object, where: str, *, description: object = None) -> Extension:
    """The platform's own table. Unknown keys are refused: a misspelt limit must not be no limit."""
    if raw is None:
        raw = {}
    if not isinstance(raw, dict) or raw.keys() - _KEYS:
        unknown = ", ".join(sorted(raw.keys() - _KEYS)) if isinstance(raw, dict) else repr(raw)
        raise PackageRefused(
            "bad_extension",
            _("'rpa' may have %(known)s, but not: %(unknown)s.")
            % {"known": ", ".join(sorted(_KEYS)), "unknown": unknown[:200]},
            where,
        )
    profile = raw.get("profile", "strict")
    if profile not in ("strict", "browser"):
        raise PackageRefused(
            "bad_extension", _("rpa.profile must be 'strict' or 'browser'."), where
        )
    words = raw.get("description", description if isinstance(description, str) else "")
    if not isinstance(words, str) or len(words) > MAX_DESCRIPTION:
        raise PackageRefused(
            "bad_extension",
            _("rpa.description must be a text of at most %(limit)d characters.")
            % {"limit": MAX_DESCRIPTION},
            where,
        )
    return Extension(
        parameters=checked_schema(raw["parameters"], where)
        if raw.get("parameters") is not None
        else None,
        profile=profile,
        timeout=_whole_number(raw, "timeout", 1, MAX_TIMEOUT, where),
        memory=_whole_number(raw, "memory", *MEMORY_RANGE, where),
        description=words.strip(),
    )


def with_parameters_file(manifest: Manifest, document: Reader) -> Manifest:
    raw = document(PARAMETERS_JSON)
    if raw is None:
        return manifest
    if manifest.parameters is not None:
        raise PackageRefused(
            "bad_parameters",
            _("The parameters are described twice: here and in %(other)s.")
            % {"other": manifest.entry},
            PARAMETERS_JSON,
        )
    try:
        loaded = json.loads(text(raw, PARAMETERS_JSON))
    except (ValueError, RecursionError) as error:
        if isinstance(error, PackageRefused):
            raise
        raise PackageRefused(
            "bad_json", _("It is not valid JSON: %(problem)s") % {"problem": error}, PARAMETERS_JSON
        ) from error
    if not isinstance(loaded, dict) or not loaded.keys() & {"type", "properties", "$schema"}:
        # Some robot's own data under the same name: not a schema, not ours.
        return manifest
    schema = checked_schema(plain_map(loaded, PARAMETERS_JSON), PARAMETERS_JSON)
    return replace(manifest, extension=replace(manifest.extension, parameters=schema))


def _whole_number(raw: dict[str, Any], name: str, least: int, most: int, where: str) -> int | None:
    value = raw.get(name)
    if value is not None and (
        not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most
    ):
        raise PackageRefused(
            "bad_extension",
            _("rpa.%(name)s must be a whole number from %(least)d to %(most)d.")
            % {"name": name, "least": least, "most": most},
            where,
        )
    return value
