"""No command of ours is without a test."""

from pathlib import Path

from django.core.management import get_commands, load_command_class


def ours() -> dict[str, str]:
    """Our commands and the app of each; those of Django and of others do not live in this folder."""
    root = Path(__file__).parents[2]
    return {
        name: app
        for name, app in get_commands().items()
        if (root / app / "management" / "commands" / f"{name}.py").is_file()
    }


def test_every_command_has_a_test() -> None:
    here = Path(__file__).parent
    assert {"run", "publish", "serve", "demo"} <= set(ours())
    untested = {name for name in ours() if not (here / f"test_{name}.py").is_file()}
    assert not untested


def test_every_command_says_what_it_is_for() -> None:
    for name, app in ours().items():
        assert load_command_class(app, name).help, name
