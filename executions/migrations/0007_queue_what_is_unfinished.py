from typing import Any

from django.db import migrations

READY, LEASED = 1, 4


def queue_what_is_unfinished(apps: Any, schema_editor: Any) -> None:
    """Give every run that waits or runs its ticket, in the order in which they were requested."""
    model = {
        name: apps.get_model("executions", name) for name in ("Execution", "Ticket", "Pool", "Lane")
    }
    unfinished = model["Execution"].objects.filter(status__in=("PENDING", "RUNNING"), ticket=None)
    if not unfinished.exists():
        return
    pool, _created = model["Pool"].objects.get_or_create(name="default")
    lane, _created = model["Lane"].objects.get_or_create(pool=pool, labels="")
    for execution in unfinished.select_related("space").order_by("pk").iterator():
        model["Ticket"].objects.create(
            execution=execution,
            lane=lane,
            pool=pool,
            robot_id=execution.robot_id,
            space_id=execution.space_id,
            enterprise_id=execution.space.enterprise_id,
            state=READY if execution.runner_id is None else LEASED,
            runner_id=execution.runner_id,
            queued_at=execution.requested_at,
        )


class Migration(migrations.Migration):
    """A platform that was stopped in the midst of its work goes on with it."""

    dependencies = [("executions", "0006_queue_and_fleet")]

    operations = [migrations.RunPython(queue_what_is_unfinished, migrations.RunPython.noop)]
