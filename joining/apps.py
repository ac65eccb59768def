from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from accounts.scopes import KNOWN_SCOPES


class JoiningConfig(AppConfig):
    name = "joining"
    verbose_name = _("Joining")

    def ready(self) -> None:
        # Only now: what they import needs the models.
        from accounts.identities import groups_told
        from enterprises.services import member_gone
        from joining.groups import apply_groups
        from joining.services import OWN_DEEDS, close_what_waits_for

        KNOWN_SCOPES.update(OWN_DEEDS)
        member_gone.connect(close_what_waits_for)
        groups_told.connect(apply_groups)
