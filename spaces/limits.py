"""How many spaces an owner or an enterprise may have, and how many users a space or an enterprise: settings, by type."""

from django.conf import settings

from enterprises.models import Enterprise, ServiceType
from spaces.models import Space, SpaceType

_NAMES = {
    SpaceType.FREE: "FREE",
    SpaceType.PRO: "PRO",
    SpaceType.TEAM: "TEAM",
    SpaceType.ENTERPRISE: "ENTERPRISE",
}
#: The type of an enterprise's spaces.
TYPE_OF = {ServiceType.TEAM: SpaceType.TEAM, ServiceType.ENTERPRISE: SpaceType.ENTERPRISE}


def most_spaces(of_type: int) -> int:
    return int(getattr(settings, f"RPA_{_NAMES[SpaceType(of_type)]}_SPACES"))


def most_users(of_type: int) -> int:
    return int(getattr(settings, f"RPA_{_NAMES[SpaceType(of_type)]}_USERS"))


def type_of(place: Space | Enterprise) -> SpaceType:
    """What the limits go by: an enterprise's spaces are what it is."""
    enterprise = place.enterprise if isinstance(place, Space) else place
    if enterprise is not None:
        return TYPE_OF[ServiceType(enterprise.service_type)]
    return SpaceType(place.type) if isinstance(place, Space) else SpaceType.TEAM
