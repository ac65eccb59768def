"""The admin hides enterprises and spaces and shows them again; it looks at what the API does."""

from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db.models import ProtectedError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from audit.chain import verify
from enterprises.models import Enterprise
from executions.choices import Status
from joining import services as joining
from joining.models import InviteRole
from robots import services as robots
from robots.models import Robot
from sharing import services as sharing
from sharing.models import Share
from spaces.keys import make_key
from spaces.models import Space, SpaceRole, SpaceType
from tests.commands.calling import called
from tests.factories import make_execution, make_robot, make_space
from tests.pages.admin_pages import act, grid_form
from tests.tenancy.firm import Firm

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(firm: Firm) -> Client:
    client = Client()
    client.force_login(firm.people["root"])
    return client


def name_of(row: Any, name: str) -> str:
    return f"admin:{row._meta.app_label}_{row._meta.model_name}_{name}"


def page(row: Any, name: str) -> str:
    return reverse(name_of(row, name), args=[] if name == "changelist" else [row.pk])


@pytest.mark.parametrize("which", ["space", "enterprise"])
@pytest.mark.parametrize("all_selected", [False, True])
def test_deleting_hides_and_stops_what_waits_and_restoring_shows(
    firm: Firm, operator: Client, which: str, all_selected: bool
) -> None:
    run = make_execution(make_robot(firm.space))
    row = getattr(firm, which)
    if all_selected:
        form = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
        assert operator.post(page(row, "changelist"), form).status_code == 302
    else:
        assert operator.get(page(row, "delete")).status_code == 200
        assert operator.post(page(row, "delete"), {"post": "yes"}).status_code == 302
    row.refresh_from_db()
    run.refresh_from_db()
    assert (row.deleted, run.status) == (True, Status.CANCELLED)
    assert act(operator, "restore", row, page=name_of(row, "changelist"))[-1] == "1 restored."
    assert not type(row).objects.get(pk=row.pk).deleted
    assert firm.said("stan", "get", firm.in_space()) == "200"


def test_what_has_lost_its_name_stays_hidden(firm: Firm, operator: Client) -> None:
    Space.objects.update(deleted=True)
    Enterprise.objects.update(deleted=True)
    make_space("Orders", {firm.people["olga"]: SpaceRole.OWNER}, firm.enterprise)
    Enterprise.objects.create(name="Firm", creator=firm.people["zoe"])
    said = act(operator, "restore", firm.enterprise, page=name_of(firm.enterprise, "changelist"))
    assert said == ["There is an enterprise named Firm already."]
    Enterprise.objects.filter(name="Firm").exclude(pk=firm.enterprise.pk).delete()
    act(operator, "restore", firm.enterprise, page=name_of(firm.enterprise, "changelist"))
    said = act(operator, "restore", firm.space, page=name_of(firm.space, "changelist"))
    assert said == ["There is a space named Orders already."]


def test_operators_see_what_waits_and_end_what_is_shared(firm: Firm, operator: Client) -> None:
    invite = joining.invite_user(
        firm.space, firm.uid("zoe"), InviteRole.MEMBER, by=firm.actor("stan")
    )
    application = joining.apply_to_join(firm.space, by=firm.actor("gary"))
    share = sharing.share(make_robot(firm.space), by=firm.actor("stan"))
    for row, text in ((invite, "zoe"), (application, "gary"), (share, "stan")):
        assert text in operator.get(page(row, "changelist")).content.decode()
    assert share.share_key not in operator.get(page(share, "change")).content.decode()
    assert act(operator, "switch_off", share, page=name_of(share, "changelist")) == [
        "1 switched off."
    ]
    assert not Share.objects.valid().exists()


# What operators do with members --------------------------------------------------------------------


MEMBERS, SPACE_MEMBERS = "enterprises_enterpriseuser", "spaces_spaceuser"


def membership(firm: Firm, who: str, space: bool = False) -> Any:
    place: Any = firm.space if space else firm.enterprise
    return place.members.get(user=firm.people[who])


def told(answer: Any) -> list[str]:
    return [str(each) for each in answer.context["messages"]]


