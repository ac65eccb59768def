from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class RobotsConfig(AppConfig):
    name = "robots"
    verbose_name = _("Robots")

    def ready(self) -> None:
        # Only now: what they import needs the models.
        from robots.purging import purge_robots_of
        from spaces.purging import space_purging

        space_purging.connect(purge_robots_of)
