"""Which person a subject of the identity provider is.

The subject is the `uid` of its user. A local account may besides be connected to one subject by its owner.
An e-mail address never connects anything: whoever could choose theirs at the provider would be whoever they like.
"""

import re
from typing import Any

from allauth.account.internal.emailkit import valid_email_or_none
from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.db import IntegrityError, transaction
from django.dispatch import Signal
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.refusals import Forbidden
from audit.recording import deed, tell
from audit.scenes import who_is

#: What `SocialAccount.provider` says: there is one provider.
PROVIDER = "oidc"
#: Sent with `user` and `groups`, the names of the provider's groups, when a sign-in has told them.
groups_told = Signal()

_LONGEST_SUBJECT = 128
_MOST_GROUPS = 1000
_LONGEST_USERNAME = 150


class UnknownPerson(Forbidden):
    """The provider knows them, and nobody here does."""

    code = "unknown_person"


class TakenBySomebody(Forbidden):
    """One subject is one user."""

    code = "identity_taken"


def subject_of(claims: dict[str, Any]) -> str:
    """The subject, or Forbidden where it is none that a user could have."""
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 1 <= len(subject) <= _LONGEST_SUBJECT:
        raise Forbidden(_("The identity provider names you by no text of 1 to 128 characters."))
    if not subject.isprintable() or subject != subject.strip():
        raise Forbidden(_("The identity provider names you by no text of 1 to 128 characters."))
    return subject


def find(subject: str) -> User | None:
    """The user that the subject is, active or not."""
    # Databases compare loosely: the letters must be the same.
    connected = SocialAccount.objects.filter(provider=PROVIDER, uid=subject).select_related("user")
    for account in connected:
        if account.uid == subject:
            found: User = account.user
            return found
    user = User.objects.filter(uid=subject).first()
    return user if user is not None and user.uid == subject else None


def admit(claims: dict[str, Any]) -> User:
    """The user who the claims of a sign-in are about, made if they come for the first time."""
    subject = subject_of(claims)
    user = find(subject)
    if user is None:
        if not settings.RPA_OIDC_SIGN_UP:
            raise UnknownPerson(_("You have no account here. Ask an operator to make you one."))
        user = _new(subject, claims)
    return user


def _new(subject: str, claims: dict[str, Any]) -> User:
    address = (
        valid_email_or_none(claims.get("email")) if claims.get("email_verified") is True else ""
    )
    user = User(
        uid=subject,
        first_name=_text(claims.get("given_name") or claims.get("name"), 150),
        last_name=_text(claims.get("family_name"), 150),
        email=address or "",
    )
    user.set_unusable_password()
    wanted = claims.get("preferred_username") or claims.get("name") or subject
    for number in range(1, 100):
        user.username = _username(_text(wanted, _LONGEST_USERNAME), number)
        if User.objects.filter(username__iexact=user.username).exists():
            continue
        try:
            with deed("user.first_sign_in", user):
                user.save(force_insert=True)
        except IntegrityError:
            # Somebody has just taken the name, or is this very person in another tab.
            found = find(subject)
            if found is not None:
                return found
            user.pk = None
            continue
        return user
    raise Forbidden(_("No user name could be found for you. Ask an operator."))


def connect(user: User, account: SocialAccount) -> None:
    """Remember that the account at the provider is this user's."""
    account.user = user
    try:
        with transaction.atomic():
            account.save()
    except IntegrityError:
        return  # another tab of theirs was first
    tell_of(user, "identity.connect", account)


def tell_of(user: User, action: str, account: SocialAccount) -> None:
    tell(action, who=who_is(user), on=user, subject=account.uid)


def _username(wanted: str, number: int) -> str:
    name = re.sub(r"[^\w.@+-]+", "-", wanted).strip("-") or "user"
    suffix = "" if number == 1 else f"-{number}"
    return f"{name[: _LONGEST_USERNAME - len(suffix)]}{suffix}"


def _text(value: Any, most: int) -> str:
    text = value if isinstance(value, str) else ""
    return "".join(each for each in text if each.isprintable())[:most].strip()


def tell_groups(user: User, claims: dict[str, Any]) -> None:
    """Pass on the groups that the claims name; claims that say nothing of groups change nothing."""
    groups = claims.get(settings.RPA_OIDC_GROUPS_CLAIM)
    if isinstance(groups, list) and settings.RPA_OIDC_GROUPS:
        names = frozenset(each for each in groups[:_MOST_GROUPS] if isinstance(each, str))
        groups_told.send(User, user=user, groups=names)