def does(client: Client, action: str, row: Any, **more: Any) -> list[str]:
    return act(client, action, row, page=name_of(row, "changelist"), **more)


def test_operators_change_members_by_the_rules(firm: Firm, operator: Client) -> None:
    assert does(operator, "make_second", membership(firm, "stan")) == ["1 changed."]
    assert firm.roles()["stan"] == 2
    refused = does(operator, "make_third", membership(firm, "olga"))
    assert refused == [
        "olga @ Firm: An enterprise has always one officer. Hand the office over first.",
        "0 changed.",
    ]
    assert does(operator, "hand_over", membership(firm, "gary")) == ["1 changed."]
    assert firm.roles() == {"olga": 2, "gary": 1, "stan": 2, "sue": 3}
    row = membership(firm, "stan")
    form = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    told(operator.post(page(row, "changelist"), form, follow=True))
    # As by the API: they leave the spaces with it, and what they owned is the officer's.
    assert firm.space_roles() == {"gary": 1, "sue": 2}
    row = membership(firm, "gary")
    refusal = ["An enterprise has always one officer. Hand the office over first."]
    assert told(operator.post(page(row, "delete"), {"post": "yes"}, follow=True)) == refusal
    both = {**form, "_selected_action": [membership(firm, "sue").pk, row.pk]}
    assert told(operator.post(page(row, "changelist"), both, follow=True)) == refusal
    assert firm.roles() == {"olga": 2, "gary": 1, "sue": 3}


def test_operators_add_members_within_the_limits(
    firm: Firm, operator: Client, settings: Any
) -> None:
    path = reverse(f"admin:{MEMBERS}_add")
    form = {"enterprise": firm.enterprise.pk, "user": firm.uid("zoe"), "role": 3, "nickname": "Z"}
    settings.RPA_TEAM_USERS = 4
    answer = operator.post(path, form, follow=True)
    assert "there is no seat left" in str(next(iter(answer.context["messages"])))
    assert "zoe" not in firm.roles()
    settings.RPA_TEAM_USERS = 5
    assert operator.post(path, form).status_code == 302
    assert membership(firm, "zoe").nickname == "Z"
    assert operator.post(path, form | {"role": 1}).status_code == 200
    path = reverse(f"admin:{SPACE_MEMBERS}_add")
    form = {"space": firm.space.pk, "user": firm.uid("zoe"), "role": 2, "nickname": ""}
    assert operator.post(path, form).status_code == 302
    assert firm.space_roles()["zoe"] == 2
    change = reverse(
        f"admin:{SPACE_MEMBERS}_change", args=[membership(firm, "stan", space=True).pk]
    )
    assert operator.post(change, {"role": 3, "nickname": "Boss"}).status_code == 302
    owner = membership(firm, "stan", space=True)
    assert (owner.role, owner.nickname) == (SpaceRole.OWNER, "Boss")


def test_nobody_is_deleted_who_is_the_first_of_something(firm: Firm, operator: Client) -> None:
    zoe = firm.people["zoe"]
    make_space("Own", {zoe: SpaceRole.OWNER})
    Space.objects.filter(name="Own").update(creator=firm.people["sue"])
    path = reverse("admin:accounts_user_delete", args=[zoe.pk])
    assert operator.post(path, {"post": "yes"}).status_code in (200, 403)
    assert User.objects.filter(pk=zoe.pk).exists()
    with pytest.raises(ProtectedError):
        zoe.delete()
    Space.objects.filter(name="Own").delete()
    assert operator.post(path, {"post": "yes"}).status_code == 302
    assert not User.objects.filter(pk=zoe.pk).exists()


