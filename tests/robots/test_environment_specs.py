"""What a robot asks to have installed, and what it may not ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robots import environments
from robots.environments import EnvironmentSpec, key
from robots.refusals import PackageRefused


def spec(name: str, content: str, more: Mapping[str, str] | None = None) -> EnvironmentSpec:
    files = {name: content.encode(), **{each: text.encode() for each, text in (more or {}).items()}}
    found = environments.from_file(name, files.get)
    assert found is not None
    return found


def test_conda_yaml_becomes_requirements() -> None:
    found = spec(
        "conda.yaml",
        """
channels: [conda-forge, some-channel]
dependencies:
  - python=3.10.12
  - pip=22.1.2
  - uv=0.6
  - nodejs=18
  - poppler
  - pandas=2.1
  - conda-forge::requests=2.31.0=pyhd8ed1ab_0
  - pytorch>=2,<3
  - pyyaml=6.*
  - odd name[version='>=1']
  - pip:
    - --use-feature=truststore
    - rpaframework==29.0.0  # comment
    - robocorp-browser[x] >= 2 ; python_version > "3"
rccPostInstall: [rfbrowser init]
""",
    )
    assert found.python == "3.10"
    assert found.requirements == (
        "pandas==2.1",
        "requests==2.31.0",
        "torch<3,>=2",
        "pyyaml==6.*",
        "rpaframework==29.0.0",
        'robocorp-browser[x]>=2; python_version > "3"',
    )
    said = " ".join(found.warnings)
    assert all(
        word in said for word in ("nodejs", "poppler", "some-channel", "odd name", "rccPostInstall")
    )


def test_requirements_txt_with_includes_and_hashes() -> None:
    more = {"base.txt": "six==1.16.0\n-c sub/limits.txt", "sub/limits.txt": "urllib3<2\n"}
    found = spec(
        "requirements.txt",
        "# a comment\n-r base.txt\nrequests[socks]==2.31 \\\n  ; python_version > '3'\n--pre\n\n",
        more,
    )
    assert found.requirements == ("six==1.16.0", 'requests[socks]==2.31; python_version > "3"')
    assert (found.constraints, found.options) == (("urllib3<2",), ("--prerelease=allow",))
    hashed = spec(
        "requirements.txt",
        f"six==1.16.0 \\\n    --hash=sha256:{'a' * 64} \\\n    --hash=sha256:{'b' * 64}\n",
    )
    assert hashed.options == ("--require-hashes",)
    assert hashed.requirements[0].count("--hash=") == 2


def test_pyproject_and_package_yaml() -> None:
    found = spec(
        "pyproject.toml",
        '[project]\nname="x"\nrequires-python=">=3.9"\ndependencies=["requests>2"]\n',
    )
    assert (found.requirements, found.python) == (("requests>2",), ">=3.9")
    assert spec("pyproject.toml", "[tool.ruff]\nline-length = 100\n").requirements == ()
    actions = spec(
        "package.yaml",
        "spec-version: v2\ndependencies:\n  conda-forge: [python=3.11.11]\n  pypi: [a=1.0, b==2, c>=3]\npost-install: [x]\n",
    )
    assert (actions.requirements, actions.python) == (("a==1.0", "b==2", "c>=3"), "3.11")
    assert "post-install" in actions.warnings[0]


@pytest.mark.parametrize(
    "line",
    [
        "-e .",
        "--editable=src",
        "-e git+https://x/y#egg=z",
        "git+ssh://git@x/y",
        "https://evil/x.whl",
        "x @ https://evil/x.whl",
        "x@file:///etc/passwd",
        "file:///etc/passwd",
        "./local",
        "../up",
        "/abs/x.whl",
        "local.whl",
        "dist/x-1.tar.gz",
        "~/x",
        "--index-url https://evil",
        "-i https://evil",
        "--extra-index-url=https://evil",
        "--find-links /",
        "-f x",
        "--trusted-host evil",
        "--config-settings x=y",
        "--no-binary :all:",
        "--python /bin/sh",
        "--target /usr",
        "requests; os.system('x')",
        "a b c",
        "$HOME",
        "${TOKEN}",
        "-r ../../etc/passwd",
        "-r /etc/passwd",
        "-r missing.txt",
        "-r requirements.txt",
        "--",
        "-",
        "requests --global-option=x",
        "requests --index-url=https://evil",
        "x==1\x00",
    ],
)
def test_hostile_requirements_are_refused(line: str) -> None:
    with pytest.raises(PackageRefused) as caught:
        spec("requirements.txt", f"six\n{line}\n")
    assert caught.value.code in {"bad_requirement", "bad_environment"}
    assert caught.value.where == "requirements.txt"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("conda.yaml", "dependencies: {a: b}"),
        ("conda.yaml", "dependencies: [5]"),
        ("conda.yaml", "dependencies: [{pip: [1]}]"),
        ("conda.yaml", "dependencies: [{pip: ['-e .']}]"),
        ("pyproject.toml", "[project]\ndependencies='x'"),
        ("pyproject.toml", "["),
        ("package.yaml", "spec-version: v2\ndependencies: [x]"),
        ("requirements.txt", "six --hash=sha256:aa\nattrs\n"),
        ("requirements.txt", "\n".join(f"p{n}" for n in range(1001))),
    ],
)
def test_documents_of_the_wrong_shape_are_refused(name: str, content: str) -> None:
    with pytest.raises(PackageRefused):
        spec(name, content)


@given(st.text(max_size=60))
def test_any_line_is_a_plain_requirement_or_refused(line: str) -> None:
    try:
        found = spec("requirements.txt", line)
    except PackageRefused:
        return
    for each in found.requirements:
        assert "://" not in each
        assert not each.startswith(("-", "/", "."))


def test_equal_environments_have_equal_keys_and_others_do_not() -> None:
    first = EnvironmentSpec(requirements=("a==1", "b==2"), warnings=("w",), python="3.11")
    assert key(first, "3.11.2", "uv 1") == key(
        replace(first, requirements=("b==2", "a==1"), warnings=(), python=None), "3.11.2", "uv 1"
    )
    others = [
        replace(first, requirements=("a==1",)),
        replace(first, cutoff=date(2026, 1, 1)),
        replace(first, options=("--no-deps",)),
        replace(first, constraints=("c<2",)),
    ]
    keys = {key(each, "3.11.2", "uv 1") for each in (first, *others)} | {
        key(first, "3.11.3", "uv 1"),
        key(first, "3.11.2", "uv 2"),
    }
    assert len(keys) == 7
    assert EnvironmentSpec.from_json(others[1].to_json()) == others[1]
