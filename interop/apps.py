from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class InteropConfig(AppConfig):
    name = "interop"
    verbose_name = _("Interoperability")

    def ready(self) -> None:
        # Only now: what they import needs the models.
        from enterprises.purging import enterprise_purging
        from interop.purging import forget_enterprise, forget_space
        from spaces.purging import space_purging

        enterprise_purging.connect(forget_enterprise)
        space_purging.connect(forget_space)
