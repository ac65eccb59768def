"""A share goes with what it shows; see accounts/purging.py."""

from collections.abc import Sequence
from typing import Any

from accounts.purging import Steps, remove_rows
from robots.models import Robot
from sharing.models import Share, ShareType


def purge_shares_of_robot(robot: Robot, **_of_signal: Any) -> Steps:
    shares = Share.objects.filter(share_type=ShareType.ROBOT, base_id=robot.pk)
    return remove_rows(shares, of=robot)


def purge_shares_of_runs(runs: Sequence[int], **_of_signal: Any) -> None:
    Share.objects.filter(share_type=ShareType.EXECUTION, base_id__in=runs).delete()
