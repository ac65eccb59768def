from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from accounts.scopes import KNOWN_SCOPES


class JoiningConfig(AppConfig):
    name = "joining"
    verbose_name = _("Joining")

    def ready(self) -> None:
        # Only now: what they import needs the models.
        from accounts.identities import groups_told
        from enterprises.purging import enterprise_purging
        from enterprises.services import member_gone
        from joining.groups import apply_groups
        from joining.purging import purge_waiting_of_enterprise, purge_waiting_of_space
        from joining.services import OWN_DEEDS, close_what_waits_for
        from spaces.purging import space_purging

        KNOWN_SCOPES.update(OWN_DEEDS)
        member_gone.connect(close_what_waits_for)
        groups_told.connect(apply_groups)
        space_purging.connect(purge_waiting_of_space)
        enterprise_purging.connect(purge_waiting_of_enterprise)
