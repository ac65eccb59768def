"""The admin: lists that stay cheap, deeds that say why they were refused, and no accidents."""

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from enterprises.models import Enterprise, EnterpriseRole
from executions import lifecycle
from executions.choices import Origin, Status
from executions.events import Source
from executions.lifecycle import Ending
from executions.models import Artifact, Execution, Pool, Runner
from robots import services as robot_services
from robots.models import Robot, RobotVersion
from spaces.models import Space, SpacePermission, SpaceRole
from tests.factories import (
    make_execution,
    make_robot,
    make_space,
    make_user,
    owner_of,
)
from tests.pages.admin_pages import RUNS, act, found, inline

pytestmark = pytest.mark.django_db


def ended(robot: Robot) -> Execution:
    execution = make_execution(robot, params={"a": 1})
    lifecycle.start(execution, Source("", 0, 0))
    lifecycle.finish(execution.pk, Ending(Status.COMPLETED))
    return execution


def test_cancelling_reports_each_refusal(operator: Client, robot: Robot) -> None:
    waiting, done = make_execution(robot), ended(robot)
    messages = act(operator, "cancel", waiting, done)
    assert f"{str(done.uid)[:8]}: The execution has already ended." in messages
    assert "Cancelled or being cancelled: 1." in messages
    waiting.refresh_from_db()
    assert waiting.status == Status.CANCELLED


def test_running_again_reports_each_refusal(operator: Client, robot: Robot, space: Space) -> None:
    done, resting = ended(robot), ended(make_robot(space, name="resting"))
    robot_services.enable_version(resting.robot, None, by=owner_of(space))
    messages = act(operator, "rerun", done, resting)
    assert any(
        each.startswith(str(resting.uid)[:8]) and "no enabled version" in each for each in messages
    )
    assert "Requested again: 1." in messages
    again = Execution.objects.latest("pk")
    assert (again.rerun_of, again.origin, again.params) == (done, Origin.ADMIN, {"a": 1})


def many_runs(robot: Robot, rows: int) -> None:
    first = make_execution(robot)
    fields = {
        "robot": robot,
        "version": first.version,
        "space": robot.space,
        "requested_by": first.requested_by,
        "origin": Origin.API,
        "timeout_seconds": 1,
    }
    Execution.objects.bulk_create(Execution(**fields) for _ in range(rows - 1))


@pytest.mark.parametrize("query", ["", "?q=greet", "?status__exact=PENDING", "?p=2", "?o=-3"])
def test_the_list_of_runs_never_counts_the_table(
    operator: Client, robot: Robot, query: str
) -> None:
    counts = []
    for rows in (60, 200):
        many_runs(robot, rows)
        with CaptureQueriesContext(connection) as queries:
            assert operator.get(f"{reverse(RUNS)}{query}").status_code == 200
        sql = [each["sql"].replace("`", '"') for each in queries.captured_queries]
        assert not [each for each in sql if "COUNT(" in each.upper()]
        reads = [each for each in sql if "executions_execution" in each]
        assert reads
        by_key = '"executions_execution"."id" IN ('
        assert all(" LIMIT " in each or " MAX(id) " in each or by_key in each for each in reads)
        assert not [each for each in reads if '"result"' in each or '"params"' in each]
        assert not [each for each in sql if " OFFSET " in each]
        counts.append(len(sql))
    assert counts[0] == counts[1]
    assert counts[0] <= 12


def test_rows_are_found_by_id_with_dashes_or_without(
    operator: Client, robot: Robot, space: Space
) -> None:
    wanted, other = make_execution(robot), make_execution(make_robot(space, name="other"))
    left = [
        Artifact.objects.create(
            execution=each, name="report.txt", size=1, content_type="text/plain"
        )
        for each in (wanted, other)
    ]
    for uid, page, row in (
        (wanted.uid, "executions_execution", wanted),
        (wanted.uid, "executions_artifact", left[0]),
        (robot.uid, "robots_robot", robot),
    ):
        for text in (str(uid), uid.hex, f" {str(uid).upper()} "):
            assert found(operator, page, text) == [row]
        assert found(operator, page, "00000000-0000-4000-8000-000000000000") == []
        assert found(operator, page, "nonsense") == []
    assert found(operator, "executions_execution", "GREET") == [wanted]
    assert found(operator, "executions_artifact", "report") == left[::-1]


