"""The documents are true: settings, commands, targets, dependencies and links are those of the code."""

import ast
import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from babel.messages.pofile import read_po
from django.conf import settings
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand
from packaging.requirements import Requirement

from executions.building import _PASSED_ON

ROOT = Path(settings.BASE_DIR)
OURS = (
    "audit",
    "accounts",
    "enterprises",
    "spaces",
    "joining",
    "people",
    "robots",
    "executions",
    "sharing",
    "interop",
    "rpa_platform",
)
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
)
#: The functions of rpa_platform.configuration that read a setting.
READERS = {
    *("text", "hosts", "origins", "origin", "switch", "number", "choice", "time_zone", "rate"),
    *("names", "one_name", "listed", "mail", "sender", "encryption_key", "issuer", "client_id"),
    "group_roles",
}
LANGUAGES = ("README.md", "README.zh.md")


@cache
def text(name: str) -> str:
    return (ROOT / name).read_text()


def rows(name: str) -> Iterator[list[str]]:
    """The cells of every table row of a document."""
    for line in text(name).splitlines():
        if line.startswith("|"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def code_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def sections(name: str, mark: str) -> dict[str, str]:
    """The text below each heading of a level, by the code in the heading or else its words."""
    parts = re.split(rf"(?m)^{mark} (.+)$", text(name))
    return {
        (code_in(title) or [title])[0]: body
        for title, body in zip(parts[1::2], parts[2::2], strict=True)
    }


def calls() -> Iterator[ast.Call]:
    for app in OURS:
        for path in (ROOT / app).rglob("*.py"):
            if "support" not in path.parts:  # runs inside robots, and reads what robots are given
                tree = ast.parse(path.read_text())
                yield from (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def constant(node: ast.expr) -> Any:
    """The value of an expression of constants such as 3 * 3600; None for any other."""
    if any(isinstance(each, ast.Name | ast.Call | ast.Attribute) for each in ast.walk(node)):
        return None
    return eval(compile(ast.Expression(node), "default", "eval"))


def settings_read() -> dict[str, ast.Call]:
    """Every setting that the code reads, with the call that does."""
    found: dict[str, ast.Call] = {}
    for call in calls():
        function = call.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        first = constant(call.args[0]) if call.args else None
        environment = "environ" in ast.unparse(function) or "settings.get" in ast.unparse(function)
        if isinstance(first, str) and first.isupper() and (name in READERS or environment):
            found[first] = call
        found |= {
            constant(each.value): call
            for each in call.keywords
            if each.arg == "alias" and name in READERS
        }
    return {name: call for name, call in found.items() if name}


def documented_settings() -> dict[str, list[str]]:
    return {name: row for row in rows("docs/configuration.md") for name in code_in(row[0])}


def test_every_setting_is_in_the_table_and_no_other() -> None:
    elsewhere = {"PORT", "HOST", "RPA_TEST_DATABASE_URL", "TEST_WORKERS"}
    read = {*settings_read(), *_PASSED_ON, *elsewhere} - {"DJANGO_SETTINGS_MODULE"}
    assert set(documented_settings()) == read
    makefile = text("Makefile") + text("scripts/test.sh") + text("tests/settings.py")
    assert all(name in makefile for name in elsewhere)


def test_defaults_and_limits_are_those_of_the_code() -> None:
    table = documented_settings()
    checked = 0
    for name, call in settings_read().items():
        options = {each.arg: constant(each.value) for each in call.keywords if each.arg}
        if name == options.get("alias") or name not in table or len(table[name]) < 5:
            continue
        default, limits = table[name][3], table[name][4]
        wanted = options.get("default", constant(call.args[1]) if len(call.args) > 1 else None)
        if isinstance(wanted, bool | int):
            assert default == f"`{str(wanted).lower()}`", name
            checked += 1
        elif isinstance(wanted, list):
            assert code_in(default) == ([",".join(wanted)] if wanted else []), name
        elif wanted:
            assert code_in(default)[:1] == [wanted], name
        if "least" in options:
            assert limits == f"{options['least']} to {options['most']}", name
    assert checked > 10


def own_commands() -> dict[str, str]:
    return {name: app for name, app in get_commands().items() if app.split(".")[0] in OURS}


def test_every_command_is_documented_with_its_options() -> None:
    documented = sections("docs/commands.md", "###")
    for name, app in own_commands().items():
        assert name in documented, f"manage.py {name}"
        command = load_command_class(app, name)
        parser = command.create_parser("manage.py", name)
        common = BaseCommand().create_parser("manage.py", name)
        own = {option for action in parser._actions for option in action.option_strings}
        own -= {option for action in common._actions for option in action.option_strings}
        shown = " ".join(code_in(documented[name]))
        missing = [option for option in own if not re.search(rf"(?<!\S){option}\b", shown)]
        assert not missing, f"manage.py {name}: {missing}"


def test_every_make_target_is_documented() -> None:
    targets = re.findall(r"(?m)^([a-z]+):.*##", text("Makefile"))
    documented = [code for row in rows("docs/commands.md") for code in code_in(row[0])]
    assert targets
    assert {f"make {target}" for target in targets} <= set(documented)


def test_every_dependency_is_listed_with_its_reason_and_licence() -> None:
    listed = {
        row[0].strip("`").lower(): row for row in rows("docs/dependencies.md") if len(row) == 3
    }
    wanted = set()
    for file in ("requirements.txt", "requirements-dev.txt"):
        for line in text(file).splitlines():
            if line and not line.startswith(("#", "-")):
                wanted.add(Requirement(line).name.lower())
    assert wanted == set(listed) - {"package", "---"}
    assert all(reason and licence for _name, reason, licence in listed.values())


def headings(path: Path) -> set[str]:
    """The anchors that a document's headings get on GitHub."""
    outside_code = re.sub(r"(?ms)^```.*?^```", "", path.read_text())
    titles = re.findall(r"(?m)^#+ (.+)$", outside_code)
    plain = [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]
    return set(plain)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    outside_code = re.sub(r"(?ms)^```.*?^```", "", document.read_text())
    links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", outside_code))
    for link in links:
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        path, _hash, anchor = unquote(link).partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        assert not anchor or anchor in headings(target), link


def test_every_document_can_be_found() -> None:
    """From a README or the index of the documents, within one step."""
    linked: set[Path] = set()
    for start in (ROOT / "README.md", ROOT / "docs" / "README.md"):
        for link in re.findall(r"\]\(([^)#\s]+)", start.read_text()):
            linked.add((start.parent / link).resolve())
    inside = {path for path in DOCUMENTS if path.parent != ROOT / "docs" / "adr"}
    lost = inside - linked - {ROOT / "README.md", *(ROOT / "docs" / "adr").glob("*.md")}
    assert not lost


def test_every_decision_is_in_the_list_of_decisions() -> None:
    decisions = {path.name for path in (ROOT / "docs" / "adr").glob("[0-9]*.md")}
    listed = set(re.findall(r"\]\(([0-9][^)]+\.md)\)", text("docs/adr/README.md")))
    assert listed == decisions
    for name in decisions:
        found = re.findall(r"(?m)^## (.+)$", text(f"docs/adr/{name}"))
        assert found == ["Context", "Decision", "Consequences"], name


def test_both_languages_show_the_same_commands() -> None:
    shown = [re.findall(r"(?ms)^```\w*\n(.*?)^```", text(name)) for name in LANGUAGES]
    without_comments = [[re.sub(r"(?m)\s*#.*$", "", block) for block in blocks] for blocks in shown]
    assert without_comments[0] == without_comments[1]


@pytest.mark.parametrize("kind", ["EventKind", "Status", "FailureReason", "PendingReason"])
def test_every_word_of_the_wire_is_documented(kind: str) -> None:
    choices = getattr(importlib.import_module("executions.choices"), kind)
    words = choices.labels if kind == "EventKind" else choices.values
    shown = {code for row in rows("docs/api.md") for code in code_in(row[0])}
    assert {str(word) for word in words} <= shown


def test_every_reason_to_refuse_a_package_is_documented() -> None:
    refusals = (call for call in calls() if ast.unparse(call.func) == "PackageRefused")
    codes = {constant(call.args[0]) for call in refusals if call.args}
    shown = {code for row in rows("docs/robots.md") if len(row) == 2 for code in code_in(row[1])}
    assert len(codes) > 20
    assert codes <= shown


def test_the_glossary_says_what_the_chinese_pages_say() -> None:
    """The models' own names, which the catalogue has in lower case, are the glossary's words."""
    with (ROOT / "locale" / "zh_Hans" / "LC_MESSAGES" / "django.po").open("rb") as file:
        catalogue = {str(entry.id): str(entry.string) for entry in read_po(file) if entry.id}
    compared = 0
    for english, chinese, _meaning in (row for row in rows("docs/glossary.md") if len(row) == 3):
        for word in english.split(", "):
            if word in catalogue and word != "English":
                assert catalogue[word] in chinese.split("、"), word
                compared += 1
    assert compared > 8
