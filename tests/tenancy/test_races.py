"""Deeds that race: whatever comes first, the rules hold afterwards. On either database."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import connection

from accounts.actors import Actor
from accounts.refusals import Refused
from audit.chain import verify
from enterprises import services as enterprises
from enterprises.models import Enterprise, EnterpriseRole, EnterpriseUser
from enterprises.purging import purge_enterprise
from executions import services as executions
from executions.choices import Origin, Status
from executions.models import Execution
from joining import services as joining
from joining.models import Application, Invite, InviteRole, InviteStatus
from joining.seats import seats_of
from robots import services as robots
from robots.models import Robot
from spaces import services as spaces
from spaces.models import Space, SpaceRole, SpaceUser
from spaces.purging import purge_space
from tests.executions.threads import together
from tests.factories import make_robot, make_space, make_user
from tests.tenancy.firm import Firm

pytestmark = pytest.mark.django_db(transaction=True)


def outcomes(*deeds: Callable[[], Any]) -> list[str]:
    """What came of deeds done at the same moment: `done`, or the code of the refusal. Anything else fails."""
    found = []
    for answer in together(*deeds):
        if isinstance(answer, BaseException) and not isinstance(answer, Refused):
            raise answer
        found.append(answer.code if isinstance(answer, Refused) else "done")
    return sorted(found)


def test_racing_spaces_never_pass_the_limit(firm: Firm, settings: Any) -> None:
    settings.RPA_TEAM_SPACES = 3
    make = partial(spaces.create_space, by=firm.actor("olga"), enterprise=firm.enterprise)
    assert outcomes(*[partial(make, name=f"S{number}") for number in range(6)]) == [
        "done",
        "done",
        *["too_many_spaces"] * 4,
    ]
    own = partial(spaces.create_space, by=firm.actor("zoe"))
    assert outcomes(*[partial(own, name=f"P{number}") for number in range(4)]) == [
        "done",
        *["too_many_spaces"] * 3,
    ]


def test_an_enterprise_has_one_officer_whoever_hands_over(firm: Firm) -> None:
    by = firm.actor("olga")
    hand = partial(enterprises.transfer_enterprise, firm.enterprise, by=by)
    deeds = [partial(hand, firm.uid(who)) for who in ("gary", "stan", "sue")]
    # Who is first wins: after that, olga is no officer any more.
    assert outcomes(*deeds) == ["done", "forbidden", "forbidden"]
    assert sorted(firm.roles().values()) == [1, 2, 2, 3] or sorted(firm.roles().values()) == [
        1,
        2,
        3,
        3,
    ]
    assert list(firm.roles().values()).count(EnterpriseRole.OFFICER) == 1


def test_handing_over_races_with_removing_the_heir(firm: Firm) -> None:
    for who in ("stan", "sue"):
        outcomes(
            partial(
                enterprises.transfer_enterprise,
                firm.enterprise,
                firm.uid(who),
                by=firm.actor("root"),
            ),
            partial(
                enterprises.remove_member, firm.enterprise, firm.uid(who), by=firm.actor("gary")
            ),
        )
        roles = list(firm.roles().values())
        assert roles.count(EnterpriseRole.OFFICER) == 1
        owners = SpaceUser.objects.filter(role=SpaceRole.OWNER).values_list(
            "space", "user__username"
        )
        for _space, owner in owners:
            assert owner in firm.roles()
        assert len(owners) == Space.objects.count()
    assert EnterpriseUser.objects.filter(role=EnterpriseRole.OFFICER).count() == 1


def test_a_space_has_one_owner_whoever_leaves(firm: Firm) -> None:
    outcomes(
        partial(spaces.transfer_space, firm.space, firm.uid("sue"), by=firm.actor("stan")),
        partial(spaces.leave_space, firm.space, by=firm.actor("sue")),
        partial(spaces.leave_space, firm.space, by=firm.actor("stan")),
    )
    assert list(firm.space_roles().values()).count(SpaceRole.OWNER) == 1


@pytest.mark.parametrize("hide", ["space", "enterprise"])
def test_a_run_requested_while_its_space_is_deleted_never_waits(
    firm: Firm, hide: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deletion comes between the permission and the row: the request finds nothing any more."""
    robot = make_robot(firm.space)

    def delete() -> None:
        if hide == "space":
            spaces.delete_space(firm.space, by=firm.actor("olga"))
        else:
            enterprises.delete_enterprise(firm.enterprise, by=firm.actor("olga"))

    def delete_meanwhile(*given: Any) -> str:
        assert outcomes(delete) == ["done"]
        return ""

    monkeypatch.setattr(executions, "_checked_task", delete_meanwhile)
    with pytest.raises(Refused) as refusal:
        executions.request_execution(robot=robot, by=firm.actor("stan"), origin=Origin.API)
    assert refusal.value.code == "not_found"
    assert not Execution.objects.exists()


