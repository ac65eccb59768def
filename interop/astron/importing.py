"""Bringing an AstronAgent organisation across: enterprises, spaces, members, permissions, what waits to join, and
their people.

Codes are the same. A row keeps its number where that is free here, and gets another one where it is
not; `Imported` remembers which, so that doing it again brings only what is new. What was brought before
is left as it is now: people may have changed it here. What breaks the rules of this platform is
repaired, and told in a remark.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any, Protocol

from django.db import models
from django.utils import timezone

from accounts.models import User
from enterprises.models import (
    Enterprise,
    EnterprisePermission,
    EnterpriseRole,
    EnterpriseUser,
    ServiceType,
)
from enterprises.permissions import DEFAULTS as ENTERPRISE_DEEDS
from interop.astron.repairs import Brought, repair
from interop.models import PURGED, Imported
from joining.models import (
    INVITE_LIFE,
    Application,
    ApplicationStatus,
    Invite,
    InviteRole,
    InviteStatus,
    InviteType,
)
from spaces.limits import type_of
from spaces.models import Space, SpacePermission, SpaceRole, SpaceType, SpaceUser
from spaces.permissions import DEFAULTS as SPACE_DEEDS

_Row = dict[str, Any]
#: How many remarks a report has; it counts all.
_REMARKS = 200


class Source(Protocol):
    @property
    def tables(self) -> set[str]: ...

    def rows(self, table: str) -> Iterator[_Row]: ...


class Skipped(Exception):
    """This row cannot be brought across; the text says why."""


@dataclass
class Report:
    """What became of the rows of each table."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    remarks: list[str] = field(default_factory=list)

    def count(self, table: str, what: str) -> None:
        self.counts[table, what] += 1

    def repaired(self, table: str, theirs: int, said: str) -> None:
        self.count(table, "repaired")
        self.remark(f"{table} {theirs}: {said}")

    def remark(self, text: str) -> None:
        if len(self.remarks) < _REMARKS:
            self.remarks.append(text)

    def lines(self) -> Iterator[str]:
        for table in sorted({table for table, _what in self.counts}):
            parts = (
                f"{n} {what}" for (name, what), n in sorted(self.counts.items()) if name == table
            )
            yield f"{table}: {', '.join(parts)}"
        yield from self.remarks


