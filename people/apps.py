from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PeopleConfig(AppConfig):
    """The pages on which people look after enterprises, spaces and who is in them. It has no tables."""

    name = "people"
    verbose_name = _("People")
