"""`manage.py drain`: whom it tells. What a runner does then is in test_runner.py."""

from uuid import uuid4

import pytest
from django.core.management.base import CommandError
from django.utils import timezone

from executions.models import Runner
from tests.commands.calling import called

pytestmark = pytest.mark.django_db


def test_only_one_that_is_there_is_drained() -> None:
    runner = Runner.objects.create(host="here", pid=7, slots=4)
    assert called("drain", str(runner.uid)) == f"{runner.uid} takes no more runs.\n"
    runner.refresh_from_db()
    since = runner.draining_at
    assert since is not None
    called("drain", str(runner.uid))  # again changes nothing
    runner.refresh_from_db()
    assert runner.draining_at == since
    Runner.objects.update(stopped_at=timezone.now())
    for uid in (runner.uid, uuid4()):
        with pytest.raises(CommandError, match="no runner"):
            called("drain", str(uid))
