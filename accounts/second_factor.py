"""Who must have a second factor, and whether they do."""

from allauth.mfa.models import Authenticator
from django.conf import settings

from accounts.models import User
from audit.recording import tell

#: What counts as one. Recovery codes are only for the day on which it is lost.
FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)


def is_demanded(user: User) -> bool:
    """Whether the platform demands one of this user: `RPA_REQUIRE_MFA`."""
    demanded: str = settings.RPA_REQUIRE_MFA
    return demanded == "all" or (demanded == "staff" and (user.is_staff or user.is_superuser))


def is_lacking(user: User) -> bool:
    """Whether they have to set one up before their sessions open anything. Touches the database only then."""
    if not is_demanded(user):
        return False
    factors = Authenticator.objects.filter(user_id=user.pk, type__in=FACTORS)
    return not factors.exists()


def remove(user: User) -> bool:
    """Take all of theirs away, recovery codes included; False where there were none."""
    removed, _by_model = Authenticator.objects.filter(user=user).delete()
    if removed:
        tell("mfa.remove", on=user, kind="all")
    return bool(removed)
