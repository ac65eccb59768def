from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

from accounts.scopes import KNOWN_SCOPES
from spaces.permissions import DEFAULTS, OWN_DEEDS, add_missing


class SpacesConfig(AppConfig):
    name = "spaces"
    verbose_name = _("Spaces")

    def ready(self) -> None:
        KNOWN_SCOPES.update(DEFAULTS, OWN_DEEDS)
        post_migrate.connect(add_missing, sender=self)
        # Only now: what they import needs the models.
        from enterprises.purging import enterprise_purging
        from enterprises.services import enterprise_deleted, enterprise_retyped, member_gone
        from spaces.purging import purge_spaces_of
        from spaces.services import close_spaces, retype_spaces, take_spaces_from

        enterprise_deleted.connect(close_spaces)
        enterprise_retyped.connect(retype_spaces)
        member_gone.connect(take_spaces_from)
        enterprise_purging.connect(purge_spaces_of)
