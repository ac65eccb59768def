from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SharingConfig(AppConfig):
    name = "sharing"
    verbose_name = _("Sharing")

    def ready(self) -> None:
        # Only now: what they import needs the models.
        from executions.purging import runs_purged
        from robots.purging import robot_purging
        from sharing.purging import purge_shares_of_robot, purge_shares_of_runs

        robot_purging.connect(purge_shares_of_robot)
        runs_purged.connect(purge_shares_of_runs)
