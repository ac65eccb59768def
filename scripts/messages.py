"""Collect the strings to translate: `make messages`.

There are two sets of catalogues: locale/zh_Hans holds the words of this project; locale/libraries/zh_Hans
those that the admin's theme, which has no catalogue, and Django itself do not say in Chinese. They are
collected in a copy of the sources, because makemessages leaves files beside the templates while it works.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from babel.messages import Catalog, Message
from babel.messages.pofile import read_po

ROOT = Path(__file__).resolve().parent.parent
PLACE = Path("zh_Hans", "LC_MESSAGES")
#: `contrib` is the theme's: for packages that are not installed here.
_SKIPPED = shutil.ignore_patterns(
    *(".*", "__pycache__", "var", "locale", "static", "migrations"),
    *("tests", "benchmarks", "examples", "contrib"),
)
_OPTIONS = [
    "--locale=zh_Hans",
    "--no-obsolete",
    "--no-wrap",
    "--add-location=file",
    "--verbosity=0",
]


@dataclass(frozen=True)
class Collection:
    """One catalogue, and where its strings come from."""

    folder: Path
    domain: str
    sources: Path
    of_django: bool

    @property
    def path(self) -> Path:
        return self.folder / PLACE / f"{self.domain}.po"

    def collect(self) -> str:
        """The catalogue's text, brought up to its sources: new strings empty, old ones gone."""
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, "sources")
            shutil.copytree(self.sources, copy, ignore=_SKIPPED)
            if self.of_django:
                suffix = "py" if self.domain == "django" else "js"
                copy.joinpath(f"of_django.{suffix}").write_text(
                    "\n".join(map(_call, _untold_by_django(self.domain))), encoding="utf-8"
                )
            po = copy / "locale" / PLACE / self.path.name
            po.parent.mkdir(parents=True)
            if self.path.exists():
                shutil.copy(self.path, po)
            subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "django",
                    "makemessages",
                    f"--domain={self.domain}",
                    *_OPTIONS,
                ],
                cwd=copy,
                env={name: value for name, value in os.environ.items() if "DJANGO" not in name},
                check=True,
            )
            # The date would make every collection a change.
            return re.sub(r'"POT-Creation-Date: .*\n', "", po.read_text(encoding="utf-8"))


def _folder_of(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _untold_by_django(domain: str) -> Iterator[Message]:
    """What Django's Chinese catalogues lack of its English ones, which list every string."""
    for part in ("conf", "contrib/admin", "contrib/auth"):
        locale = _folder_of("django") / part / "locale"
        listed = locale / "en" / "LC_MESSAGES" / f"{domain}.po"
        if not listed.exists():
            continue
        told = {
            (each.context, each.id)
            for each in parsed(locale / PLACE / f"{domain}.po")
            if each.string and all(each.string) and not each.fuzzy
        }
        for each in parsed(listed):
            if each.id and (each.context, each.id) not in told:
                yield each


def _call(message: Message) -> str:
    """A line of Python, and of JavaScript, in which xgettext finds `message`."""
    several = isinstance(message.id, tuple)
    words = list(message.id) if several else [message.id]
    name = "gettext"
    if message.context:
        words, name = [message.context, *words], "pgettext"
    written = ", ".join(json.dumps(each, ensure_ascii=False) for each in words)
    return f"n{name}({written}, 1)" if several else f"{name}({written})"


def parsed(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale="zh_Hans", abort_invalid=True)


_LIBRARIES = ROOT / "locale" / "libraries"
OURS = Collection(ROOT / "locale", "django", ROOT, of_django=False)
ADMIN = Collection(_LIBRARIES, "django", _folder_of("unfold"), of_django=True)
ADMIN_JS = Collection(_LIBRARIES, "djangojs", _folder_of("unfold"), of_django=True)


def main() -> None:
    for each in (OURS, ADMIN, ADMIN_JS):
        text = each.collect()
        each.path.parent.mkdir(parents=True, exist_ok=True)
        each.path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
