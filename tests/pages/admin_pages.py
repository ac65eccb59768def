"""The pages of the admin as tests use them."""

from typing import Any

from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from tests.factories import make_user

RUNS = "admin:executions_execution_changelist"


def staff(*permissions: str) -> Client:
    """The browser of somebody who may do just this in the admin."""
    stan = make_user("stan", is_staff=True)
    stan.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    assert stan.user_permissions.count() == len(permissions)
    client = Client()
    client.force_login(stan)
    return client


def act(client: Client, action: str, *rows: Any, page: str = RUNS) -> list[str]:
    """What an action on these rows says."""
    form = {"action": action, "_selected_action": [each.pk for each in rows]}
    response = client.post(reverse(page), form, follow=True)
    assert response.status_code == 200
    return [str(each) for each in response.context["messages"]]


def found(client: Client, page: str, wanted: str) -> list[Any]:
    response = client.get(reverse(f"admin:{page}_changelist"), {"q": wanted})
    assert response.status_code == 200
    return list(response.context["cl"].result_list)


def inline(prefix: str) -> dict[str, str]:
    return {f"{prefix}-TOTAL_FORMS": "0", f"{prefix}-INITIAL_FORMS": "0"}


def grid_form(client: Client, page: str) -> dict[str, str]:
    """The boxes of a table of permissions as a browser would send them back unchanged."""
    context = client.get(page).context
    boxes = [box for line in context["lines"] for box in line["boxes"]]
    return {"seen": context["seen"], **{box["name"]: "on" for box in boxes if box["on"]}}
