from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from enterprises.models import Enterprise, EnterpriseUser
from spaces.models import Space, SpaceUser
from tests.pages.conftest import browser, strict

__all__ = ["browser", "strict"]


@dataclass(frozen=True)
class Acme:
    """Orders, a space of Acme: alice's, with bob in both. charlie is a stranger, dora of another enterprise."""

    people: dict[str, User]
    space: Space
    enterprise: Enterprise
    browser: Callable[[str], Client]

    def get(self, who: str, path: str) -> str:
        """What `who` reads there; of what they may not see, the status alone."""
        answer = self.browser(who).get(path, follow=True)
        return answer.content.decode() if answer.status_code == 200 else str(answer.status_code)

    def post(self, who: str, path: str, **fields: Any) -> Any:
        """The answer to a form of `who`, or the page that it leads to."""
        return self.browser(who).post(path, fields, follow=True)

    def said(self, who: str, path: str, **fields: Any) -> tuple[int, str]:
        """The status of that page, and the messages that it shows."""
        answer = self.post(who, path, **fields)
        shown = [] if answer.context is None else answer.context.get("messages") or []
        return answer.status_code, " ".join(map(str, shown))

    def at(self, page: str = "") -> str:
        return f"/enterprises/{self.enterprise.pk}/{page}"

    def inside(self, page: str = "") -> str:
        return f"/spaces/{self.space.pk}/{page}"

    def uid(self, who: str) -> str:
        return self.people[who].uid

    def roles(self) -> dict[str, int]:
        found = EnterpriseUser.objects.filter(enterprise=self.enterprise)
        return dict(found.values_list("user__username", "role"))

    def space_roles(self) -> dict[str, int]:
        found = SpaceUser.objects.filter(space=self.space)
        return dict(found.values_list("user__username", "role"))


@pytest.fixture
def acme(people: dict[str, User], space: Space, browser: Callable[[str], Client]) -> Acme:
    assert space.enterprise is not None
    return Acme(people, space, space.enterprise, browser)
