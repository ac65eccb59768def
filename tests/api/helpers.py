"""What the tests of the REST API share."""

from collections.abc import Iterator
from typing import Any

from rest_framework.test import APIClient

PROBLEM = "application/problem+json"


def problem_of(response: Any, status: int, code: str) -> dict[str, Any]:
    """The problem that `response` is; fails where RFC 9457 or our own promise is not kept."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == PROBLEM
    body: dict[str, Any] = response.json()
    assert body["type"] == f"urn:rpa-platform:problem:{body['code']}"
    assert body["status"] == status
    assert body["code"] == code
    assert isinstance(body["title"], str)
    assert body["title"]
    assert isinstance(body["detail"], str)
    assert body["detail"]
    for each in body.get("errors", []):
        assert set(each) == {"where", "message"}
        assert each["message"]
    return body


def wheres(body: dict[str, Any]) -> list[str]:
    return [each["where"] for each in body["errors"]]


def pages(client: APIClient, path: str, **query: Any) -> Iterator[list[dict[str, Any]]]:
    """Every page of a list, one after the other, by the `next` of each."""
    response = client.get(path, query)
    while True:
        assert response.status_code == 200, response.content
        body = response.json()
        yield body["results"]
        if body["next"] is None:
            return
        response = client.get(body["next"])
