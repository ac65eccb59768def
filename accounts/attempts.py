"""How often something may be tried: counted in the database, so that every process counts the same.

An attempt counts before it is known to be wrong, so that racing ones are bounded too; what was right is
given back. Beyond a limit nothing is written any more.
"""

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address, IPv6Network, ip_address

from django.db import IntegrityError, transaction
from django.db.models import F
from django.http import HttpRequest

from accounts.models import Attempts
from audit.scenes import address_of

WINDOW_SECONDS = 15 * 60
#: Rows of windows that are over, swept whenever a new one is made.
_SWEPT = 100


@dataclass(frozen=True)
class Limit:
    """At most `most` attempts at `what` by `who` in a quarter of an hour, or in another stretch of time."""

    what: str
    who: str
    most: int
    window: int = WINDOW_SECONDS

    @property
    def ends(self) -> int:
        """In how many seconds the present stretch is over."""
        return self.window - int(time.time()) % self.window

    @property
    def key(self) -> str:
        window = int(time.time()) // self.window
        said = f"{self.what}\n{window}\n{self.who}".encode("utf-8", "replace")
        return hashlib.sha256(said).hexdigest()


class TooManyAttempts(Exception):
    """A limit is passed; `seconds` is how long it stands."""

    def __init__(self, seconds: int) -> None:
        super().__init__(seconds)
        self.seconds = seconds


def network_of(request: HttpRequest) -> str:
    """The client's address; of IPv6, the network that one customer has."""
    address = address_of(request)
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed, 64), strict=False).network_address)
    return address


def take(*limits: Limit) -> None:
    """Count one attempt against each limit, or raise TooManyAttempts and count no more than the first ones."""
    for limit in limits:
        if _seen(limit) >= limit.most or _counted(limit.key, limit.ends) > limit.most:
            raise TooManyAttempts(limit.ends)


def spend(limit: Limit, amount: int) -> None:
    """Count so many attempts at once, or raise TooManyAttempts and count none of them."""
    if _seen(limit) + amount > limit.most:
        raise TooManyAttempts(limit.ends)
    if _counted(limit.key, limit.ends, amount) > limit.most:
        Attempts.objects.filter(key=limit.key).update(count=F("count") - amount)
        raise TooManyAttempts(limit.ends)


def _seen(limit: Limit) -> int:
    return Attempts.objects.filter(key=limit.key).values_list("count", flat=True).first() or 0


def give_back(*limits: Limit) -> None:
    """The attempt was right: it does not count."""
    for limit in limits:
        Attempts.objects.filter(key=limit.key, count__gt=0).update(count=F("count") - 1)


def forget(*limits: Limit) -> None:
    """Nor do the wrong ones before it."""
    Attempts.objects.filter(key__in=[limit.key for limit in limits]).delete()


@contextmanager
def limited(*limits: Limit) -> Iterator[None]:
    """What is tried inside counts if it fails with an exception."""
    take(*limits)
    yield
    give_back(*limits)


def first_use(what: str, seconds: int) -> bool:
    """Whether this is used for the first time, as far as the last `seconds` tell."""
    return _counted(hashlib.sha256(f"once\n{what}".encode()).hexdigest(), seconds) == 1


def _counted(key: str, seconds: int, amount: int = 1) -> int:
    now = datetime.fromtimestamp(time.time(), UTC)
    rows = Attempts.objects.filter(key=key)
    while True:
        with transaction.atomic():
            if rows.filter(ends_at__gt=now).update(count=F("count") + amount):
                return rows.values_list("count", flat=True).get()
            rows.filter(ends_at__lte=now).delete()
        try:
            with transaction.atomic():
                ends_at = now + timedelta(seconds=seconds)
                Attempts.objects.create(key=key, count=amount, ends_at=ends_at)
        except IntegrityError:
            continue  # another one has made it in between
        _sweep(now)
        return amount


def _sweep(now: datetime) -> None:
    over = Attempts.objects.filter(ends_at__lt=now).values_list("pk", flat=True)
    Attempts.objects.filter(pk__in=list(over[:_SWEPT])).delete()