@pytest.mark.parametrize("hide", ["space", "enterprise"])
def test_a_deletion_waits_for_a_request_in_hand_and_cancels_it(
    firm: Firm, hide: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row is in, not committed: the deletion, begun now, ends after it and finds it."""
    robot = make_robot(firm.space)
    answers: list[str] = []

    def delete() -> None:
        if hide == "space":
            spaces.delete_space(firm.space, by=firm.actor("olga"))
        else:
            enterprises.delete_enterprise(firm.enterprise, by=firm.actor("olga"))

    deletion = threading.Thread(target=lambda: answers.extend(outcomes(delete)))
    original = executions._require_still_there

    def begin_deletion(*given: Any) -> None:
        original(*given)
        deletion.start()

    monkeypatch.setattr(executions, "_require_still_there", begin_deletion)
    executions.request_execution(robot=robot, by=firm.actor("stan"), origin=Origin.API)
    deletion.join(60)
    assert answers == ["done"]
    assert Execution.objects.get().status == Status.CANCELLED
    assert connection.in_atomic_block is False


def test_runs_and_deletions_at_the_same_moment_leave_nothing_waiting(firm: Firm) -> None:
    for number in range(3):
        space = make_space(f"S{number}", {firm.people["stan"]: SpaceRole.OWNER}, firm.enterprise)
        robot = make_robot(space)
        request = partial(
            executions.request_execution, robot=robot, by=firm.actor("stan"), origin=Origin.API
        )
        outcomes(request, partial(spaces.delete_space, space, by=firm.actor("gary")), request)
    assert not Execution.objects.unfinished().exists()


# Names and deletions against memberships ---------------------------------------------------------


def _rename(firm: Firm) -> Any:
    return spaces.change_space(firm.space, name="Invoices", by=firm.actor("gary"))


def _hide(firm: Firm) -> Any:
    return spaces.hide_space(firm.space)


def _invite(firm: Firm) -> Any:
    who, role = firm.uid("zoe"), InviteRole.MEMBER
    return joining.invite_user(firm.space, who, role, by=firm.actor("stan"))


def _add(firm: Firm) -> Any:
    who, role = firm.uid("gary"), SpaceRole.MEMBER
    return joining.add_member(firm.space, who, role, by=firm.actor("stan"))


def _accept(firm: Firm) -> Any:
    invite = Invite.objects.get(invitee=firm.people["sid"])
    return joining.accept_invite(invite, by=firm.actor("sid"))


def _remove(firm: Firm) -> Any:
    enterprises.remove_member(firm.enterprise, firm.uid("stan"), by=firm.actor("olga"))


@pytest.mark.parametrize("change", [_rename, _hide])
@pytest.mark.parametrize("join", [_invite, _add, _accept, _remove])
def test_a_change_of_the_space_waits_for_a_membership_in_hand(
    firm: Firm,
    change: Callable[[Firm], Any],
    join: Callable[[Firm], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The enterprise is locked, the space not yet: the change, begun now, may not take the space meanwhile."""
    firm.people["sid"] = make_user("sid")
    joining.invite_user(firm.space, firm.uid("sid"), InviteRole.MEMBER, by=firm.actor("stan"))
    answers: list[str] = []
    original = enterprises.locked

    def begin_change(enterprise: Enterprise) -> Enterprise:
        monkeypatch.setattr(enterprises, "locked", original)
        found = original(enterprise)
        changing.start()
        changing.join(0.5)  # it waits for this very transaction
        return found

    changing = threading.Thread(target=lambda: answers.extend(outcomes(partial(change, firm))))
    monkeypatch.setattr(enterprises, "locked", begin_change)
    said = outcomes(partial(join, firm))
    changing.join(60)
    # Where writers take turns, the change may have been the first.
    assert (said, answers) in ((["done"], ["done"]), (["not_found"], ["done"]))
    firm.space.refresh_from_db()
    assert firm.space.deleted if change is _hide else firm.space.name == "Invoices"


def test_of_two_changes_at_once_neither_is_lost(firm: Firm) -> None:
    """Both have read the space before either is done."""
    robot = make_robot(firm.space, name="Old")
    others = [Space.objects.get(pk=firm.space.pk), Robot.objects.get(pk=robot.pk)]
    spaces.change_space(firm.space, name="New", by=firm.actor("gary"))
    spaces.change_space(others[0], description="About it", by=firm.actor("gary"))
    robots.describe_robot(robot, name="New", description=None, by=firm.actor("stan"))
    robots.describe_robot(others[1], name=None, description="About it", by=firm.actor("stan"))
    for row in (firm.space, robot):
        row.refresh_from_db()
        assert (row.name, row.description) == ("New", "About it")


# Becoming a member -------------------------------------------------------------------------------


def test_racing_invites_never_pass_the_limit(firm: Firm, settings: Any) -> None:
    settings.RPA_TEAM_USERS = 4
    guests = [make_user(f"guest{number}") for number in range(5)]
    for place, by, free in ((firm.space, "stan", 2), (firm.enterprise, "olga", 0)):
        invite = partial(joining.invite_user, place, role=InviteRole.MEMBER, by=firm.actor(by))
        deeds = [partial(invite, guest.uid) for guest in guests]
        assert outcomes(*deeds) == ["done"] * free + ["too_many_users"] * (5 - free)
        assert seats_of(place).free == 0


def test_one_user_invited_twice_at_once_has_one_invite(firm: Firm) -> None:
    deed = partial(joining.invite_user, firm.space, firm.uid("zoe"), InviteRole.MEMBER)
    said = outcomes(*[partial(deed, by=firm.actor(who)) for who in ("stan", "sue", "root")])
    assert said == ["already_invited", "already_invited", "done"]


def test_an_invite_is_answered_once(firm: Firm) -> None:
    invite = joining.invite_user(
        firm.space, firm.uid("zoe"), InviteRole.ADMIN, by=firm.actor("stan")
    )
    zoe = firm.actor("zoe")
    accept = partial(joining.accept_invite, invite, by=zoe)
    assert outcomes(accept, accept, accept) == ["done", "invite_closed", "invite_closed"]
    assert firm.space_roles()["zoe"] == SpaceRole.ADMIN
    assert firm.roles()["zoe"] == EnterpriseRole.STAFF
    spaces.remove_member(firm.space, firm.uid("zoe"), by=firm.actor("stan"))
    again = joining.invite_user(
        firm.space, firm.uid("zoe"), InviteRole.MEMBER, by=firm.actor("stan")
    )
    said = outcomes(
        partial(joining.accept_invite, again, by=zoe),
        partial(joining.refuse_invite, again, by=zoe),
        partial(joining.withdraw_invite, again, by=firm.actor("sue")),
    )
    assert said == ["done", "invite_closed", "invite_closed"]
    again.refresh_from_db()
    assert ("zoe" in firm.space_roles()) == (again.status == InviteStatus.JOINED)


def test_the_last_seat_of_an_enterprise_is_taken_once(firm: Firm, settings: Any) -> None:
    """Two spaces have invited, and the enterprise has one seat for those who join."""
    settings.RPA_TEAM_USERS = 5
    deeds = []
    for number in range(3):
        guest = make_user(f"guest{number}")
        space = make_space(f"S{number}", {firm.people["olga"]: SpaceRole.OWNER}, firm.enterprise)
        invite = joining.invite_user(space, guest.uid, InviteRole.MEMBER, by=firm.actor("olga"))
        deeds.append(partial(joining.accept_invite, invite, by=Actor(guest)))
    assert outcomes(*deeds) == ["done", "too_many_users", "too_many_users"]
    assert len(firm.roles()) == 5


def test_who_is_removed_while_they_are_added_is_out(firm: Firm) -> None:
    application = joining.apply_to_join(firm.space, by=firm.actor("gary"))
    outcomes(
        partial(
            joining.add_member,
            firm.space,
            firm.uid("gary"),
            SpaceRole.MEMBER,
            by=firm.actor("stan"),
        ),
        partial(joining.approve_application, application, by=firm.actor("sue")),
        partial(
            enterprises.remove_member, firm.enterprise, firm.uid("gary"), by=firm.actor("olga")
        ),
    )
    assert "gary" not in firm.roles()
    assert "gary" not in firm.space_roles()


def test_an_application_is_made_and_decided_once(firm: Firm) -> None:
    apply = partial(joining.apply_to_join, firm.space, by=firm.actor("gary"))
    assert outcomes(apply, apply, apply) == ["already_applied", "already_applied", "done"]
    application = Application.objects.get()
    said = outcomes(
        partial(joining.approve_application, application, by=firm.actor("stan")),
        partial(joining.reject_application, application, by=firm.actor("sue")),
    )
    assert said == ["application_closed", "done"]
    application.refresh_from_db()
    assert ("gary" in firm.space_roles()) == (application.status == 2)


def test_accepting_races_with_withdrawing_and_with_the_end_of_the_space(firm: Firm) -> None:
    zoe = firm.actor("zoe")
    invite = joining.invite_user(
        firm.space, firm.uid("zoe"), InviteRole.MEMBER, by=firm.actor("stan")
    )
    said = outcomes(
        partial(joining.accept_invite, invite, by=zoe),
        partial(joining.withdraw_invite, invite, by=firm.actor("sue")),
    )
    assert said == ["done", "invite_closed"]
    invite.refresh_from_db()
    joined = invite.status == InviteStatus.JOINED
    assert ("zoe" in firm.space_roles()) == ("zoe" in firm.roles()) == joined
    second = make_user("second")
    invite = joining.invite_user(firm.space, second.uid, InviteRole.MEMBER, by=firm.actor("stan"))
    said = outcomes(
        partial(joining.accept_invite, invite, by=Actor(second)),
        partial(spaces.delete_space, firm.space, by=firm.actor("olga")),
    )
    assert said in (["done", "done"], ["done", "not_found"])
    invite.refresh_from_db()
    assert ("second" in firm.space_roles()) == (invite.status == InviteStatus.JOINED)


def test_one_of_two_restores_and_one_of_two_namesakes_wins(firm: Firm) -> None:
    spaces.delete_space(firm.space, by=firm.actor("olga"))
    restore = partial(spaces.restore_space, firm.space, by=firm.actor("olga"))
    assert outcomes(restore, restore) == ["done", "not_found"]
    spaces.delete_space(firm.space, by=firm.actor("olga"))
    make = partial(spaces.create_space, name="Orders", enterprise=firm.enterprise)
    assert outcomes(restore, partial(make, by=firm.actor("gary"))) == ["done", "name_taken"]
    assert Space.objects.alive().filter(name="Orders").count() == 1
    found = partial(enterprises.create_enterprise, name="New", by=firm.actor("zoe"))
    assert outcomes(found, found, found) == ["done", "name_taken", "name_taken"]


def test_a_restore_races_with_the_purge(firm: Firm) -> None:
    """Either all of it is there, or none."""
    for number in range(3):
        space = make_space(f"S{number}", {firm.people["olga"]: SpaceRole.OWNER}, firm.enterprise)
        make_robot(space)
        spaces.hide_space(space)
        said = outcomes(
            lambda space=space: list(purge_space(space)),
            partial(spaces.restore_space, space, by=firm.actor("olga")),
        )
        assert said in (["done", "done"], ["being_purged", "done"], ["done", "not_found"])
        alive = Space.objects.alive().filter(pk=space.pk).exists()
        assert Space.objects.filter(pk=space.pk).exists() == alive
        assert Robot.objects.filter(space=space.pk).exists() == alive
        assert SpaceUser.objects.filter(space=space.pk).exists() == alive


def test_two_purges_at_once_are_one(firm: Firm) -> None:
    robot = make_robot(firm.space)
    for _number in range(3):
        executions.request_execution(robot=robot, by=firm.actor("stan"), origin=Origin.API)
    enterprises.delete_enterprise(firm.enterprise, by=firm.actor("olga"))
    purge = partial(lambda: list(purge_enterprise(firm.enterprise)))
    assert outcomes(purge, purge) == ["done", "done"]
    assert not Space.objects.exists()
    assert not Execution.objects.exists()
    verify()


def test_the_last_seat_is_taken_once_whichever_way(firm: Firm, settings: Any) -> None:
    settings.RPA_TEAM_USERS = 3
    application = joining.apply_to_join(firm.space, by=firm.actor("gary"))
    said = outcomes(
        partial(joining.approve_application, application, by=firm.actor("stan")),
        partial(joining.apply_to_join, firm.space, by=firm.actor("olga")),
        partial(
            joining.invite_user,
            firm.space,
            firm.uid("zoe"),
            InviteRole.MEMBER,
            by=firm.actor("sue"),
        ),
    )
    assert said == ["done", "too_many_users", "too_many_users"]
    assert seats_of(firm.space).free == 0


def test_roles_change_while_the_space_is_handed_over(firm: Firm) -> None:
    outcomes(
        partial(spaces.transfer_space, firm.space, firm.uid("sue"), by=firm.actor("stan")),
        partial(
            spaces.change_member_role,
            firm.space,
            firm.uid("sue"),
            SpaceRole.MEMBER,
            by=firm.actor("root"),
        ),
        partial(
            enterprises.remove_member, firm.enterprise, firm.uid("stan"), by=firm.actor("olga")
        ),
    )
    assert list(firm.space_roles().values()).count(SpaceRole.OWNER) == 1
    assert set(firm.space_roles()) <= set(firm.roles())