def test_runs_are_only_watched(operator: Client, robot: Robot) -> None:
    execution = make_execution(robot)
    path = reverse("admin:executions_execution_change", args=[execution.pk])
    page = operator.get(path)
    assert page.status_code == 200
    assert reverse("execution", args=[execution.uid]) in page.content.decode()
    assert operator.post(path, {"status": "COMPLETED"}).status_code == 403
    delete = reverse("admin:executions_execution_delete", args=[execution.pk])
    assert operator.post(delete, {"post": "yes"}).status_code == 403
    execution.refresh_from_db()
    assert execution.status == Status.PENDING


def test_deleting_a_robot_hides_it_and_restoring_brings_it_back(
    operator: Client, robot: Robot
) -> None:
    path = reverse("admin:robots_robot_delete", args=[robot.pk])
    assert operator.post(path, {"post": "yes"}).status_code == 302
    robot.refresh_from_db()
    assert robot.deleted
    assert RobotVersion.objects.filter(robot=robot).exists()
    act(operator, "restore", robot, page="admin:robots_robot_changelist")
    robot.refresh_from_db()
    assert not robot.deleted


def test_deleting_selected_robots_hides_them(operator: Client, robot: Robot) -> None:
    make_execution(robot)
    page = reverse("admin:robots_robot_changelist")
    form = {"action": "delete_selected", "_selected_action": [robot.pk], "post": "yes"}
    assert operator.post(page, form).status_code in (200, 302)
    robot.refresh_from_db()
    assert robot.deleted


def test_restoring_onto_a_taken_name_is_refused(
    operator: Client, robot: Robot, space: Space
) -> None:
    Robot.objects.filter(pk=robot.pk).update(deleted=True)
    make_robot(space, name=robot.name)
    messages = act(operator, "restore", robot, page="admin:robots_robot_changelist")
    assert messages
    robot.refresh_from_db()
    assert robot.deleted


def refused_in_place(response: Any) -> None:
    """The form is shown again with what is wrong."""
    assert response.status_code == 200
    errors = response.context["adminform"].form.errors
    assert set(errors) <= {"name", "__all__"}, errors
    assert errors


def test_a_robots_name_cannot_be_taken_twice(operator: Client, robot: Robot, space: Space) -> None:
    other = make_robot(space, name="other")
    form = {"name": robot.name, "space": space.pk, "description": ""} | inline("versions")
    refused_in_place(operator.post(reverse("admin:robots_robot_change", args=[other.pk]), form))
    other.refresh_from_db()
    assert other.name == "other"


def test_a_robots_name_is_as_the_services_take_it(operator: Client, robot: Robot) -> None:
    path = reverse("admin:robots_robot_change", args=[robot.pk])
    for name in ("", "   ", "a\x07b", "n" * 101):
        refused_in_place(operator.post(path, {"name": name} | inline("versions")))
    assert operator.post(path, {"name": " tidy   up "} | inline("versions")).status_code == 302
    robot.refresh_from_db()
    assert robot.name == "tidy up"


def test_a_deleted_robots_name_is_nobodys_concern(
    operator: Client, robot: Robot, space: Space
) -> None:
    """And its form neither deletes nor restores it: what runs would go on, what is purged would come back."""
    Robot.objects.filter(pk=robot.pk).update(deleted=True)
    make_robot(space, name=robot.name)
    path = reverse("admin:robots_robot_change", args=[robot.pk])
    form = {"name": robot.name, "deleted": ""} | inline("versions")
    assert operator.post(path, form).status_code == 302
    assert operator.post(path, {**form, "name": "free"}).status_code == 302
    robot.refresh_from_db()
    assert (robot.name, robot.deleted) == ("free", True)


def test_a_robot_never_moves_to_another_space(
    operator: Client, robot: Robot, space: Space, people: dict[str, User]
) -> None:
    other = make_space("Second", {people["alice"]: SpaceRole.OWNER})
    form = {"name": robot.name, "space": other.pk} | inline("versions")
    assert operator.post(
        reverse("admin:robots_robot_change", args=[robot.pk]), form
    ).status_code in (200, 302)
    robot.refresh_from_db()
    assert robot.space == space


def test_an_enterprises_name_cannot_be_taken_twice(operator: Client, space: Space) -> None:
    creator = space.creator
    form = {"name": "Acme", "creator": creator.uid, "service_type": 1} | inline("members")
    refused_in_place(operator.post(reverse("admin:enterprises_enterprise_add"), form))
    assert Enterprise.objects.filter(name="Acme").count() == 1


def test_a_spaces_name_cannot_be_taken_twice(operator: Client, space: Space) -> None:
    form = {
        "name": space.name,
        "creator": space.creator.uid,
        "enterprise": space.enterprise_id,
        "type": 3,
    } | inline("members")
    refused_in_place(operator.post(reverse("admin:spaces_space_add"), form))
    assert Space.objects.filter(name=space.name).count() == 1


