"""`manage.py purge_deleted`: what was deleted long ago goes for ever, whole, whenever it was cut off before."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.core.files.storage import default_storage
from django.core.management.base import CommandError
from django.utils import timezone

from accounts.actors import Actor
from accounts.models import User
from accounts.refusals import Refused
from audit.chain import verify
from audit.models import Entry
from enterprises import services as enterprises
from enterprises.models import Enterprise, EnterpriseRole
from enterprises.purging import purge_enterprise
from executions import lifecycle, sealing
from executions.choices import Status
from executions.lifecycle import Ending
from executions.models import Execution, ExecutionStream, SpaceRetention
from joining import services as joining
from joining.models import InviteRole
from robots import services as robots
from robots.models import Robot, RobotVersion
from robots.purging import purge_robot
from sharing import services as sharing
from spaces import services as spaces
from spaces.models import Space, SpaceRole
from spaces.purging import purge_space
from tests.access.house import Things, build_house
from tests.commands.calling import called
from tests.executions.server import ROOT, environment
from tests.factories import make_enterprise, make_execution, make_robot, make_space, make_user

OLD = ("--older-than", "30")


@pytest.fixture
def things(people: dict[str, User], space: Space) -> Things:
    """All that may be in an enterprise; and others, who keep what they have."""
    house = build_house(people, space)
    found = house.things
    make_user("outsider")
    joining.invite_user(
        found.enterprise,
        User.objects.get(username="outsider").uid,
        InviteRole.MEMBER,
        by=Actor(people["alice"]),
    )
    sharing.share(found.robot, by=Actor(people["alice"]))
    SpaceRetention.objects.create(space=space, days=3)
    lifecycle.finish(found.execution.pk, Ending(Status.CANCELLED))
    sealing.seal(found.execution.pk)
    make_execution(found.robot, rerun_of=found.execution)
    return found


def deleted_long_ago(row: Any) -> None:
    stamp = "updated_at" if isinstance(row, Robot) else "update_time"
    ago = timezone.now() - timedelta(days=31)
    type(row).objects.filter(pk=row.pk).update(deleted=True, **{stamp: ago})


def objects(folder: str = "") -> set[str]:
    """Every object in storage."""
    try:
        folders, names = default_storage.listdir(folder)
    except FileNotFoundError:
        return set()
    inner = (objects(f"{folder}/{each}".lstrip("/")) for each in folders)
    return {f"{folder}/{each}".lstrip("/") for each in names}.union(*inner)


def rows() -> dict[str, list[Any]]:
    """The keys of all rows but those of the audit, of users and of what is remembered of them."""
    skipped = {"audit", "sessions", "contenttypes", "auth", "admin", "accounts"}
    skipped |= {"account", "mfa", "socialaccount", "usersessions"}
    return {
        model._meta.label: sorted(model._base_manager.values_list("pk", flat=True))
        for model in apps.get_models()
        if model._meta.app_label not in skipped and model._meta.label != "robots.PackageShelf"
    }


@pytest.mark.django_db
def test_everything_of_it_goes_and_nothing_of_others(people: dict[str, User], space: Space) -> None:
    before_rows, before_objects = rows(), objects()
    build_house(people, space)
    firm = Space.objects.get(name="Late").enterprise
    assert firm is not None
    SpaceRetention.objects.create(space=Space.objects.get(name="Late"), days=3)
    robots_before = Robot.objects.count()
    for run in Execution.objects.filter(space__enterprise=firm):
        lifecycle.finish(run.pk, Ending(Status.CANCELLED))
        sealing.seal(run.pk)
    deleted_long_ago(firm)
    assert called("purge_deleted", *OLD, "--dry-run") == (
        f"Would remove enterprise {firm.pk}, Gone, with 1 runs.\n"
    )
    assert Enterprise.objects.filter(pk=firm.pk).exists()
    assert called("purge_deleted", *OLD) == f"Removed enterprise {firm.pk}, Gone, with 1 runs.\n"
    assert not Space.objects.filter(name="Late").exists()
    assert Robot.objects.count() == robots_before - 1
    # The other house has the same package: it stays until nobody needs it.
    acme = space.enterprise
    assert acme is not None
    assert default_storage.exists(RobotVersion.objects.get(robot__space=space).storage_key)
    for run in Execution.objects.all():
        lifecycle.finish(run.pk, Ending(Status.CANCELLED))
    deleted_long_ago(acme)
    called("purge_deleted", *OLD)
    after = rows()
    assert after.keys() == before_rows.keys()
    for label, keys in after.items():
        assert set(keys) <= set(before_rows[label]), label
    assert objects() <= before_objects
    assert set(after["enterprises.Enterprise"]) == set(before_rows["enterprises.Enterprise"]) - {
        acme.pk
    }
    verify()
    told = Entry.objects.filter(action="enterprise.purge", object_id=str(acme.pk))
    assert told.exists()
    assert Entry.objects.filter(action="robot.purge", detail__contains="requested_by").exists()


@pytest.mark.django_db
def test_only_what_was_deleted_long_enough_ago_goes(things: Things) -> None:
    robot = things.robot
    robots.hide_robot(robot)
    assert called("purge_deleted", *OLD) == ""
    assert Robot.objects.filter(pk=robot.pk).exists()
    said = called("purge_deleted", "--older-than", "0")
    assert said == f"Removed robot {robot.pk}, greeter, with 2 runs.\n"
    assert not Robot.objects.filter(pk=robot.pk).exists()
    assert Space.objects.alive().filter(pk=things.space.pk).exists()
    for wrong in ("-1", "x", "99999"):
        with pytest.raises(CommandError):
            called("purge_deleted", "--older-than", wrong)


@pytest.mark.django_db
def test_what_still_runs_is_left_whole_for_the_next_time(things: Things) -> None:
    Execution.objects.filter(pk__gt=things.execution.pk).update(status=Status.RUNNING)
    deleted_long_ago(things.space)
    with pytest.raises(CommandError, match="1 could not go yet"):
        called("purge_deleted", *OLD)
    space = Space.objects.get(pk=things.space.pk)
    assert (space.purge_begun, space.members.count()) == (None, 3)
    assert spaces.unhide_space(space).deleted is False
    assert ExecutionStream.objects.get(pk=things.execution.pk).dropped_seq == 0


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["enterprise", "space", "robot"])
def test_what_goes_does_not_come_back(things: Things, kind: str) -> None:
    """From the first step on: a part of it is missing, and will be."""
    for run in Execution.objects.unfinished():
        lifecycle.finish(run.pk, Ending(Status.CANCELLED))
    row = getattr(things, kind)
    deleted_long_ago(row)
    purge: dict[str, Any] = {
        "enterprise": purge_enterprise,
        "space": purge_space,
        "robot": purge_robot,
    }
    restore: dict[str, Any] = {
        "enterprise": enterprises.unhide_enterprise,
        "space": spaces.unhide_space,
        "robot": robots.restore_robot,
    }
    steps: Iterator[None] = purge[kind](row)
    next(steps)
    with pytest.raises(Refused) as refusal:
        restore[kind](row)
    assert refusal.value.code == "being_purged"
    steps.close()  # type: ignore[attr-defined]
    called("purge_deleted", "--older-than", "36500")
    assert not type(row)._default_manager.filter(pk=row.pk).exists()
    verify()


@pytest.mark.django_db
def test_what_was_restored_in_between_stays(things: Things) -> None:
    for run in Execution.objects.unfinished():
        lifecycle.finish(run.pk, Ending(Status.CANCELLED))
    deleted_long_ago(things.space)
    steps = purge_space(things.space)
    spaces.unhide_space(Space.objects.get(pk=things.space.pk))
    assert list(steps) == []
    assert Robot.objects.filter(pk=things.robot.pk).exists()
    assert Space.objects.alive().filter(pk=things.space.pk).exists()


@pytest.mark.django_db
def test_a_package_that_is_published_while_it_is_swept_is_stored_again(
    people: dict[str, User], space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The purge comes between the look for the same bytes and the new version that counts on them."""
    first = make_robot(space, name="first")
    robots.hide_robot(first)
    receive = robots._receive
    swept: list[str] = []

    def received(file: Any, name: str) -> Any:
        upload = receive(file, name)
        if not swept:
            swept.append(upload.key)
            list(purge_robot(first))
            assert not default_storage.exists(upload.key)
        return upload

    monkeypatch.setattr(robots, "_receive", received)
    second = make_robot(space, name="second")
    assert second.enabled_version is not None
    assert second.enabled_version.storage_key == swept[0]
    assert default_storage.exists(swept[0])


