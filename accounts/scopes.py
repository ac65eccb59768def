"""What an API key may be limited to: permission keys, told here at start by the apps that ask for them."""

from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

EVERYTHING = "*"
#: Filled by the apps' `ready()`: the permissions are theirs, and imports point down to here.
KNOWN_SCOPES: set[str] = set()


def check_scopes(scopes: Any) -> None:
    """Raise ValidationError unless `scopes` is a list of known permission keys that is not empty."""
    if not isinstance(scopes, list) or not scopes:
        raise ValidationError(
            _('Scopes are a list such as ["*"] or ["robot.view", "execution.run"].')
        )
    known = {EVERYTHING, *KNOWN_SCOPES}
    unknown = [each for each in scopes if not isinstance(each, str) or each not in known]
    if unknown:
        raise ValidationError(
            _("There is no permission %(unknown)s. Known are: %(known)s.")
            % {"unknown": unknown[0], "known": ", ".join(sorted(known))}
        )
