"""`manage.py publish`: whatever form a robot has, and every refusal by name."""

import json
import zipfile
from pathlib import Path

import pytest
from django.core.management import CommandError

from accounts.models import User
from robots.models import Robot
from spaces.models import Space, SpaceRole
from tests.commands.calling import called, process
from tests.factories import make_space

pytestmark = pytest.mark.django_db

MANIFEST = {"tasks": {"Main": {"shell": "python main.py"}}, "artifactsDir": "output"}
SUITE = "*** Tasks ***\nGreet\n    Log    hello\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "invoices"
    made.mkdir()
    (made / "robot.yaml").write_text(json.dumps(MANIFEST))
    (made / "main.py").write_text("print('hello')\n")
    return made


def publish(path: Path, *options: str, user: str = "alice") -> str:
    return called("publish", str(path), "--user", user, *options)


def forms(folder: Path) -> list[Path]:
    """The same kind of robot as a folder, a zip, a Python file and a suite."""
    parent = folder.parent
    with zipfile.ZipFile(parent / "zipped.zip", "w") as archive:
        for each in folder.iterdir():
            archive.write(each, each.name)
    (parent / "script.py").write_text("print('hello')\n")
    (parent / "suite.robot").write_text(SUITE)
    return [folder, parent / "zipped.zip", parent / "script.py", parent / "suite.robot"]


def test_every_form_becomes_a_robot_of_its_name(space: Space, folder: Path) -> None:
    for path in forms(folder):
        said = publish(path)
        robot = Robot.objects.get(name=path.stem)
        assert said == f"{path.stem} version 1 ({robot.uid})\n"
        assert robot.space == space
        assert robot.enabled_version is not None
        assert robot.created_by.username == "alice"


def test_the_same_again_changes_nothing_and_something_else_is_a_version(
    space: Space, folder: Path
) -> None:
    first = publish(folder)
    assert publish(folder) == first
    (folder / "main.py").write_text("print('good day')\n")
    assert publish(folder, "--note", "more polite").startswith("invoices version 2 (")
    robot = Robot.objects.get()
    assert robot.versions.count() == 2
    assert robot.enabled_version is not None
    assert (robot.enabled_version.number, robot.enabled_version.note) == (2, "more polite")


def test_a_name_may_be_given(space: Space, folder: Path) -> None:
    assert publish(folder, "--name", "bills").startswith("bills version 1 (")


def test_the_space_must_be_clear(space: Space, folder: Path, people: dict[str, User]) -> None:
    second = make_space("Second", {people["alice"]: SpaceRole.OWNER})
    with pytest.raises(CommandError, match=r"There are several spaces\. Choose one with --space"):
        publish(folder)
    publish(folder, "--space", "Second")
    publish(folder, "--space", str(space.pk))
    assert {each.space for each in Robot.objects.all()} == {space, second}
    for name in ("Nowhere", "²", "٣"):  # digits to Python, and no id
        with pytest.raises(CommandError, match=rf"alice has no space named {name} for this\."):
            publish(folder, "--space", name)
    with pytest.raises(CommandError, match=r"alice has no space named Charlie's for this\."):
        publish(folder, "--space", "Charlie's")


@pytest.mark.parametrize(
    ("user", "refusal"),
    [
        ("nobody", "There is no active user named nobody."),
        ("", "There is no superuser. Name a user with --user, or create one first."),
    ],
)
def test_somebody_must_publish(space: Space, folder: Path, user: str, refusal: str) -> None:
    with pytest.raises(CommandError, match=refusal):
        publish(folder, user=user)


def test_without_a_name_the_first_superuser_publishes(
    space: Space, folder: Path, people: dict[str, User]
) -> None:
    User.objects.filter(username="alice").update(is_superuser=True)
    called("publish", str(folder), "--space", space.name)
    assert Robot.objects.get().created_by == people["alice"]


def test_what_is_no_robot_is_refused_and_leaves_nothing(space: Space, tmp_path: Path) -> None:
    missing = tmp_path / "missing.zip"
    with pytest.raises(CommandError, match=r"missing\.zip: .* does not exist"):
        publish(missing)
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK\x03\x04 no")
    empty = tmp_path / "empty"
    empty.mkdir()
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG")
    for path in (broken, empty, picture):
        with pytest.raises(CommandError, match=f"{path.name}: .+"):
            publish(path)
    assert not Robot.objects.exists()


def test_a_refusal_is_one_line_and_an_exit_code(data: Path) -> None:
    assert process(data, "migrate", "-v0").returncode == 0
    refused = process(data, "publish", "nothing.py", "--user", "nobody")
    assert refused.returncode == 1
    assert refused.stderr == "CommandError: There is no active user named nobody.\n"
    assert process(data, "publish").returncode == 2


def test_a_folder_of_several_robots_is_none(space: Space) -> None:
    examples = Path(__file__).parents[2] / "examples"
    with pytest.raises(CommandError, match=r"no robot\.yaml at its top\. Pack the folder of one"):
        publish(examples)
    assert not Robot.objects.exists()
