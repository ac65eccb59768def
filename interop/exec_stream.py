"""The run-a-robot stream of AstronAgent, `/rpa/v1`: its workflow nodes call robots here, unchanged.

Their client reads every `data:` line as a final answer, ignores the HTTP status, and takes an empty
stream for success: so whatever happens after the request is readable, exactly one `data:` event is
sent, and then the stream ends. Their reader's buffer bounds a line at 128 KiB.
"""

import asyncio
import hashlib
import json
import logging
import math
import re
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils import timezone, translation
from django.views.decorators.csrf import csrf_exempt

from accounts.actors import Actor
from accounts.authentication import actor_of_header
from accounts.databases import is_away
from accounts.models import User
from accounts.refusals import Invalid, Refused
from audit.middleware import scene_of
from audit.recording import attempt
from audit.scenes import Scene, scene
from executions import services
from executions.choices import Origin, Status
from executions.frames import one_line
from executions.lifecycle import WrongMoment
from executions.live import Beat, Cursor, Delivery, End, Reset, follow
from executions.models import Execution, Pool
from executions.streams import streaming
from executions.wire import as_sse
from interop.exec_request import ExecRequest, Unprocessable, Unreadable, read_request
from robots.models import Robot

logger = logging.getLogger(__name__)

SUCCESS, FAILURE, CREATE_ERROR, QUERY_ERROR, TIMEOUT, UNKNOWN = (
    0,
    55000,
    55001,
    55002,
    55003,
    55999,
)
MAX_LINE = 128 * 1024
#: How long after its end a run is still joined by a repeated `sid`.
JOIN_WINDOW = timedelta(minutes=10)
#: How far the clocks of two servers may be apart: one has taken the request, another has given up.
_SKEW = timedelta(seconds=1)
_ANYWHERE = "EXECUTOR"
#: How many pools a refusal names.
_MOST_NAMED = 20


@dataclass(frozen=True)
class Place:
    """The last event that a caller has, through all attempts: `17`, `1:17`, or `2.17` of the second attempt."""

    attempt: int
    cursor: Cursor

    @classmethod
    def parse(cls, text: str) -> "Place":
        """Of a Last-Event-ID; anything else raises Invalid."""
        later = re.fullmatch(r"([1-9][0-9]{0,2})\.(.+)", text.strip())
        if later is None:
            return cls(1, Cursor.parse(text))
        return cls(int(later[1]), Cursor.parse(later[2]))


@dataclass(frozen=True)
class Answer:
    """The final event."""

    code: int
    message: str
    data: dict[str, Any] | None = None


class CreateError(Exception):
    """The run could not be created; the text is the caller's only explanation."""


class _Unseen(CreateError):
    """The key opens nothing, or not this: the audit hears of it."""

    status = HTTPStatus.NOT_FOUND
    code = "not_found"


def _english() -> translation.override:
    """This wire is read by programs: its words depend on no header, cookie or setting."""
    return translation.override("en")


@csrf_exempt
def ping(request: HttpRequest) -> HttpResponse:
    if request.method != "GET":
        return _not_allowed("GET")
    return HttpResponse('"pong"', content_type="application/json")


