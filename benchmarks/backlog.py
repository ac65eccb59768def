"""Requests runs of a robot while no server runs. Reads {robot, runs} as JSON from stdin."""

import json
import sys

import django


def main() -> None:
    django.setup()
    from accounts.actors import Actor
    from accounts.models import User
    from executions import services
    from executions.choices import Origin
    from robots.models import Robot

    given = json.load(sys.stdin)
    robot = Robot.objects.select_related("space__enterprise", "enabled_version").get(
        uid=given["robot"]
    )
    by = Actor(User.objects.get(username="alice"))
    for _run in range(given["runs"]):
        services.request_execution(robot=robot, by=by, origin=Origin.COMMAND)


if __name__ == "__main__":
    main()