#: Each purge in a process of its own, which dies before a statement or on either side of a commit.
DEATHS = """
import os, signal, sys
import django
django.setup()
from django.core.management import call_command
from django.db import connection

def purge(fatal):
    passed = 0

    def point():
        nonlocal passed
        passed += 1
        if passed == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def executing(execute, *arguments):
        point()
        return execute(*arguments)

    commit = connection._commit
    def committing():
        point()
        commit()
        point()

    connection._commit = committing
    with connection.execute_wrapper(executing):
        call_command("purge_deleted", "--older-than", "30")

died = 0
for fatal in map(int, sys.argv[1:]):
    child = os.fork()
    if not child:
        purge(fatal)
        os._exit(0)
    if not os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        break
    died += 1
print(died)
"""


@pytest.mark.django_db(transaction=True)
def test_no_instant_is_one_at_which_a_death_leaves_something(
    people: dict[str, User], space: Space
) -> None:
    """One purge is killed ever later, each time taken up by the next; at the end all of it is gone."""
    before = objects()
    owner = people["alice"]
    firm = make_enterprise("Doomed", {owner: EnterpriseRole.OFFICER})
    for number in range(3):
        room = make_space(f"Room {number}", {owner: SpaceRole.OWNER}, firm)
        robot = make_robot(room, source=f"print({number})\n")
        run = make_execution(robot)
        sharing.share(run, by=Actor(owner))
        lifecycle.finish(run.pk, Ending(Status.CANCELLED))
        sealing.seal(run.pk)
    assert objects() > before
    deleted_long_ago(firm)
    # Steps of growing size: every statement of the first robots is met, and the purge still goes on.
    points = [*range(1, 60, 3), *range(60, 160, 7)]
    done = subprocess.run(
        [sys.executable, "-c", DEATHS, *map(str, points)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) > 15
    called("purge_deleted", *OLD)
    assert not Enterprise.objects.filter(pk=firm.pk).exists()
    assert not Space.objects.filter(name__startswith="Room").exists()
    assert not Robot.objects.exists()
    assert not Execution.objects.exists()
    assert objects() <= before
    verify()
