"""Demo data: people, an enterprise with a space, the sample robots, an API key. Repeating it changes nothing."""

import json
import secrets
from pathlib import Path
from typing import Any

from django.conf import settings

from accounts.actors import Actor
from accounts.models import ApiKey, User
from audit.recording import recording
from enterprises.models import Enterprise, EnterpriseRole, EnterpriseUser, ServiceType
from robots.local import publish_path
from robots.models import Robot
from spaces.models import Space, SpaceRole, SpaceType, SpaceUser

ENTERPRISE, SPACE = "Demo Enterprise", "Demo Space"
KEY_NAME = "demo"
PEOPLE = {
    "alice": (EnterpriseRole.OFFICER, SpaceRole.OWNER),
    "bob": (EnterpriseRole.STAFF, SpaceRole.MEMBER),
}
EXAMPLES = settings.BASE_DIR / "examples"


def prepare() -> dict[str, Any]:
    """Make what is missing; the answer names it all, passwords and key included.

    They cannot be read back from their hashes, so they are kept in the data folder for the next call.
    """
    with recording():
        return _prepare()


def _prepare() -> dict[str, Any]:
    kept = Path(settings.RPA_DATA_DIR) / "demo.json"
    known: dict[str, str] = json.loads(kept.read_text()) if kept.is_file() else {}
    before = dict(known)
    admin = _person("admin", known, operator=True)
    people = {name: _person(name, known) for name in PEOPLE}
    space = _space(people)
    made = {
        "base_url": settings.RPA_BASE_URL,
        "admin": {"username": admin.username, "password": known["admin"]},
        "users": {name: {"username": name, "password": known[name]} for name in people},
        "api_key": _key(people["alice"], known),
        "space": {"id": space.pk, "name": space.name},
        "robots": {robot.name: str(robot.uid) for robot in _robots(space, Actor(people["alice"]))},
    }
    if known != before:
        kept.touch(mode=0o600)
        kept.write_text(json.dumps(known))
    return made


def _person(name: str, known: dict[str, str], *, operator: bool = False) -> User:
    """The user, whose password is the known one; one that somebody has changed is left alone."""
    user, created = User.objects.get_or_create(
        username=name, defaults={"is_staff": operator, "is_superuser": operator}
    )
    if created or name not in known:
        known[name] = secrets.token_urlsafe(12)
        user.set_password(known[name])
        user.save(update_fields=["password"])
    return user


def _space(people: dict[str, User]) -> Space:
    owner = people["alice"]
    enterprise = Enterprise.objects.filter(name=ENTERPRISE, deleted=False).first()
    if enterprise is None:
        enterprise = Enterprise.objects.create(
            name=ENTERPRISE, creator=owner, service_type=ServiceType.TEAM
        )
    space = Space.objects.filter(name=SPACE, enterprise=enterprise, deleted=False).first()
    if space is None:
        space = Space.objects.create(
            name=SPACE, enterprise=enterprise, creator=owner, type=SpaceType.TEAM
        )
    for name, (enterprise_role, space_role) in PEOPLE.items():
        EnterpriseUser.objects.get_or_create(
            enterprise=enterprise, user=people[name], defaults={"role": enterprise_role}
        )
        SpaceUser.objects.get_or_create(
            space=space, user=people[name], defaults={"role": space_role}
        )
    return space


def _key(user: User, known: dict[str, str]) -> str:
    kept = known.get("api_key", "")
    if not kept or ApiKey.objects.find(kept) is None:
        _row, known["api_key"] = ApiKey.issue(user=user, name=KEY_NAME)
    return known["api_key"]


def _robots(space: Space, owner: Actor) -> list[Robot]:
    samples = [
        each
        for each in sorted(EXAMPLES.iterdir())
        if each.is_dir() or each.suffix in {".py", ".robot"}
    ]
    return [publish_path(each, space=space, by=owner)[0] for each in samples]
