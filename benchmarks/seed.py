"""Prints what the benchmark needs of a fresh platform: an API key and the ids of its robots."""

import io
import json
import sys
from pathlib import Path

import django

ROBOTS = Path(__file__).parent / "robots"


def main() -> None:
    django.setup()
    from django.core.management import call_command

    from accounts.actors import Actor
    from accounts.models import User
    from robots.local import publish_path
    from spaces.models import Space

    call_command("migrate", verbosity=0)
    told = io.StringIO()
    call_command("demo", json=True, stdout=told)
    demo = json.loads(told.getvalue())
    space = Space.objects.select_related("enterprise").get(pk=demo["space"]["id"])
    owner = Actor(User.objects.get(username="alice"))
    robots = {
        path.stem: str(publish_path(path, space=space, by=owner)[0].uid)
        for path in sorted(ROBOTS.glob("*.py"))
    }
    sys.stdout.write(json.dumps({"api_key": demo["api_key"], "robots": robots}))


if __name__ == "__main__":
    main()