def test_a_personal_spaces_name_cannot_be_taken_twice(
    operator: Client, people: dict[str, User]
) -> None:
    for who, answers in (("alice", (302, 200)), ("bob", (302, 200))):
        form = {"name": "Mine", "creator": people[who].uid, "type": 1} | inline("members")
        for answer in answers:
            response = operator.post(reverse("admin:spaces_space_add"), form)
            assert response.status_code == answer
        refused_in_place(response)
    assert Space.objects.filter(name="Mine").count() == 2


def test_deleting_what_others_need_is_refused_not_broken(
    operator: Client, robot: Robot, people: dict[str, User]
) -> None:
    make_execution(robot)
    alice = people["alice"]
    path = reverse("admin:accounts_user_delete", args=[alice.pk])
    assert operator.post(path, {"post": "yes"}).status_code in (200, 403)
    alice.refresh_from_db()


def test_an_operator_edits_who_may_do_what(operator: Client) -> None:
    row = SpacePermission.objects.get(permission_key="robot.edit")
    path = reverse("admin:spaces_spacepermission_change", args=[row.pk])
    form = {"description": row.description, "owner": "on", "admin": "on", "permission_key": "x"}
    assert operator.post(path, form).status_code == 302
    row.refresh_from_db()
    assert (row.owner, row.admin, row.member) == (True, True, False)
    assert row.permission_key == "robot.edit"


def test_a_user_is_made_with_a_uid_of_their_own(operator: Client) -> None:
    form = {
        "username": "zoe",
        "password1": "correct horse battery",
        "password2": "correct horse battery",
        "usable_password": "true",
    }
    assert operator.post(reverse("admin:accounts_user_add"), form).status_code == 302
    assert len(User.objects.get(username="zoe").uid) == 32


def test_the_lists_of_robots_cost_the_same_for_many(operator: Client, space: Space) -> None:
    counts = []
    for rows in (2, 20):
        for number in range(rows):
            make_robot(space, name=f"{rows} {number}", source=f"print({number})\n")
        with CaptureQueriesContext(connection) as queries:
            assert operator.get(reverse("admin:robots_robot_changelist")).status_code == 200
            assert operator.get(reverse("admin:robots_robotversion_changelist")).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_an_enterprise_is_made_with_its_officer(operator: Client, people: dict[str, User]) -> None:
    form = {"name": "Fresh", "creator": people["alice"].uid, "service_type": 2}
    assert operator.post(reverse("admin:enterprises_enterprise_add"), form).status_code == 302
    member = Enterprise.objects.get(name="Fresh").members.get()
    assert (member.user, member.role) == (people["alice"], EnterpriseRole.OFFICER)


def test_the_menu_leads_everywhere_and_only_where_one_may_look(
    operator: Client, people: dict[str, User]
) -> None:
    def menu(client: Client) -> list[str]:
        context = client.get(reverse("admin:index")).context
        return [
            str(each["link"]) for group in context["sidebar_navigation"] for each in group["items"]
        ]

    everything = menu(operator)
    assert {operator.get(link).status_code for link in everything} == {200}
    listed = {
        f"admin:{model._meta.label_lower.replace('.', '_')}_changelist"
        for model in admin.site._registry
    }
    assert {reverse(name) for name in listed} <= set(everything)
    stan = make_user("stan", is_staff=True)
    stan.user_permissions.add(Permission.objects.get(codename="view_execution"))
    client = Client()
    client.force_login(stan)
    assert menu(client) == ["/", reverse(RUNS)]


def test_a_pool_that_something_names_keeps_its_name(operator: Client, space: Space) -> None:
    """Robots name it in their packages, and runners in their settings: nobody tells them of another name."""
    asked = '# /// script\n# [tool.rpa]\n# pool = "eu"\n# ///\n'
    unused, eu = Pool.objects.create(name="spare"), Pool.objects.create(name="eu")
    make_robot(space, "picky", asked)
    gpu, default = Pool.objects.create(name="gpu"), Pool.objects.get_or_create(name="default")[0]
    Runner.objects.create(host="here", pid=1, slots=1, pool=gpu)
    for pool in (unused, eu, gpu, default):
        page = reverse("admin:executions_pool_change", args=[pool.pk])
        form = {"name": f"{pool.name}-2026", "description": "new"}
        assert operator.post(page, form).status_code == 302
    changed = Pool.objects.filter(description="new").values_list("name", flat=True)
    assert sorted(changed) == ["default", "eu", "gpu", "spare-2026"]
