import atexit
from typing import Any

from django.apps import AppConfig
from django.apps import apps as installed
from django.conf import settings
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class ExecutionsConfig(AppConfig):
    name = "executions"
    verbose_name = _("Executions")

    def ready(self) -> None:
        post_migrate.connect(_add_default_pool, sender=self)
        # Only now: what they import needs the models.
        from executions import engine, hints
        from executions.purging import purge_runs_of
        from executions.services import abandon_executions, abandon_waiting_executions
        from robots.purging import robot_purging
        from robots.services import robot_deleted
        from spaces.services import spaces_deleted

        robot_deleted.connect(abandon_executions)
        spaces_deleted.connect(abandon_waiting_executions)
        robot_purging.connect(purge_runs_of)
        if settings.RPA_REDIS_URL:
            from executions.redis_hints import Publisher

            publisher = Publisher(settings.RPA_REDIS_URL)
            hints.listen(publisher.hear)
            hints.listen_to_moves(publisher.hear_move)
            atexit.register(publisher.close)
        if settings.RPA_ENGINE == "celery":
            from executions.engine.messages import bell

            engine.ring_by(bell.ring)
            atexit.register(bell.close)


def _add_default_pool(apps: Any = installed, **_of_signal: Any) -> None:
    """After every `migrate` and `flush`: the pool, and its lane, of robots that ask for no other."""
    try:
        pools, lanes = apps.get_model("executions.Pool"), apps.get_model("executions.Lane")
    except LookupError:
        return  # migrated back to before there were pools
    from audit.recording import deed  # only now: it needs the models
    from executions.models import DEFAULT_POOL

    with deed("pools.add_missing"):
        pool, _made = pools.objects.get_or_create(name=DEFAULT_POOL)
        lanes.objects.get_or_create(pool=pool, labels="")