@csrf_exempt
async def execute(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """Run a robot and stream until its end. Needs no session: the API key is in the header."""
    if request.method != "POST":
        return _not_allowed("POST")
    authorization = request.headers.get("Authorization")
    content_type = request.headers.get("Content-Type", "")
    try:
        wanted = read_request(request.body, content_type, authorization)
        with _english():
            place = Place.parse(request.headers.get("Last-Event-ID", ""))
    except Unprocessable as error:
        return _json({"detail": error.details}, HTTPStatus.UNPROCESSABLE_ENTITY)
    except RequestDataTooBig:
        return _event_stream(_too_large())
    except Unreadable:
        detail = "There was an error parsing the body"
        return _json({"detail": detail}, HTTPStatus.BAD_REQUEST)
    except Invalid as error:
        fault = {"type": "value_error", "loc": ["header", "Last-Event-ID"], "msg": str(error)}
        return _json({"detail": [fault]}, HTTPStatus.UNPROCESSABLE_ENTITY)
    progress = bool(wanted.progress) or "progress=1" in request.headers.get("Accept", "").replace(
        " ", ""
    )
    return _event_stream(
        _stream(wanted, authorization or "", place, scene_of(request), progress=progress)
    )


def _event_stream(body: AsyncIterator[bytes]) -> StreamingHttpResponse:
    return streaming(body, "text/event-stream; charset=utf-8")


def _not_allowed(allowed: str) -> HttpResponse:
    response = _json({"detail": "Method Not Allowed"}, HTTPStatus.METHOD_NOT_ALLOWED)
    response["Allow"] = allowed
    return response


def _json(body: Any, status: HTTPStatus) -> HttpResponse:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return HttpResponse(
        text.encode("utf-8", "replace"), status=status, content_type="application/json"
    )


async def _too_large() -> AsyncIterator[bytes]:
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    text = f"Create task error, detail: The request has more than {limit} bytes."
    yield _final(Answer(CREATE_ERROR, text), _new_sid())


async def _stream(
    wanted: ExecRequest, authorization: str, after: Place, opened: Scene, *, progress: bool
) -> AsyncIterator[bytes]:
    sid = wanted.sid or _new_sid()
    try:
        execution = await _joined_or_created(wanted, sid, authorization, opened)
    except (CreateError, Refused) as error:
        yield _final(Answer(CREATE_ERROR, f"Create task error, detail: {error}"), sid)
        return
    except Exception as error:
        logger.exception("exec %s", sid)
        if is_away(error):
            text = "Create task error, detail: The database does not answer. Try again in a moment."
            yield _final(Answer(CREATE_ERROR, text), sid)
            return
        yield _final(Answer(UNKNOWN, "Unknown error"), sid)
        return
    try:
        async with aclosing(_until_end(execution, after, sid, progress=progress)) as chunks:
            async for chunk in chunks:
                yield chunk
    except Exception:
        logger.exception("exec %s of execution %s", sid, execution.pk)
        yield _final(Answer(UNKNOWN, "Unknown error"), sid)


def _trace_of(sid: str) -> str:
    """What is kept of a sid, by which its run is found again: no database has lone surrogates."""
    return sid.encode("utf-8", "replace").decode()[:128]


def _new_sid() -> str:
    return f"rpa{uuid.uuid4().hex}"


@dataclass
class _Watch:
    """What one caller waits for, through all attempts of a run."""

    sid: str
    after: Place
    progress: bool
    deadline: float
    ping_at: float


async def _until_end(
    execution: Execution, after: Place, sid: str, *, progress: bool
) -> AsyncGenerator[bytes]:
    """Pings, the events in between if asked for, and the final event: that of the last attempt."""
    now = asyncio.get_running_loop().time()
    age = (timezone.now() - execution.requested_at).total_seconds()
    watch = _Watch(
        sid, after, progress, now + settings.RPA_TIMEOUT - age, now + settings.RPA_PING_INTERVAL
    )
    attempt, current = 1, execution
    while True:
        known = attempt < after.attempt and await _successor_of(current)
        if not known:
            try:
                async with aclosing(_one_attempt(current, attempt, watch)) as chunks:
                    async for chunk in chunks:
                        yield chunk
            except TimeoutError:
                yield _final(Answer(TIMEOUT, "Timeout error"), sid)
                return
        successor = known or await _successor_of(current)
        if successor is None:
            break
        attempt, current = attempt + 1, successor
    yield _final(await _answer_of(current, asked_at=execution.requested_at), sid)


async def _one_attempt(execution: Execution, attempt: int, watch: _Watch) -> AsyncGenerator[bytes]:
    """Everything until the end of this attempt; TimeoutError where the caller has waited for long enough."""
    loop = asyncio.get_running_loop()
    after = watch.after.cursor if attempt == watch.after.attempt else Cursor()
    epoch = after.epoch
    deliveries = follow(execution.pk, after)
    coming = asyncio.ensure_future(anext(deliveries))
    try:
        while True:
            patience = max(0.0, min(watch.ping_at, watch.deadline) - loop.time())
            arrived, _waiting = await asyncio.wait({coming}, timeout=patience)
            if arrived:
                delivery = coming.result()
                if isinstance(delivery, End):
                    return
                if isinstance(delivery, Reset):
                    epoch = delivery.epoch
                if watch.progress and (events := _progress(delivery, epoch, attempt)):
                    yield events
                coming = asyncio.ensure_future(anext(deliveries))
            if loop.time() >= watch.deadline:
                if not await _has_ended(execution):
                    raise TimeoutError
                watch.deadline = math.inf  # its own end is on the way here
            if loop.time() >= watch.ping_at:
                watch.ping_at = loop.time() + settings.RPA_PING_INTERVAL
                yield f": ping - {datetime.now(UTC)}\r\n\r\n".encode()
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
        await deliveries.aclose()


@sync_to_async
def _successor_of(execution: Execution) -> Execution | None:
    return Execution.objects.filter(retry__failed=execution).first()


@sync_to_async
def _joined_or_created(
    wanted: ExecRequest, sid: str, authorization: str, opened: Scene
) -> Execution:
    with _english(), scene(opened), attempt("execution.run", project_id=wanted.project_id[:64]):
        return _found_or_requested(wanted, sid, authorization)


def _found_or_requested(wanted: ExecRequest, sid: str, authorization: str) -> Execution:
    actor = actor_of_header(authorization)
    if actor is None:
        raise _Unseen("The API key is unknown, expired or revoked.")
    robot = _robot(wanted.project_id, actor)
    pool = _pool(wanted.exec_position or _ANYWHERE)
    version = None
    if wanted.version is not None:
        version = robot.versions.filter(number=wanted.version).first()
        if version is None:
            raise CreateError(f"Robot {wanted.project_id} has no version {wanted.version}.")
    earlier = _earlier(wanted, actor.user) if wanted.sid else None
    # Whose key may not run robots gets no results of runs either, not even of their own.
    if earlier is not None and _joinable(earlier) and actor.in_scope("execution.run"):
        return earlier
    # A repeated sid finds this run by its key; once the window has passed, the key names a successor.
    chain = f"{_fingerprint(wanted)}:{earlier.pk if earlier else 0}" if wanted.sid else None
    return services.request_execution(
        robot=robot,
        by=actor,
        origin=Origin.STREAM,
        params=wanted.params,
        version=version,
        idempotency_key=chain,
        trace_id=_trace_of(sid),
        pool=pool,
    ).execution


def _pool(position: str) -> str:
    """The pool of that name; empty leaves it to the robot. A run waits for any runner there, as for its own."""
    if position == _ANYWHERE:
        return ""
    there = list(Pool.objects.values_list("name", flat=True))
    if position not in there:
        # Compared here: no database has lone surrogates, and some take capitals for small letters.
        names = ", ".join([_ANYWHERE, *there[:_MOST_NAMED]])
        raise CreateError(f"There is no executor or pool named {position}. There are: {names}.")
    return position


def _robot(project_id: str, actor: Actor) -> Robot:
    try:
        uid = uuid.UUID(project_id)
    except ValueError:
        uid = uuid.UUID(int=0)
    robot = Robot.objects.find_visible_to(actor, uid)
    if robot is None:
        raise _Unseen(f"There is no robot with project_id {project_id}.")
    return robot


def _earlier(wanted: ExecRequest, user: User) -> Execution | None:
    """The newest run of this very request. The nodes of one workflow share a sid: it alone is no name."""
    prefix = f"{_fingerprint(wanted)}:"
    mine = Execution.objects.filter(requested_by=user, trace_id=_trace_of(wanted.sid or ""))
    return mine.filter(idempotency_key__startswith=prefix).order_by("-pk").first()


def _fingerprint(wanted: ExecRequest) -> str:
    named = wanted.model_dump(exclude={"progress"})
    text = json.dumps(named, sort_keys=True, default=str)
    return "sid:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _joinable(execution: Execution) -> bool:
    while (successor := Execution.objects.filter(retry__failed=execution).first()) is not None:
        execution = successor  # at most as many as a robot may ask for
    return execution.finished_at is None or timezone.now() - execution.finished_at < JOIN_WINDOW


@sync_to_async
def _has_ended(execution: Execution) -> bool:
    """Whether the run was over in time after all; otherwise its caller gives up, and it is cancelled."""
    if settings.RPA_TIMEOUT_CANCELS:
        try:
            services.abandon_execution(execution)
        except WrongMoment:
            return True
        return False
    execution.refresh_from_db()
    return execution.is_terminal


@sync_to_async
def _answer_of(execution: Execution, *, asked_at: datetime) -> Answer:
    execution.refresh_from_db()
    if execution.status == Status.CANCELLED:
        if _was_given_up(execution, asked_at):
            return Answer(TIMEOUT, "Timeout error")
        return Answer(QUERY_ERROR, "Query task error: cancelled")
    if execution.status != Status.COMPLETED:
        with _english():
            why = execution.message or str(execution.get_failure_reason_display())
        return Answer(QUERY_ERROR, f"Query task error: {why}")
    result = execution.result
    if result is None or isinstance(result, dict):
        return Answer(SUCCESS, "Success", result)
    return Answer(SUCCESS, "Success", {"result": result})


def _was_given_up(execution: Execution, asked_at: datetime) -> bool:
    """Whether nobody has cancelled it but the platform, since its caller had waited for long enough.

    Whoever repeats the call, or waits beside the caller that was the first to give up, is told the same.
    """
    at = execution.cancel_requested_at
    if at is None:  # it had not started, and ended at once
        by_somebody, at = execution.message.startswith("Cancelled by "), execution.finished_at
    else:
        by_somebody = execution.cancel_requested_by_id is not None
    patience = timedelta(seconds=settings.RPA_TIMEOUT) - _SKEW
    return not by_somebody and at is not None and at - asked_at >= patience


def _progress(delivery: Delivery, epoch: int, attempt: int) -> bytes:
    """The delivery as server-sent events; of a quiet moment nothing, because pings say that already."""
    if isinstance(delivery, Beat):
        return b""
    told = as_sse(delivery, epoch)
    if attempt > 1:
        told = told.replace(b"\nid: ", f"\nid: {attempt}.".encode())
    return told.replace(b"\n", b"\r\n")


def _final(answer: Answer, sid: str) -> bytes:
    body = {"code": answer.code, "message": answer.message, "sid": sid, "data": answer.data}
    line = b"data: " + _one_line(body)
    if len(line) + 2 > MAX_LINE:
        message = (
            f"Failure: the result has {len(line)} bytes, and a line of this stream at most "
            f"{MAX_LINE}. Fetch it from the execution instead."
        )
        body = {"code": FAILURE, "message": message, "sid": sid[:1000], "data": None}
        line = b"data: " + _one_line(body)
    return line + b"\r\n\r\n"


def _one_line(value: dict[str, Any]) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return one_line(text).encode("utf-8", "replace")
