"""References inside of a JSON Schema, read as its evaluation reads them."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

Path = tuple[str, ...]


def path_of(reference: str) -> Path:
    """The names that lead from the root to where `reference` ("#/...") points."""
    parts = unquote(reference.removeprefix("#/")).split("/")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in parts)


def target_of(reference: str, root: Mapping[str, Any]) -> Any:
    """What `reference` points to in the schema `root`, which has it."""
    target: Any = root
    for part in path_of(reference):
        target = target[int(part)] if isinstance(target, list) else target[part]
    return target
