"""The description of the API: valid, and of the whole API."""

import re
from typing import Any

import pytest
from django.test import Client
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.access.routes import patterns

pytestmark = pytest.mark.django_db
#: The description itself.
UNDESCRIBED = {"/api/v1/schema/", "/api/v1/docs/"}

#: For whoever has the key that is in the address.
OPEN = {"/api/v1/shares/{key}/", "/api/v1/shares/{key}/events/"}


@pytest.fixture
def schema(client: Client) -> dict[str, Any]:
    response = client.get("/api/v1/schema/")
    assert response.status_code == 200
    body: dict[str, Any] = response.json()
    return body


def test_it_is_valid_openapi(schema: dict[str, Any]) -> None:
    assert schema["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(schema).validate()


def test_every_route_is_described(schema: dict[str, Any]) -> None:
    routes = {
        "/" + re.sub(r"\(\?P<(\w+)>[^)]*\)|<\w+:(\w+)>", lambda m: "{%s}" % (m[1] or m[2]), each)
        for each in patterns()
        if each.startswith("api/v1/")
    }
    described = {re.sub(r"\{id\}", "{pk}", each) for each in schema["paths"]}
    assert routes - UNDESCRIBED - described == set()


def test_every_operation_says_what_it_returns_and_who_may_ask(schema: dict[str, Any]) -> None:
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            if method == "parameters":
                continue
            assert operation["responses"], (method, path)
            assert operation["operationId"], (method, path)
            open_to_all = path in OPEN
            assert ({"bearer": []} in operation.get("security", [])) != open_to_all, (method, path)


def test_operation_ids_are_unique(schema: dict[str, Any]) -> None:
    ids = [
        operation["operationId"]
        for operations in schema["paths"].values()
        for operation in operations.values()
    ]
    assert len(ids) == len(set(ids))


def test_the_docs_page_loads_nothing_from_elsewhere(client: Client) -> None:
    response = client.get("/api/v1/docs/")
    assert response.status_code == 200
    assert re.findall(rb'(?:src|href)="(?:https?:)?//', response.content) == []
    assert "default-src 'self'" in response["Content-Security-Policy"]


def test_every_operation_says_how_it_refuses(schema: dict[str, Any]) -> None:
    for operations in schema["paths"].values():
        for operation in operations.values():
            assert operation["responses"]["default"] == {"$ref": "#/components/responses/Problem"}
    refusal = schema["components"]["responses"]["Problem"]["content"]
    assert list(refusal) == ["application/problem+json"]
