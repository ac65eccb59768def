"""What waits to join goes with what it waits for; see accounts/purging.py."""

from typing import Any

from accounts.purging import Steps, in_turn, remove_rows
from enterprises.models import Enterprise
from joining.models import Application, Invite
from spaces.models import Space


def purge_waiting_of_space(space: Space, **_of_signal: Any) -> Steps:
    return in_turn(
        remove_rows(waiting.filter(space=space), of=space)
        for waiting in (Invite.objects.all(), Application.objects.all())
    )


def purge_waiting_of_enterprise(enterprise: Enterprise, **_of_signal: Any) -> Steps:
    return in_turn(
        remove_rows(waiting.filter(enterprise=enterprise), of=enterprise)
        for waiting in (Invite.objects.all(), Application.objects.all())
    )
