"""The codes of the audit."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Door(models.TextChoices):
    """By which way somebody came."""

    PAGE = "page", _("Page")
    API = "api", "API"
    ADMIN = "admin", _("Admin")
    COMMAND = "command", _("Command")
    INTEROP = "interop", "/rpa/v1"
    PLATFORM = "platform", _("The platform itself")


class Outcome(models.TextChoices):
    DONE = "done", _("Done")
    REFUSED = "refused", _("Refused")
