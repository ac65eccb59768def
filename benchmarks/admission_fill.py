"""Fills an empty platform with spaces of one robot each, and a long queue of their runs, mostly inside the database.

Every second space is at its limit from the beginning, so that what waits there is held back; every tenth of the
others has three times the weight.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, models

_SLICE = 5000
#: What every run is taken to need, in milliseconds of a slot.
_STRETCH, _WEIGHT = 10_000, 3


@dataclass(frozen=True)
class Filled:
    """What there is: of the same place in each list, the robot, its version and its space belong together."""

    user: Any
    spaces: Sequence[Any]
    robots: Sequence[Any]
    versions: Sequence[Any]
    manifest: Any
    lane: Any

    @property
    def weights(self) -> dict[int, int]:
        """By space."""
        return {each.pk: _WEIGHT if n % 20 == 0 else 1 for n, each in enumerate(self.spaces)}

    def run(self, robot: int) -> Any:
        """A new run of that robot, not saved."""
        from executions.choices import Origin, PendingReason
        from executions.models import Execution

        return Execution(
            robot=self.robots[robot],
            version=self.versions[robot],
            space=self.spaces[robot],
            requested_by=self.user,
            origin=Origin.API,
            timeout_seconds=60,
            pending_reason=PendingReason.QUEUED,
        )


def fill(spaces: int, runs: int) -> Filled:
    """`runs` that wait, as many of each space."""
    filled = _people_and_robots(spaces)
    for turn in range(runs // spaces):
        _one_each(filled, turn)
    if connection.vendor == "mysql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE TABLE executions_execution, executions_ticket")
            cursor.fetchall()
    return filled


def _people_and_robots(spaces: int) -> Filled:
    from accounts.models import User
    from executions.models import RunLimit, SpaceShare
    from executions.tickets import lane_of
    from robots.manifest import Kind, Manifest
    from robots.models import Robot, RobotVersion
    from spaces.models import Space

    user = User.objects.create_user("clock")
    Space.objects.bulk_create(
        [Space(name=f"space {n}", creator=user) for n in range(spaces)], _SLICE
    )
    rooms = list(Space.objects.order_by("pk"))
    Robot.objects.bulk_create(
        [Robot(space=each, name="robot", created_by=user) for each in rooms], _SLICE
    )
    robots = list(Robot.objects.order_by("pk"))
    manifest = Manifest(Kind.SCRIPT, "robot.py", {"main": ("python", "robot.py")})
    alike: dict[str, Any] = {"number": 1, "kind": "script", "size": 1}
    alike |= {"manifest": manifest.to_json(), "created_by": user}
    RobotVersion.objects.bulk_create([RobotVersion(robot=each, **alike) for each in robots], _SLICE)
    versions = list(RobotVersion.objects.order_by("pk"))
    RunLimit.objects.bulk_create([RunLimit(space=each, most=0) for each in rooms[1::2]], _SLICE)
    filled = Filled(user, rooms, robots, versions, manifest, lane_of("", ()))
    SpaceShare.objects.bulk_create(
        [SpaceShare(space_id=pk, weight=_WEIGHT) for pk, w in filled.weights.items() if w > 1]
    )
    return filled


def _one_each(filled: Filled, turn: int) -> None:
    """One more run of each robot, as requests would queue it: behind the last one of its space."""
    from executions.choices import Scope, TicketState
    from executions.models import Execution, ExecutionStream, Ticket

    newest = Execution.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    uid = "UUID()" if connection.features.has_native_uuid_field else _hexadecimal()
    _copy(
        filled.run(0),
        {
            "uid": uid,
            "robot_id": "robot.id",
            "version_id": "version.id",
            "space_id": "robot.space_id",
        },
        "FROM robots_robot robot JOIN robots_robotversion version ON version.robot_id = robot.id "
        "ORDER BY robot.id",
    )
    new = f"FROM executions_execution run WHERE run.id > {newest}"
    _copy(ExecutionStream(), {"execution_id": "run.id"}, new)
    held = "limited.id IS NOT NULL"
    begin, end = (
        f"CASE WHEN share.id IS NULL THEN {n * _STRETCH} ELSE {n * (_STRETCH // _WEIGHT)} END"
        for n in (turn, turn + 1)
    )
    _copy(
        Ticket(lane=filled.lane, pool=filled.lane.pool),
        {
            "execution_id": "run.id",
            "robot_id": "run.robot_id",
            "space_id": "run.space_id",
            "state": f"CASE WHEN {held} THEN {TicketState.HELD} ELSE {TicketState.READY} END",
            "held_scope": f"CASE WHEN {held} THEN {Scope.SPACE} END",
            "held_by": f"CASE WHEN {held} THEN run.space_id END",
            "turn": begin,
            "turn_end": end,
        },
        "FROM executions_execution run "
        "LEFT JOIN executions_runlimit limited ON limited.space_id = run.space_id "
        "LEFT JOIN executions_spaceshare share ON share.space_id = run.space_id "
        f"WHERE run.id > {newest} ORDER BY run.id",
    )


def _hexadecimal() -> str:
    return (
        "REPLACE(UUID(), '-', '')" if connection.vendor == "mysql" else "LOWER(HEX(RANDOMBLOB(16)))"
    )


def _copy(example: models.Model, differing: Mapping[str, str], source: str) -> None:
    """Insert rows that are as `example`, but for columns that are SQL of their own."""
    columns = {
        field.column: field.get_db_prep_save(getattr(example, field.attname), connection)
        for field in example._meta.concrete_fields
        if field.column not in differing and field.column != "id"
    }
    names = ", ".join([*differing, *columns])
    marks = ", ".join([*differing.values(), *["%s"] * len(columns)])
    table = example._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({names}) SELECT {marks} {source}", [*columns.values()]
        )
