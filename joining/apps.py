from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from accounts.scopes import KNOWN_SCOPES


class JoiningConfig(AppConfig):
    name = "joining"
    verbose_name = _("Joining")

    def ready(self) -> None:
        # Only now: what they import needs the models.
        from enterprises.services import member_gone
        from joining.services import OWN_DEEDS, close_what_waits_for

        KNOWN_SCOPES.update(OWN_DEEDS)
        member_gone.connect(close_what_waits_for)
