"""The enterprise of these tests, and short ways to ask it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rest_framework.test import APIClient

from accounts.actors import Actor
from accounts.models import User
from enterprises.models import Enterprise, EnterpriseUser
from spaces.models import Space, SpaceUser


@dataclass(frozen=True)
class Firm:
    people: dict[str, User]
    enterprise: Enterprise
    space: Space
    api: Callable[[User | None], APIClient]

    def actor(self, who: str) -> Actor:
        return Actor(self.people[who])

    def uid(self, who: str) -> str:
        return self.people[who].uid

    def at(self, path: str = "") -> str:
        """An address in the enterprise."""
        return f"/api/v1/enterprises/{self.enterprise.pk}/{path}"

    def in_space(self, path: str = "", space: Space | None = None) -> str:
        return f"/api/v1/spaces/{(space or self.space).pk}/{path}"

    def ask(self, who: str, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """The answer to `who`."""
        client = self.api(self.people[who])
        return getattr(client, method)(path, body, **({"format": "json"} | more))

    def said(self, who: str, method: str, path: str, body: Any = None) -> str:
        """The status of the answer, with the problem's code where it is one."""
        answer = self.ask(who, method, path, body)
        code = answer.json().get("code", "") if answer.status_code >= 400 else ""
        return f"{answer.status_code} {code}".strip()

    def roles(self) -> dict[str, int]:
        return dict(
            EnterpriseUser.objects.filter(enterprise=self.enterprise).values_list(
                "user__username", "role"
            )
        )

    def space_roles(self, space: Space | None = None) -> dict[str, int]:
        members = SpaceUser.objects.filter(space=space or self.space)
        return dict(members.values_list("user__username", "role"))
