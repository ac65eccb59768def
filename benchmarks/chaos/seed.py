"""Prints what the chaos needs of a fresh platform: an API key and the ids of its robots."""

import io
import json
import sys

import django


def main() -> None:
    django.setup()
    from django.core.management import call_command

    from accounts.actors import Actor
    from accounts.models import User
    from benchmarks.chaos import robots
    from robots import services
    from spaces.models import Space

    call_command("migrate", verbosity=0)
    told = io.StringIO()
    call_command("demo", json=True, stdout=told)
    demo = json.loads(told.getvalue())
    made = {
        name: services.create_and_publish(
            space=Space.objects.get(pk=demo["space"]["id"]),
            name=name,
            file=io.BytesIO(source.encode()),
            file_name="robot.py",
            by=Actor(User.objects.get(username="alice")),
        )[0]
        for name, source in {
            "counter": robots.COUNTER,
            "holder": robots.HOLDER,
            "noop": "pass\n",
        }.items()
    }
    ids = {name: str(robot.uid) for name, robot in made.items()}
    sys.stdout.write(json.dumps({"api_key": demo["api_key"], "robots": ids}))


if __name__ == "__main__":
    main()
