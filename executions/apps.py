import atexit

from django.apps import AppConfig
from django.conf import settings
from django.utils.translation import gettext_lazy as _


class ExecutionsConfig(AppConfig):
    name = "executions"
    verbose_name = _("Executions")

    def ready(self) -> None:
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
