"""Fills an empty platform with a history: years of runs of a few hundred robots, by raw SQL.

However long the history is, its newest part is the same. And its oldest part is always what a careless list
reads everything else for: all runs of a space that rests, of the one robot that is left of another, the
cancelled ones and one person's own in the largest space, the only run ever that was over a quota.
"""

import uuid
from bisect import bisect
from collections.abc import Iterator
from datetime import timedelta
from itertools import accumulate, islice
from random import Random
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

SPACES = 200
ROBOTS = 500
EVENTS = 10
VERSIONS = 60
#: Seconds between two runs: a million of them is most of a year.
PACE = 30
#: How many of the oldest runs are those that are looked for.
OLDEST = 400
RUNNING, PENDING = 20, 40
_SLICE = 5000


def people_and_robots() -> None:
    """Users, spaces, members and robots, made as anything is; the runs come by `runs`."""
    from accounts.models import User
    from robots.manifest import Kind, Manifest
    from robots.models import Robot, RobotVersion
    from spaces.models import Space, SpaceRole, SpaceUser

    names = ["clock", "huge", "resting", "retired", "five", "fifty", "operator"]
    users = {name: User(username=name, is_superuser=name == "operator") for name in names}
    users["operator"].is_staff = True
    for user in users.values():
        user.set_unusable_password()
        user.save()
    titles = ["huge", "resting", "retired", *(f"space {n:03}" for n in range(3, SPACES))]
    Space.objects.bulk_create(Space(name=title, creator=users["clock"]) for title in titles)
    spaces = list(Space.objects.order_by("pk"))
    members = [
        *((users["clock"], space, SpaceRole.OWNER) for space in spaces),
        *((users[name], spaces[n], SpaceRole.MEMBER) for n, name in enumerate(titles[:3])),
        *((users["five"], space, SpaceRole.MEMBER) for space in spaces[1::40]),
        *((users["fifty"], space, SpaceRole.MEMBER) for space in spaces[1::4]),
    ]
    SpaceUser.objects.bulk_create(
        SpaceUser(user=user, space=space, role=role) for user, space, role in members
    )
    homes = [0] * 40 + [1] * 2 + [2] * 2
    homes += [3 + n % (SPACES - 3) for n in range(ROBOTS - len(homes))]
    Robot.objects.bulk_create(
        Robot(
            space=spaces[home],
            name=f"robot {n:03}",
            created_by=users["clock"],
            # The busy one of the space "retired".
            deleted=n == _RETIRED,
        )
        for n, home in enumerate(homes)
    )
    script = Manifest(Kind.SCRIPT, "robot.py", {"main": ("python", "robot.py")})
    RobotVersion.objects.bulk_create(
        RobotVersion(
            robot=robot,
            number=number,
            kind="script",
            file_name="robot.py",
            digest=f"{robot.pk:064}",
            size=1000,
            storage_key="none",
            manifest=script.to_json(),
            created_by=users["clock"],
        )
        for at, robot in enumerate(Robot.objects.order_by("pk"))
        for number in range(1, VERSIONS + 1 if at == 0 else 2)
    )
    for version in RobotVersion.objects.filter(number=1):
        Robot.objects.filter(pk=version.robot_id).update(enabled_version=version)


_RETIRED = 42


def runs(number: int) -> None:
    """`number` runs with their streams, events and artifacts; the first is the oldest."""
    rows = _rows(number)
    with connection.cursor() as cursor:
        cursor.execute("SET foreign_key_checks = 0, unique_checks = 0")
        columns = [*_COLUMNS, *_ALIKE]
        # One statement a slice: that is what the driver makes of it where every value is a place.
        insert = (
            f"INSERT INTO executions_execution ({', '.join(columns)}) "
            f"VALUES ({', '.join(['%s'] * len(columns))})"
        )
        first = 1
        while part := [(*row, *_ALIKE.values()) for row in islice(rows, _SLICE)]:
            with transaction.atomic():
                cursor.executemany(insert, part)
                for statement in _FOLLOWING:
                    cursor.execute(statement, [first, first + len(part) - 1])
            first += len(part)
        tables = ("execution", "executionstream", "executionevent", "artifact")
        names = ", ".join(f"executions_{table}" for table in tables)
        cursor.execute(f"ANALYZE TABLE {names}")
        cursor.fetchall()
        cursor.execute("SET foreign_key_checks = 1, unique_checks = 1")


