"""How this room says no."""

from __future__ import annotations


class PackageRefused(ValueError):
    """A package that is not accepted: why, for a program (`code`), for a person (`message`), and at which file."""

    def __init__(self, code: str, message: str, where: str = "") -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.code = code
        self.message = message
        self.where = where
