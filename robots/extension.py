"""The platform's own words on a robot: `rpa:` in robot.yaml, [tool.rpa] in a script, parameters.json beside them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from django.utils.translation import gettext as _

from robots.documents import Reader, plain_map, text
from robots.manifest import (
    MAX_ATTEMPTS,
    MAX_BACKOFF,
    MAX_CONCURRENCY,
    MAX_DESCRIPTION,
    MAX_LABELS,
    MAX_QUEUE_TIMEOUT,
    MAX_TIMEOUT,
    MEMORY_RANGE,
    NAME,
    RETRIED_ON,
    Extension,
    Manifest,
    RetryPolicy,
)
from robots.parameters import checked_schema
from robots.refusals import PackageRefused

PARAMETERS_JSON = "parameters.json"
_KEYS = frozenset(
    {
        *("parameters", "profile", "timeout", "memory", "description"),
        *("pool", "labels", "concurrency", "queue_timeout", "retry"),
    }
)
_RETRY_KEYS = frozenset({"max_attempts", "backoff", "on"})


def extension(raw: object, where: str, *, description: object = None) -> Extension:
    """The platform's own table. Unknown keys are refused: a misspelt limit must not be no limit."""
    if raw is None:
        raw = {}
    raw = _table(raw, "rpa", _KEYS, where)
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
        pool=_name(raw.get("pool", ""), "rpa.pool", where) if raw.get("pool") else "",
        labels=_labels(raw.get("labels"), where),
        concurrency=_whole_number(raw, "concurrency", 1, MAX_CONCURRENCY, where),
        queue_timeout=_whole_number(raw, "queue_timeout", 1, MAX_QUEUE_TIMEOUT, where),
        retry=_retry(raw.get("retry"), where),
    )


def _table(raw: object, name: str, known: frozenset[str], where: str) -> dict[str, Any]:
    if not isinstance(raw, dict) or raw.keys() - known:
        unknown = (
            ", ".join(sorted(map(str, raw.keys() - known))) if isinstance(raw, dict) else repr(raw)
        )
        raise PackageRefused(
            "bad_extension",
            _("'%(name)s' may have %(known)s, but not: %(unknown)s.")
            % {"name": name, "known": ", ".join(sorted(known)), "unknown": unknown[:200]},
            where,
        )
    return raw


def _name(value: object, name: str, where: str) -> str:
    if not isinstance(value, str) or NAME.fullmatch(value) is None:
        raise PackageRefused(
            "bad_extension",
            _("%(name)s must be 1 to 40 small letters, digits, dots, dashes and underscores.")
            % {"name": name},
            where,
        )
    return value


def _labels(raw: object, where: str) -> tuple[str, ...]:
    if raw is None:
        return ()
    if not isinstance(raw, list) or len(raw) > MAX_LABELS:
        raise PackageRefused(
            "bad_extension",
            _("rpa.labels must be a list of at most %(limit)d names.") % {"limit": MAX_LABELS},
            where,
        )
    return tuple(sorted({_name(each, "rpa.labels", where) for each in raw}))


def _retry(raw: object, where: str) -> RetryPolicy | None:
    if raw is None:
        return None
    table = _table(raw, "rpa.retry", _RETRY_KEYS, where)
    attempts = _whole_number(table, "max_attempts", 1, MAX_ATTEMPTS, where, table="rpa.retry")
    if attempts is None:
        raise PackageRefused(
            "bad_extension", _("rpa.retry needs max_attempts: how often to try."), where
        )
    reasons = table.get("on", ["lost"])
    if not isinstance(reasons, list) or not reasons or set(map(str, reasons)) - set(RETRIED_ON):
        raise PackageRefused(
            "bad_extension",
            _("rpa.retry.on must be a list of %(known)s.") % {"known": ", ".join(RETRIED_ON)},
            where,
        )
    backoff = _whole_number(table, "backoff", 0, MAX_BACKOFF, where, table="rpa.retry")
    return RetryPolicy(attempts, backoff or 0, tuple(sorted(set(reasons))))


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


def _whole_number(
    raw: dict[str, Any], name: str, least: int, most: int, where: str, *, table: str = "rpa"
) -> int | None:
    value = raw.get(name)
    if value is not None and (
        not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most
    ):
        raise PackageRefused(
            "bad_extension",
            _("%(name)s must be a whole number from %(least)d to %(most)d.")
            % {"name": f"{table}.{name}", "least": least, "most": most},
            where,
        )
    return value
