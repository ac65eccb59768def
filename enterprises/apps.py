from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

from accounts.scopes import KNOWN_SCOPES
from enterprises.permissions import DEFAULTS, OWN_DEEDS, add_missing


class EnterprisesConfig(AppConfig):
    name = "enterprises"
    verbose_name = _("Enterprises")

    def ready(self) -> None:
        KNOWN_SCOPES.update(DEFAULTS, OWN_DEEDS)
        post_migrate.connect(add_missing, sender=self)
