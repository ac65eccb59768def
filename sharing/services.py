"""Sharing a robot or an execution by a link that nobody can guess, and ending that."""

import secrets
from datetime import timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.actors import Actor
from accounts.refusals import NotFound
from accounts.validation import invalid
from audit.recording import audited
from executions.models import Execution
from robots.models import Robot
from sharing.models import Share, ShareType
from spaces.access import require, spaces_allowing
from spaces.models import Space

MOST_DAYS = 365


@audited("share.create")
def share(what: Robot | Execution, *, by: Actor, days: int | None = None) -> Share:
    """Let everybody who gets the key read it, for so many days or until that is ended."""
    require(by, "share.create", space=what.space)
    if days is not None and not 1 <= days <= MOST_DAYS:
        raise invalid("days", _("A share lasts for 1 to 365 days."))
    return Share.objects.create(
        sharer=by.user,
        base_id=what.pk,
        share_type=ShareType.ROBOT if isinstance(what, Robot) else ShareType.EXECUTION,
        expire_time=None if days is None else timezone.now() + timedelta(days=days),
    )


def shared(key: str) -> tuple[Share, Robot | Execution]:
    """The share with that key and what it shows; NotFound once it has ended, whatever has ended it.

    It has ended when it is switched off or expired, or when the sharer may no longer see or share the thing.
    """
    found = Share.objects.valid().select_related("sharer").filter(share_key=key).first()
    if found is not None and secrets.compare_digest(found.share_key, key):
        sharer = Actor(found.sharer)
        what = _what(found, sharer)
        if what is not None and _may_share(sharer, what.space):
            return found, what
    raise NotFound(_("Not found."))


def named(key: str) -> Share:
    """The share with that key, whether it is valid or not."""
    found = Share.objects.ours().select_related("sharer").filter(share_key=key).first()
    if found is None or not secrets.compare_digest(found.share_key, key):
        raise NotFound(_("Not found."))
    return found


@audited("share.off")
def switch_off(share: Share, *, by: Actor) -> Share:
    """End it: by the sharer, or by who may share in that space."""
    if share.sharer_id == by.user.uid and not by.is_bound:
        by.require_scope("share.create")
    else:
        _require_right(share, by)
    return _switch(share, on=False)


@audited("share.on")
def switch_on(share: Share, *, by: Actor) -> Share:
    """Let it be read again. Only the sharer's right to share makes it valid."""
    if share.sharer_id != by.user.uid:
        raise NotFound(_("Not found."))
    _require_right(share, by)
    return _switch(share, on=True)


def _require_right(share: Share, by: Actor) -> None:
    """Of what `by` does not see, there is nothing to end."""
    what = _what(share, by)
    if what is None:
        raise NotFound(_("Not found."))
    require(by, "share.create", space=what.space)


def _switch(share: Share, *, on: bool) -> Share:
    share.is_act = on
    share.save(update_fields=["is_act", "update_time"])
    return share


def _what(share: Share, actor: Actor) -> Robot | Execution | None:
    """The shared thing, as far as `actor` may see it."""
    if share.share_type == ShareType.ROBOT:
        robots = Robot.objects.visible_to(actor).select_related(
            "space__enterprise", "enabled_version"
        )
        return robots.filter(pk=share.base_id).first()
    executions = Execution.objects.visible_to(actor).select_related(
        "space__enterprise", "robot", "version", "requested_by", "rerun_of"
    )
    return executions.filter(pk=share.base_id).first()


def _may_share(sharer: Actor, space: Space) -> bool:
    return spaces_allowing(sharer, "share.create").filter(pk=space.pk).exists()