def test_what_goes_with_people_is_told_by_kinds_in_few_queries(
    firm: Firm, operator: Client, django_assert_max_num_queries: Any
) -> None:
    """However much there is of each, and however many are to go."""
    zoe, sue, stan = (firm.people[who] for who in ("zoe", "sue", "stan"))
    joining.invite_user(firm.space, zoe.uid, InviteRole.MEMBER, by=firm.actor("stan"))
    make_key(firm.space, by=firm.actor("sue"), name="of sue")
    make_execution(make_robot(firm.space), stan)
    member = {"enterprise members", "space members"}
    asked: dict[User, tuple[set[str], set[str], set[str]]] = {
        zoe: ({"invites"}, set(), {"invite"}),
        sue: (
            member | {"API keys", "API keys of spaces"},
            set(),
            {"API key", "API key of a space"},
        ),
        stan: (
            member | {"invites"},
            {"executions", "robot versions", "robots", "space members", "spaces"},
            {"invite"},
        ),
    }
    for user, (going, holding, lacking) in asked.items():
        with django_assert_max_num_queries(8):
            answer = operator.get(reverse("admin:accounts_user_delete", args=[user.pk]))
        assert answer.context["deleted_objects"] == [user.username, sorted(going)]
        said = [f"{user.username}: {each}" for each in sorted(holding)]
        assert answer.context["protected"] == said
        assert set(answer.context["perms_lacking"]) == lacking
    form = {"action": "delete_selected", "_selected_action": [zoe.pk, sue.pk, stan.pk]}
    with django_assert_max_num_queries(10):
        answer = operator.post(reverse("admin:accounts_user_changelist"), form)
    assert len(answer.context["protected"]) == 5
    gary = firm.people["gary"]
    operator.post(reverse("admin:accounts_user_delete", args=[gary.pk]), {"post": "yes"})
    assert not User.objects.filter(pk=gary.pk).exists()


def test_operators_say_what_an_enterprise_has_been_promised(firm: Firm, operator: Client) -> None:
    ends = timezone.now() + timedelta(days=10)
    Enterprise.objects.update(expire_time=ends)
    assert does(operator, "renew", firm.enterprise) == ["1 changed."]
    firm.enterprise.refresh_from_db()
    assert firm.enterprise.expire_time == ends + timedelta(days=365)
    assert does(operator, "expire", firm.enterprise) == ["1 changed."]
    assert firm.said("stan", "post", firm.in_space("leave/")) == "403 enterprise_expired"
    form = {"name": "Firm", "service_type": 2, "logo_url": "", "avatar_url": "", "org_id": 9}
    told(operator.post(page(firm.enterprise, "change"), form, follow=True))
    firm.enterprise.refresh_from_db()
    assert (firm.enterprise.expire_time, firm.enterprise.org_id) == (None, 9)
    assert Space.objects.get(pk=firm.space.pk).type == SpaceType.ENTERPRISE
    own = make_space("Own", {firm.people["zoe"]: SpaceRole.OWNER})
    assert does(operator, "make_pro", own) == ["1 changed."]
    assert Space.objects.get(pk=own.pk).type == SpaceType.PRO
    assert does(operator, "make_free", firm.space)[0].startswith("Orders: A personal space is")


def test_operators_decide_what_waits(firm: Firm, operator: Client) -> None:
    invite = joining.invite_user(
        firm.space, firm.uid("zoe"), InviteRole.MEMBER, by=firm.actor("stan")
    )
    application = joining.apply_to_join(firm.space, by=firm.actor("gary"))
    assert does(operator, "withdraw", invite) == ["1 changed."]
    assert does(operator, "approve", application) == ["1 changed."]
    assert firm.space_roles()["gary"] == SpaceRole.MEMBER
    assert does(operator, "reject", application)[0].startswith("gary: This application has been")


def test_people_are_shut_out_together_but_not_oneself(firm: Firm, operator: Client) -> None:
    users = [firm.people["zoe"], firm.people["root"]]
    form = {"action": "deactivate", "_selected_action": [each.pk for each in users]}
    answer = operator.post(reverse("admin:accounts_user_changelist"), form, follow=True)
    assert [str(each) for each in answer.context["messages"]] == [
        "root: This is you: somebody else has to do it.",
        "1 changed.",
    ]
    assert User.objects.get(username="root").is_active
    assert does(operator, "activate", firm.people["zoe"]) == ["1 changed."]


