"""The admin hides enterprises and spaces and shows them again; it looks at what the API does."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from enterprises.models import Enterprise
from executions.choices import Status
from joining import services as joining
from joining.models import InviteRole
from sharing import services as sharing
from sharing.models import Share
from spaces.models import Space, SpaceRole
from tests.factories import make_execution, make_robot, make_space
from tests.pages.admin_pages import act
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