class Importer:
    """One import of one source. The caller opens the transaction, and may take it back."""

    def __init__(self, source: Source, *, name: str, zone: tzinfo) -> None:
        self._source = source
        self._name = name
        self._zone = zone
        #: Our numbers of the rows that this import has made.
        self._new: defaultdict[str, set[int]] = defaultdict(set)
        self.report = Report()

    def run(self) -> Report:
        for table, bring in _PLACES.items():
            self._table(table, bring)
        self._repair()
        for table, bring in _WAITING.items():
            self._table(table, bring)
        for table in sorted(self._source.tables & LEFT):
            for row in self._source.rows(table):
                self.report.count(table, f"of type {row.get('share_type')} left")
        return self.report

    def _table(self, table: str, bring: "_Handler") -> None:
        self._ours = {theirs: ours for ours, theirs in self._by_ours(table)}
        for row in self._source.rows(table):
            self._one(table, row, bring)

    def _by_ours(self, table: str) -> Iterable[tuple[int, int]]:
        known = Imported.objects.filter(source=self._name, table=table)
        return known.values_list("ours", "theirs")

    def _repair(self) -> None:
        brought = Brought(
            enterprises=dict(self._by_ours("agent_enterprise")),
            spaces=dict(self._by_ours("agent_space")),
            new_in_enterprises=self._new["agent_enterprise_user"],
            new_in_spaces=self._new["agent_space_user"],
        )
        repair(
            brought,
            repaired=self.report.repaired,
            remark=lambda table, theirs, said: self.report.remark(f"{table} {theirs}: {said}"),
        )

    def _one(self, table: str, row: _Row, bring: "_Handler") -> None:
        try:
            theirs = _number(row, "id")
            if theirs in self._ours:
                self.report.count(table, "known")
                return
            made, ours = bring(self, row)
        except Skipped as why:
            self.report.count(table, "skipped")
            self.report.remark(f"{table} {row.get('id')}: {why}")
            return
        Imported.objects.create(source=self._name, table=table, theirs=theirs, ours=ours.pk)
        self._ours[theirs] = ours.pk
        if made:
            self._new[table].add(ours.pk)
        self.report.count(table, "brought" if made else "known")
        if made and ours.pk != theirs and table in NUMBERED:
            self.report.remark(f"{table} {theirs} is {ours.pk} here.")

    # --- rows ---

    def enterprise(self, row: _Row) -> tuple[bool, models.Model]:
        name = _text(row, "name", 50)
        gone = bool(_number(row, "deleted", 0))
        alive = Enterprise.objects.alive()
        made = Enterprise(
            pk=_free(Enterprise, row),
            creator=self.person(row, "uid"),
            name=name if gone else self._untaken(name, lambda n: alive.filter(name=n).exists()),
            logo_url=_text(row, "logo_url", 1024, ""),
            avatar_url=_text(row, "avatar_url", 1024, ""),
            org_id=row.get("org_id"),
            service_type=_code(row, "service_type", ServiceType),
            expire_time=self._moment(row, "expire_time"),
            deleted=gone,
        )
        return self._saved(made, row)

    def enterprise_user(self, row: _Row) -> tuple[bool, models.Model]:
        house = self._of("agent_enterprise", row, "enterprise_id")
        user = self.person(row, "uid")
        there = EnterpriseUser.objects.filter(enterprise=house, user=user).first()
        if there is not None:
            return False, there
        made = EnterpriseUser(
            enterprise_id=house,
            user=user,
            nickname=_text(row, "nickname", 64, ""),
            role=_code(row, "role", EnterpriseRole),
        )
        return self._saved(made, row)

    def space(self, row: _Row) -> tuple[bool, models.Model]:
        house = None
        if row.get("enterprise_id") is not None:
            house = self._of("agent_enterprise", row, "enterprise_id")
        owner, name = self.person(row, "uid"), _text(row, "name", 50)
        gone = bool(_number(row, "deleted", 0))
        neighbours = Space.objects.filter(deleted=False, enterprise=house)
        if house is None:
            neighbours = neighbours.filter(creator=owner)
        made = Space(
            pk=_free(Space, row),
            creator=owner,
            enterprise_id=house,
            name=name
            if gone
            else self._untaken(name, lambda n: neighbours.filter(name=n).exists()),
            description=_text(row, "description", 2000, ""),
            avatar_url=_text(row, "avatar_url", 1024, ""),
            type=self._type(row, house),
            deleted=gone,
        )
        return self._saved(made, row)

    def _type(self, row: _Row, house: int | None) -> int:
        """That of the enterprise; a personal space is free or pro."""
        told = _number(row, "type", 0)
        if house is not None:
            of_type = type_of(Enterprise.objects.get(pk=house))
        else:
            of_type = SpaceType.PRO if told == SpaceType.PRO else SpaceType.FREE
        if told != of_type:
            said = f"its type was {told}: it is {of_type.value} by the rules."
            self.report.repaired("agent_space", _number(row, "id"), said)
        return of_type

    def space_user(self, row: _Row) -> tuple[bool, models.Model]:
        space = self._of("agent_space", row, "space_id")
        user = self.person(row, "uid")
        there = SpaceUser.objects.filter(space=space, user=user).first()
        if there is not None:
            return False, there
        made = SpaceUser(
            space_id=space,
            user=user,
            nickname=_text(row, "nickname", 64, ""),
            role=_code(row, "role", SpaceRole),
            last_visit_time=self._moment(row, "last_visit_time"),
        )
        return self._saved(made, row)

    def enterprise_permission(self, row: _Row) -> tuple[bool, models.Model]:
        columns = ("officer", "governor", "staff", "available_expired")
        return self._granted(EnterprisePermission, ENTERPRISE_DEEDS, columns, row)

    def space_permission(self, row: _Row) -> tuple[bool, models.Model]:
        columns = ("owner", "admin", "member", "available_expired")
        return self._granted(SpacePermission, SPACE_DEEDS, columns, row)

    def _granted(
        self, table: Any, deeds: Any, columns: tuple[str, ...], row: _Row
    ) -> tuple[bool, models.Model]:
        """Who may do what is as it was there, for every deed that this platform knows."""
        key = _text(row, "permission_key", 64)
        if key not in deeds:
            raise Skipped(f"this platform asks for no permission {key}")
        there = table.objects.get_or_create(permission_key=key)[0]
        for name in columns:
            setattr(there, name, bool(_number(row, name, 0)))
        there.save()
        return True, there

    def application(self, row: _Row) -> tuple[bool, models.Model]:
        space = self._space(row)
        if space.enterprise_id is None:
            raise Skipped("nobody applies to join a personal space")
        status = _code(row, "status", ApplicationStatus)
        applicant = self.person(row, "apply_uid")
        if status == ApplicationStatus.PENDING:
            self._must_wait_for(space, applicant)
            pending = Application.objects.filter(space=space, applicant=applicant, status=status)
            if pending.exists():
                raise Skipped("they have applied here already")
        made = Application(
            pk=_free(Application, row),
            enterprise_id=space.enterprise_id,
            space=space,
            applicant=applicant,
            apply_nickname=_text(row, "apply_nickname", 64, ""),
            apply_time=self._moment(row, "apply_time") or timezone.now(),
            status=status,
            audit_time=self._moment(row, "audit_time"),
            auditor=self.person(row, "audit_uid") if row.get("audit_uid") else None,
        )
        return self._saved(made, row)

    def invite(self, row: _Row) -> tuple[bool, models.Model]:
        kind = _code(row, "type", InviteType)
        place: Space | Enterprise
        if kind == InviteType.SPACE:
            place = self._space(row)
            to = {"space_id": place.pk, "enterprise_id": place.enterprise_id}
        else:
            place = Enterprise.objects.get(pk=self._of("agent_enterprise", row, "enterprise_id"))
            to = {"enterprise_id": place.pk}
        status = _code(row, "status", InviteStatus)
        invitee = self.person(row, "invitee_uid")
        sent = self._moment(row, "create_time")
        ends = self._moment(row, "expire_time") or (sent and sent + INVITE_LIFE)
        if ends is None:
            raise Skipped("it does not say when it expires")
        if status == InviteStatus.INITIAL and ends > timezone.now():
            self._must_wait_for(place, invitee)
            if Invite.objects.to(place).open().filter(invitee=invitee).exists():
                raise Skipped("they have an open invite already")
        made = Invite(
            pk=_free(Invite, row),
            type=kind,
            **to,
            invitee=invitee,
            invitee_nickname=_text(row, "invitee_nickname", 64, ""),
            inviter=self.person(row, "inviter_uid"),
            role=_code(row, "role", InviteRole),
            expire_time=ends,
            status=status,
        )
        return self._saved(made, row)

    # --- what rows have in common ---

    def _space(self, row: _Row) -> Space:
        return Space.objects.get(pk=self._of("agent_space", row, "space_id"))

    def _must_wait_for(self, place: Space | Enterprise, user: User) -> None:
        if place.members.filter(user=user).exists():
            raise Skipped("they are a member already")

    def person(self, row: _Row, column: str) -> User:
        """The user with that uid. One that is new cannot sign in until somebody gives them a way."""
        uid = _text(row, column, 128)
        found = User.objects.filter(uid=uid).first()
        if found is not None:
            return found
        name = self._untaken(
            re.sub(r"[^\w.@+-]", "_", uid)[:140],
            lambda wanted: User.objects.filter(username=wanted).exists(),
            form="{}_{}",
            longest=150,
        )
        made = User(uid=uid, username=name)
        made.set_unusable_password()
        made.save()
        self.report.count("users", "made")
        return made

    def _untaken(
        self, name: str, taken: Callable[[str], bool], *, form: str = "{} ({})", longest: int = 50
    ) -> str:
        number, wanted = 1, name
        while taken(wanted):
            number += 1
            suffix = form.format("", number)
            wanted = name[: longest - len(suffix)] + suffix
        if wanted != name:
            self.report.remark(f"The name {name} is taken here: it is {wanted}.")
        return wanted

    def _of(self, table: str, row: _Row, column: str) -> int:
        theirs = _number(row, column)
        found = Imported.objects.filter(source=self._name, table=table, theirs=theirs).first()
        if found is None:
            raise Skipped(f"its {column} {theirs} was not brought across")
        if found.ours == PURGED:
            raise Skipped(f"its {column} {theirs} was removed here for ever")
        return found.ours

    def _saved(self, made: models.Model, row: _Row) -> tuple[bool, models.Model]:
        made.save(force_insert=True)
        times = {name: self._moment(row, name) for name in ("create_time", "update_time")}
        given = {name: value for name, value in times.items() if value is not None}
        if given:  # saving has set both to now
            type(made)._base_manager.filter(pk=made.pk).update(**given)
        return True, made

    def _moment(self, row: _Row, column: str) -> datetime | None:
        value = row.get(column)
        if value is None or str(value).startswith("0000-00-00"):
            return None
        try:
            moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        except ValueError:
            raise Skipped(f"its {column} {value!r:.40} is no time") from None
        return moment if moment.tzinfo else moment.replace(tzinfo=self._zone)