@pytest.mark.parametrize("which", ["space", "enterprise", "robot"])
def test_a_purge_is_confirmed_and_is_for_what_is_deleted(
    firm: Firm, operator: Client, which: str
) -> None:
    robot = make_robot(firm.space)
    row = robot if which == "robot" else getattr(firm, which)
    changelist = page(row, "changelist")
    form = {"action": "purge", "_selected_action": [row.pk]}
    said = does(operator, "purge", row)
    assert said == ["Only what is deleted can be purged, and at most 100 at once."]
    operator.post(page(row, "delete"), {"post": "yes"})
    assert operator.post(changelist, form).templates[0].name == "admin/purge_confirmation.html"
    assert type(row)._default_manager.filter(pk=row.pk).exists()
    answer = operator.post(changelist, form | {"post": "yes"}, follow=True)
    assert [str(each) for each in answer.context["messages"]] == [f"{row} is gone."]
    assert not type(row)._default_manager.filter(pk=row.pk).exists()
    verify()


def test_a_long_purge_is_gone_on_with_by_the_command(
    firm: Firm, operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accounts.admin_parts.Hiding.purge_seconds", -1.0)
    make_robot(firm.space)
    operator.post(page(firm.space, "delete"), {"post": "yes"}, follow=True)
    form = {"action": "purge", "_selected_action": [firm.space.pk], "post": "yes"}
    answer = operator.post(page(firm.space, "changelist"), form, follow=True)
    (said,) = answer.context["messages"]
    assert str(said) == "Orders goes: the rest of it with the next purge_deleted."
    assert does(operator, "restore", firm.space) == ["Orders is being removed for ever."]
    called("purge_deleted", "--older-than", "30")
    assert not Space.objects.exists()


def test_a_table_of_permissions_is_saved_at_once_after_a_look(firm: Firm, operator: Client) -> None:
    for kind, key, column, loser in (
        ("enterprises_enterprisepermission", "enterprise.rename", "governor", "gary"),
        ("spaces_spacepermission", "robot.delete", "admin", "sue"),
    ):
        grid = reverse(f"admin:{kind}_grid")
        form = grid_form(operator, grid)
        del form[f"{key}:{column}"]
        look = operator.post(grid, form | {"_preview": "1"}).context
        ((row, change),) = look["previews"]
        assert (row.permission_key, change.gaining) == (key, ())
        assert [each.user.username for each in change.losing] == [loser]
        model = apps.get_model(kind.replace("_", "."))
        assert getattr(model.objects.get(permission_key=key), column)
        assert operator.post(grid, form | {"_save": "1"}).status_code == 302
        assert not getattr(model.objects.get(permission_key=key), column)
        stale = operator.post(grid, form | {"_save": "1"})
        assert stale.status_code == 200
        assert "meanwhile" in stale.context["refusal"]
    assert firm.said("gary", "patch", firm.at(), {"name": "New"}) == "403 forbidden"


def test_restoring_brings_back_exactly_what_went(firm: Firm, operator: Client) -> None:
    """What had been deleted by itself before stays deleted."""
    make_robot(firm.space, name="kept")
    gone = make_robot(firm.space, name="gone")
    robots.hide_robot(gone)
    other = make_space("Other", {firm.people["olga"]: SpaceRole.OWNER}, firm.enterprise)
    assert firm.said("olga", "delete", firm.in_space(space=other)) == "204"
    share = sharing.share(Robot.objects.get(name="kept"), by=firm.actor("stan"))
    operator.post(page(firm.enterprise, "delete"), {"post": "yes"})
    assert Client().get(f"/api/v1/shares/{share.share_key}/").status_code == 404
    does(operator, "restore", firm.enterprise)
    assert list(Space.objects.alive().values_list("name", flat=True)) == ["Orders"]
    assert list(Robot.objects.alive().values_list("name", flat=True)) == ["kept"]
    assert Client().get(f"/api/v1/shares/{share.share_key}/").status_code == 200
    assert firm.roles() == {"olga": 1, "gary": 2, "stan": 3, "sue": 3}
