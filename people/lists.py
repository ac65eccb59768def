"""What pages with a list have in common."""

from typing import Any

from django.http import HttpRequest

from accounts.pagination import Page

#: Databases refuse to look for much more.
_LONGEST_SEARCH = 100


def searched(request: HttpRequest) -> str:
    return request.GET.get("q", "").strip()[:_LONGEST_SEARCH]


def listed(found: Page[Any]) -> dict[str, Any]:
    """What the templates of a list and of its pager ask for."""
    return {"page": found.items, "next_url": found.next_url, "prev_url": found.prev_url}
