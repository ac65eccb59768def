"""What was brought across from other systems, so that doing it again brings nothing twice."""

from django.db import models
from django.utils.translation import gettext_lazy as _

#: In place of our id: the row that it had become is no longer there, and does not come back.
PURGED = 0


class Imported(models.Model):
    """A row of another system, and which row of ours it has become."""

    source = models.CharField(_("source"), max_length=64)
    table = models.CharField(_("table"), max_length=64)
    theirs = models.BigIntegerField(_("their id"))
    ours = models.BigIntegerField(_("our id"))

    class Meta:
        verbose_name = _("imported row")
        verbose_name_plural = _("imported rows")
        constraints = [
            models.UniqueConstraint(fields=["source", "table", "theirs"], name="imported_once")
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.table}:{self.theirs}"