_Handler = Callable[[Importer, _Row], tuple[bool, models.Model]]

#: The tables that are brought across, in the order in which they need each other. These say who is where, ...
_PLACES: dict[str, _Handler] = {
    "agent_enterprise": Importer.enterprise,
    "agent_enterprise_user": Importer.enterprise_user,
    "agent_enterprise_permission": Importer.enterprise_permission,
    "agent_space": Importer.space,
    "agent_space_user": Importer.space_user,
    "agent_space_permission": Importer.space_permission,
}
#: ... and these who waits to be there.
_WAITING: dict[str, _Handler] = {
    "agent_apply_record": Importer.application,
    "agent_invite_record": Importer.invite,
}
HANDLERS = _PLACES | _WAITING
#: What is shared there are things that this platform does not have: the rows are counted by their type, and stay.
LEFT = {"agent_share_record"}
#: Tables whose numbers people see.
NUMBERED = {"agent_enterprise", "agent_space"}


def _free(model: type[models.Model], row: _Row) -> int | None:
    """Their number where nothing of ours has it, or None for one of our own."""
    wanted = _number(row, "id")
    return None if model._base_manager.filter(pk=wanted).exists() else wanted


def _number(row: _Row, column: str, default: int | None = None) -> int:
    value = row.get(column)
    value = default if value is None else value
    try:
        number = int(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise Skipped(f"its {column} {value!r:.40} is no number") from None
    if not 0 <= number < 2**63:
        raise Skipped(f"its {column} {number} is out of range")
    return number


def _text(row: _Row, column: str, longest: int, default: str | None = None) -> str:
    value = row.get(column)
    value = default if value is None else value
    if not isinstance(value, str | int) or (default is None and value == ""):
        raise Skipped(f"it has no {column}")
    text = str(value)
    if len(text) > longest:
        raise Skipped(f"its {column} has more than {longest} characters")
    return text


def _code(row: _Row, column: str, codes: type[models.IntegerChoices]) -> int:
    number = _number(row, column)
    if number not in codes.values:
        raise Skipped(f"its {column} {number} means nothing")
    return number
