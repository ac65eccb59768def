"""The parts of the API's description that no view set gives: what streams, and how anything is refused."""

from typing import Any

#: What an answer may leave out, although only the platform writes it: here, where no version is enabled.
_LEFT_OUT = {"Robot": "parameters", "SharedRobot": "parameters"}
_RUN = "/api/v1/executions/{uid}"
_SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"session": []}]
_PROBLEM = {
    "type": "object",
    "description": "A refusal (RFC 9457). `code` is stable and what programs should look at.",
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "errors": {
            "type": "array",
            "description": "Where the request is wrong, one by one.",
            "items": {
                "type": "object",
                "properties": {"where": {"type": "string"}, "message": {"type": "string"}},
                "required": ["where", "message"],
            },
        },
    },
    "required": ["type", "title", "status", "detail", "code"],
}
_REFUSED = {
    "description": "Refused: the problem says why.",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def describe_all(result: dict[str, Any], **_of_generator: Any) -> dict[str, Any]:
    """A post-processing hook of the description's generator."""
    result["paths"] |= {
        f"{_RUN}/stream": {
            "get": _operation(
                "executions_stream",
                "Every event after the cursor as server-sent events, as they happen, until `end`. A reader "
                "that reconnects with the last `id` misses nothing and gets nothing twice.",
                {
                    "200": _content("text/event-stream", "The events."),
                    "204": {"description": "The run has ended and the reader has everything."},
                },
                _parameter("after", "query", "The cursor: the last sequence number you have."),
                _parameter("Last-Event-ID", "header", "The same, as browsers send it."),
            )
        },
        f"{_RUN}/log/": {
            "get": _operation(
                "executions_log",
                "All that the run has printed so far, as one text.",
                {"200": _content("text/plain", "The log.")},
            )
        },
        f"{_RUN}/artifacts/{{artifact}}/download/": {
            "get": _operation(
                "executions_artifacts_download",
                "One file that the run has left.",
                {
                    "200": _content("application/octet-stream", "The file, of its own type."),
                    "302": {"description": "The file is at `Location`, in the object storage."},
                },
                _id("artifact"),
            )
        },
    }
    components = result.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = _PROBLEM
    components.setdefault("responses", {})["Problem"] = _REFUSED
    for operations in result["paths"].values():
        for operation in operations.values():
            operation["responses"]["default"] = {"$ref": "#/components/responses/Problem"}
    for name, member in _LEFT_OUT.items():
        components["schemas"][name]["required"].remove(member)
    described: dict[str, Any] = _without_choices_of_anything(result)
    return described


def _without_choices_of_anything(node: Any) -> Any:
    """`oneOf` what takes everything and null says that null is wrong, since both take it."""
    if isinstance(node, list):
        return [_without_choices_of_anything(each) for each in node]
    if not isinstance(node, dict):
        return node
    kept = {name: each for name, each in node.items() if name != "oneOf" or {} not in each}
    return {name: _without_choices_of_anything(each) for name, each in kept.items()}


def _operation(
    name: str, description: str, responses: dict[str, Any], *parameters: dict[str, Any]
) -> dict[str, Any]:
    return {
        "operationId": name,
        "description": description,
        "parameters": [_id("uid"), *parameters],
        "tags": ["executions"],
        "security": _SECURITY,
        "responses": responses,
    }


def _content(media_type: str, description: str) -> dict[str, Any]:
    return {"description": description, "content": {media_type: {"schema": {"type": "string"}}}}


def _id(name: str) -> dict[str, Any]:
    schema = {"type": "string", "format": "uuid"}
    return {"in": "path", "name": name, "required": True, "schema": schema}


def _parameter(name: str, place: str, description: str) -> dict[str, Any]:
    return {"in": place, "name": name, "description": description, "schema": {"type": "string"}}