_COLUMNS = [
    "id",
    "uid",
    "robot_id",
    "version_id",
    "space_id",
    "requested_by_id",
    "origin",
    "status",
    "failure_reason",
    "exit_code",
    "requested_at",
    "started_at",
    "finished_at",
]
#: What is the same for every run.
_ALIKE = {
    **dict.fromkeys(
        ["message", "task", "trace_id", "request_digest", "progress_message", "pending_reason"], ""
    ),
    "tier": "strict",
    "params": '{"customer": "ACME", "month": "2026-11", "rows": 1200}',
    "timeout_seconds": 3600,
}

_FOLLOWING = (
    "INSERT INTO executions_executionstream (execution_id, epoch, last_seq, n_lines, bytes, "
    "writer_token, src_offset, closed, dropped_seq, sealed_seq, sealed_bytes, kept_since) "
    f"SELECT id, 1, {EVENTS}, {EVENTS - 2}, 1200, '', {EVENTS - 1}, finished_at IS NOT NULL, 0, 0, 0, "
    "finished_at FROM executions_execution WHERE id BETWEEN %s AND %s",
    "INSERT INTO executions_executionevent "
    "(execution_id, seq, kind, first_line, n_lines, enc, payload, created) "
    f"SELECT id, seq, IF(seq IN (1, {EVENTS}), 1, 2), seq, 1, 0, "
    """CONCAT('{"stream": "stdout", "lines": ["2026-11-23 19:00:00,123 INFO step.name Processed """
    """invoice number ', id, ' of it."]}'), UNIX_TIMESTAMP(requested_at) * 1000 + seq """
    "FROM executions_execution JOIN "
    f"({' UNION ALL '.join(f'SELECT {seq} AS seq' for seq in range(1, EVENTS + 1))}) AS numbers "
    "WHERE id BETWEEN %s AND %s",
    "INSERT INTO executions_artifact (uid, execution_id, name, size, content_type, sha256, "
    "storage_key, created_at) SELECT UUID(), id, CONCAT('report-', id, '.pdf'), 1000, "
    "'application/pdf', '', CONCAT('artifacts/', uid), requested_at FROM executions_execution "
    "WHERE id %% 10 = 0 AND id BETWEEN %s AND %s",
)


def _rows(number: int) -> Iterator[tuple[Any, ...]]:
    from accounts.models import User
    from robots.models import Robot

    facts = Robot.objects.order_by("pk").values_list("pk", "enabled_version", "space")
    robots = list(facts)
    people = dict(User.objects.values_list("username", "pk"))
    # Some spaces are a hundred times as busy as others.
    ordinary = range(44, len(robots))
    weights = list(accumulate(1 / (1 + (n % (SPACES - 3))) for n, _at in enumerate(ordinary)))
    now = timezone.now().replace(tzinfo=None)
    for at in range(number):
        age = number - 1 - at
        chance = Random(age)
        draw = chance.random()
        by, origin, status, reason = "clock", "api", "", ""
        if at < OLDEST:
            which = at % 4
            robot = (40, 43, 0, 44)[which]
            by = ("clock", "clock", "huge", "clock")[which]
            status = ("COMPLETED", "COMPLETED", "CANCELLED", "FAILED")[which]
            origin = ("api", "api", "page", "command")[which]
            reason = ("", "", "", "quota")[which]
        elif draw < 0.5:
            robot = int(chance.random() ** 2 * 40)
        elif draw < 0.6:
            robot = _RETIRED
        else:
            robot = ordinary[bisect(weights, chance.random() * weights[-1])]
            by = "fifty" if chance.random() < 0.1 else "clock"
        if not status:
            fate = chance.random()
            if age < RUNNING:
                status = "RUNNING"
            elif age < RUNNING + PENDING:
                status = "PENDING"
            elif fate < 0.88:
                status = "COMPLETED"
            elif fate < 0.94 or robot < 40:
                status, reason = "FAILED", "error"
            else:
                status = "CANCELLED"
        asked = now - timedelta(seconds=PACE * age)
        ended = status not in ("PENDING", "RUNNING")
        pk, version, space = robots[robot]
        yield (
            at + 1,
            str(uuid.UUID(int=chance.getrandbits(128), version=4)),
            pk,
            version,
            space,
            people[by],
            origin,
            status,
            reason,
            {"COMPLETED": 0, "FAILED": 1}.get(status),
            asked,
            None if status == "PENDING" else asked,
            asked + timedelta(seconds=12) if ended else None,
        )
