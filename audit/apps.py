from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AuditConfig(AppConfig):
    name = "audit"
    verbose_name = _("Audit")

    def ready(self) -> None:
        # Only now: what they import needs the models.
        from audit import checks, rows, sign_ins

        checks.register()
        rows.connect()
        sign_ins.connect()
