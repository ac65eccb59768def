"""Requirement lines: somebody else's data that ends up on an installer's command line.

Only names with versions pass, never addresses, paths or the installer's own options (but for a few harmless ones).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from django.utils.translation import gettext as _
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from robots.documents import Reader, text
from robots.refusals import PackageRefused

MAX_REQUIREMENTS = 1000
MAX_INCLUDES = 10

# Conda packages that are no Python packages: they would come from the operating system.
_FROM_THE_SYSTEM = frozenset(
    """
    blas bzip2 c-ares c-compiler ca-certificates certifi-win32 chromium chromedriver cmake
    compilers cudatoolkit curl cxx-compiler ffmpeg firefox fontconfig freetype gcc geckodriver
    ghostscript git go graphviz icu imagemagick jpeg krb5 ld_impl_linux-64 leptonica libffi
    libgcc-ng libgomp libiconv libnsl libpng libpq libreoffice libsqlite libstdcxx-ng libtiff
    libuuid libxml2 libxslt libzlib make mkl mono ncurses nodejs nss openblas openjdk openssl
    pandoc perl phantomjs pkg-config poppler powershell r-base readline ruby rust sqlite
    tesseract tk unixodbc vc vs2015_runtime wget xorg-libx11 xz yarn zlib zstd _libgcc_mutex
    _openmp_mutex
    """.split()  # noqa: SIM905 - a table
)
_TOOLS = frozenset(
    {"pip", "uv", "setuptools", "wheel", "conda", "micromamba", "mamba", "python_abi", "tzdata"}
)
_OTHER_NAMES = {
    "pytorch": "torch",
    "opencv": "opencv-python",
    "msgpack-python": "msgpack",
    "matplotlib-base": "matplotlib",
}

# Options of a requirements file: kept (as uv spells them), or without meaning here.
_KEPT_OPTIONS = {"--pre": "--prerelease=allow", "--no-deps": "--no-deps"}
_DROPPED_OPTIONS = frozenset(
    {
        "--use-feature",
        "--prefer-binary",
        "--only-binary",
        "--no-cache-dir",
        "--require-hashes",
        "--disable-pip-version-check",
        "--no-warn-script-location",
        "--progress-bar",
        "--upgrade",
        "-U",
    }
)
_HASH = re.compile(r"\s--hash[=\s]\s*(sha(?:256|384|512):[0-9a-f]+)")
_CONDA_SPEC = re.compile(
    r"(?:(?P<channel>[\w./-]+)::)?(?P<name>[A-Za-z0-9_][\w.-]*)\s*(?P<version>[^\[\]]*)"
)
_PLAIN_VERSION = re.compile(r"[0-9][0-9A-Za-z.+!]*(\.\*|\*)?")


@dataclass
class Collector:
    """Takes in lines of every form and keeps what may be installed."""

    where: str
    read: Reader
    requirements: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    python: str | None = None
    includes: int = 0

    def add_text(self, source: str, where: str, *, constraint: bool = False) -> Collector:
        """A requirements file: comments, continued lines, includes."""
        for line in re.sub(r"\\\r?\n", " ", source).splitlines():
            self.add_line(line, where, constraint=constraint)
        return self

    def add_line(self, line: str, where: str, *, constraint: bool = False) -> None:
        line = re.sub(r"(^|\s)#.*$", "", line).strip()
        if not line:
            return
        if line.startswith("-"):
            self._add_option(line, where, constraint=constraint)
            return
        hashes = _HASH.findall(line)
        requirement = _requirement(_HASH.sub("", line), where)
        if not constraint and requirement.name.lower() in {"pip", "uv"}:
            return
        into = self.constraints if constraint else self.requirements
        spelled = " ".join([str(requirement), *(f"--hash={each}" for each in hashes)])
        if spelled not in into:
            into.append(spelled)
        if len(self.requirements) + len(self.constraints) > MAX_REQUIREMENTS:
            raise bad_environment(
                _("More than %(limit)d requirements.") % {"limit": MAX_REQUIREMENTS}, where
            )

    def add_conda(self, item: str, where: str) -> None:
        match = _CONDA_SPEC.fullmatch(item.split("#")[0].strip())
        if not match:
            self.warnings.append(f"{where}: '{item[:120]}' cannot be installed here.")
            return
        name, version = match["name"].lower(), match["version"].strip()
        if name == "python":
            found = re.search(r"\d+\.\d+", version)
            self.python = found[0] if found else None
        elif name in _FROM_THE_SYSTEM or name.startswith(
            ("lib", "_lib", "xorg-", "font-", "fonts-")
        ):
            self.warnings.append(
                f"{where}: '{name}' is not a Python package; it must be installed on the machine."
            )
        elif name not in _TOOLS:
            plain = _conda_version(version)
            if plain is None:
                self.warnings.append(
                    f"{where}: the version of '{item[:120]}' is not understood; any is taken."
                )
            self.add_line(f"{_OTHER_NAMES.get(name, name)}{plain or ''}", where)

    def _add_option(self, line: str, where: str, *, constraint: bool) -> None:
        option, _sign, value = (
            part.strip() for part in re.sub(r"[=\s]", " ", line, count=1).partition(" ")
        )
        if option in {"-r", "--requirement", "-c", "--constraint"}:
            self._include(value, where, constraint=constraint or option in {"-c", "--constraint"})
        elif option in _KEPT_OPTIONS:
            if _KEPT_OPTIONS[option] not in self.options:
                self.options.append(_KEPT_OPTIONS[option])
        elif option in {"-e", "--editable"}:
            raise PackageRefused(
                "bad_requirement",
                _(
                    "'-e' installs from a folder. Put the code into the robot and name its folder in PYTHONPATH."
                ),
                where,
            )
        elif option not in _DROPPED_OPTIONS:
            raise PackageRefused(
                "bad_requirement",
                _("The option '%(option)s' is not allowed in a robot's requirements.")
                % {"option": option[:80]},
                where,
            )

    def _include(self, name: str, where: str, *, constraint: bool) -> None:
        self.includes += 1
        path = PurePosixPath(where).parent / name
        if self.includes > MAX_INCLUDES or path.is_absolute() or ".." in path.parts or not name:
            raise PackageRefused(
                "bad_requirement",
                _("It includes a file outside the package, or too many files."),
                where,
            )
        raw = self.read(str(path))
        if raw is None:
            raise PackageRefused(
                "bad_requirement",
                _("It includes '%(name)s', which the package does not have.")
                % {"name": name[:120]},
                where,
            )
        self.add_text(text(raw, str(path)), str(path), constraint=constraint)


def _requirement(line: str, where: str) -> Requirement:
    shown = {"line": line[:120]}
    if re.search(r"://|^git\+|^file:|\s@\s|^\S+@\S*:", line):
        raise PackageRefused(
            "bad_requirement",
            _(
                "'%(line)s' installs from an address. Only packages of the index, by name, are installed."
            )
            % shown,
            where,
        )
    if line.startswith((".", "/", "~")) or re.search(r"\.(whl|zip|tar\.gz)$|^[\w.-]+/", line):
        raise PackageRefused(
            "bad_requirement",
            _(
                "'%(line)s' installs from a file. Only packages of the index, by name, are installed."
            )
            % shown,
            where,
        )
    try:
        requirement = Requirement(line)
    except (InvalidRequirement, RecursionError) as error:  # a marker may nest without end
        raise PackageRefused(
            "bad_requirement", _("'%(line)s' is not a requirement.") % shown, where
        ) from error
    if requirement.url:
        raise PackageRefused(
            "bad_requirement",
            _(
                "'%(line)s' installs from an address. Only packages of the index, by name, are installed."
            )
            % shown,
            where,
        )
    return requirement


def _conda_version(version: str) -> str | None:
    """Conda's version as PEP 440 has it ("" for any), or None if it has no such form."""
    if not version or version == "*":
        return ""
    # name=1.2=build: the build is the binary's, of no meaning outside conda.
    bare = re.match(r"=*\s*([^=\s]+)", version) if version[0] in "=0123456789" else None
    if bare and _PLAIN_VERSION.fullmatch(bare[1]):
        return "==" + re.sub(r"(?<!\.)\*$", ".*", bare[1])
    try:
        return str(SpecifierSet(version))
    except InvalidSpecifier:
        return None


def as_list(value: object, where: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise bad_environment(_("A list is expected."), where)
    return value


def as_text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise bad_environment(
            _("A text is expected, not %(value)s.") % {"value": repr(value)[:80]}, where
        )
    return value


def bad_environment(message: str, where: str) -> PackageRefused:
    return PackageRefused("bad_environment", message, where)
