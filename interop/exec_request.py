"""Reading the body of `POST /rpa/v1/exec` as AstronAgent's own server does, to the letter of its errors.

That server is FastAPI with pydantic: a bad request is answered 422 with `{"detail": [{type, loc, msg,
input, ctx?}]}`. pydantic itself finds and words the errors here too.
"""

import json
import math
from typing import Any

from pydantic import BaseModel, ValidationError


class ExecRequest(BaseModel):
    """What AstronAgent's workflow nodes send; keys that it does not name are ignored."""

    sid: str | None = ""
    project_id: str
    version: int | None = None
    phone_number: str | None = None
    exec_position: str | None = "EXECUTOR"
    params: dict[Any, Any] | None = None
    #: Ours: events before the final answer, as `Accept: text/event-stream; progress=1` asks for too.
    progress: bool | None = False


class Unprocessable(Exception):
    """The request is refused with 422 and these details."""

    def __init__(self, details: list[dict[str, Any]]) -> None:
        super().__init__(details)
        self.details = details


class Unreadable(Exception):
    """The body is no text at all: 400."""


def read_request(body: bytes, content_type: str, authorization: str | None) -> ExecRequest:
    """The request, or Unprocessable with every fault that it has, the header's first."""
    value = _value(body, content_type)
    details: list[dict[str, Any]] = []
    if authorization is None:
        details.append(_missing(["header", "Authorization"]))
    if value is None:
        raise Unprocessable([*details, _missing(["body"])])
    try:
        request = ExecRequest.model_validate(value, from_attributes=True)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False)
        details += [
            {
                "type": each["type"],
                "loc": ["body", *each["loc"]],
                "msg": each["msg"],
                "input": each["input"],
            }
            for each in faults
        ]
    if details:
        raise Unprocessable(details)
    return request


def _value(body: bytes, content_type: str) -> Any:
    if not body:
        return None
    kind = content_type.partition(";")[0].strip().lower()
    if kind and kind != "application/json" and not kind.endswith("+json"):
        return body.decode("utf-8", "replace")
    try:
        return json.loads(body, parse_constant=_refuse_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise Unprocessable(
            [
                {
                    "type": "json_invalid",
                    "loc": ["body", error.pos],
                    "msg": "JSON decode error",
                    "input": {},
                    "ctx": {"error": error.msg},
                }
            ]
        ) from None
    except (UnicodeDecodeError, RecursionError):
        raise Unreadable from None
    except ValueError as error:
        raise Unprocessable(
            [{"type": "json_invalid", "loc": ["body", 0], "msg": str(error), "input": {}}]
        ) from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:20]} is too large a number")
    return value


def _missing(location: list[str]) -> dict[str, Any]:
    return {"type": "missing", "loc": location, "msg": "Field required", "input": None}
