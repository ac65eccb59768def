"""Shows Robot Framework's suites, tests and keywords as steps, while they run.

A listener of version 2: those of version 3 hear of keywords only from Robot Framework 7 on. Arguments are left out:
they may be secrets.
"""

from __future__ import annotations

from typing import Any

from rpa_own import rpa

ROBOT_LISTENER_API_VERSION = 2

MAX_DEPTH = 5
MAX_KEYWORDS = 1000
MAX_TESTS = 5000

# Robot Framework's structures that are no keywords of anybody.
_STRUCTURE = {
    "FOR",
    "FOR ITERATION",
    "ITERATION",
    "WHILE",
    "IF",
    "ELSE IF",
    "ELSE",
    "IF/ELSE ROOT",
    "TRY",
    "EXCEPT",
    "FINALLY",
    "TRY/EXCEPT ROOT",
    "RETURN",
    "BREAK",
    "CONTINUE",
    "VAR",
    "GROUP",
    "ERROR",
}
_STATES = {"PASS": "passed", "FAIL": "failed"}


class _Steps:
    """The open steps, outermost first. One that is not shown is None, and so are its keywords."""

    def __init__(self) -> None:
        self.open: list[tuple[str, str, str, str | None] | None] = []
        self.tests = 0
        self.keywords = 0
        self.keyword_depth = 0
        self.said_enough = False

    def parent(self) -> str | None:
        return next((each[0] for each in reversed(self.open) if each), None)

    def start(self, name: str, kind: str) -> None:
        parent = self.parent()
        opened = rpa.start_step(name, kind, parent)
        self.open.append((opened, name, kind, parent))
        rpa._current.set(opened)

    def end(self, state: str, message: str = "") -> None:
        ended = self.open.pop() if self.open else None
        if ended:
            opened, name, kind, parent = ended
            rpa.end_step(opened, name, state, message, kind, parent)
            rpa._current.set(self.parent())

    def enough(self, what: str) -> None:
        if not self.said_enough:
            self.said_enough = True
            name = f"Not every step is shown: there are more than {what}. Robot Framework's own log has all of them."
            rpa.end_step(
                rpa.start_step(name, "step", self.parent()),
                name,
                "skipped",
                "",
                "step",
                self.parent(),
            )


_steps = _Steps()


def start_suite(name: str, attributes: dict[str, Any]) -> None:
    _steps.start(name, "suite")


def end_suite(name: str, attributes: dict[str, Any]) -> None:
    _steps.end(_state(attributes), attributes.get("message", ""))


def start_test(name: str, attributes: dict[str, Any]) -> None:
    _steps.tests += 1
    if _steps.tests > MAX_TESTS:
        _steps.enough(f"{MAX_TESTS} tests")
        _steps.open.append(None)
    else:
        _steps.start(name, _kind())


def end_test(name: str, attributes: dict[str, Any]) -> None:
    _steps.end(_state(attributes), attributes.get("message", ""))


def start_keyword(name: str, attributes: dict[str, Any]) -> None:
    _steps.keyword_depth += 1
    shown = attributes.get("kwname") or name
    hidden_above = _steps.open and _steps.open[-1] is None and _steps.tests > MAX_TESTS
    is_none = (
        attributes.get("type", "") in _STRUCTURE
        or attributes.get("status") == "NOT RUN"
        or not shown
    )
    if hidden_above or is_none or _steps.keyword_depth > MAX_DEPTH:
        _steps.open.append(None)
    elif _steps.keywords >= MAX_KEYWORDS:
        _steps.enough(f"{MAX_KEYWORDS} keywords")
        _steps.open.append(None)
    else:
        _steps.keywords += 1
        _steps.start(shown, "keyword")


def end_keyword(name: str, attributes: dict[str, Any]) -> None:
    _steps.keyword_depth -= 1
    _steps.end(_state(attributes))


def _state(attributes: dict[str, Any]) -> str:
    return _STATES.get(attributes.get("status", ""), "skipped")


def _kind() -> str:
    """Suites written with a Tasks section call them tasks."""
    try:
        from robot.running.context import EXECUTION_CONTEXTS

        return "task" if EXECUTION_CONTEXTS.current.suite.rpa else "test"
    except Exception:  # noqa: BLE001 - a version that keeps it elsewhere: the word is all that is lost
        return "test"
