"""Server-sent events of one execution, and its log as plain text. Plain Django: they stream."""

import json
import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from functools import wraps
from http import HTTPStatus
from io import BytesIO
from typing import IO, Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.core.files.storage import default_storage
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from accounts.actors import Actor
from accounts.authentication import actor_of_session, identify
from accounts.problems import answer, refused
from accounts.refusals import Invalid, Unavailable
from executions.events import Head, head_of, read_page
from executions.live import Cursor, Reset, follow
from executions.models import Artifact, Execution
from executions.wire import as_sse
from resources.storage import objects

logger = logging.getLogger(__name__)

_CHUNK = 256 * 1024
_View = Callable[..., Coroutine[Any, Any, HttpResponse | StreamingHttpResponse]]


def _reading(view: _View) -> _View:
    """A view that is only read. A HEAD gets the head alone; other methods a problem, as in the API."""

    @csrf_exempt
    @wraps(view)
    async def guarded(
        request: HttpRequest, *args: Any, **named: Any
    ) -> HttpResponse | StreamingHttpResponse:
        if request.method not in ("GET", "HEAD"):
            message = _("Method %(method)s is not allowed here.") % {"method": request.method}
            refusal = answer(HTTPStatus.METHOD_NOT_ALLOWED, message, code="method_not_allowed")
            refusal["Allow"] = "GET, HEAD"
            return refusal
        response = await view(request, *args, **named)
        if request.method == "HEAD" and isinstance(response, StreamingHttpResponse):
            response.streaming_content = _Pieces(BytesIO())
        return response

    return guarded


class _Pieces:
    """A file of storage, piece by piece. The response closes it, whether it was read or not."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await sync_to_async(self._file.read)(_CHUNK):
            yield piece

    def close(self) -> None:
        self._file.close()


@_reading
async def event_stream(request: HttpRequest, uid: UUID) -> HttpResponse | StreamingHttpResponse:
    """The events after `?after=` or `Last-Event-ID` as server-sent events, ending with `end`.

    A reader that already has everything of an ended run gets 204, which tells an EventSource to stop.
    """
    found = await _open(request, uid)
    if isinstance(found, HttpResponse):
        return found
    execution_id, head = found
    try:
        cursor = Cursor.parse(
            request.headers.get("Last-Event-ID", "") or request.GET.get("after", "")
        )
    except Invalid as error:
        return refused(error)
    if head.closed and cursor == Cursor(head.last_seq, head.epoch):
        return HttpResponse(status=204)

    async def still_allowed() -> bool:
        return not isinstance(await _open(request, uid), HttpResponse)

    async def body() -> AsyncIterator[bytes]:
        epoch = cursor.epoch
        try:
            async with aclosing(follow(execution_id, cursor, allowed=still_allowed)) as deliveries:
                async for delivery in deliveries:
                    if isinstance(delivery, Reset):
                        epoch = delivery.epoch
                    yield as_sse(delivery, epoch)
        except Exception:
            # Whatever it is, of the database or the storage. Without `end`, this end has every client come again with what it has; an error would not.
            logger.exception("Execution %s can no longer be followed", execution_id)

    return streaming(body(), "text/event-stream; charset=utf-8")


@_reading
async def log_text(request: HttpRequest, uid: UUID) -> HttpResponse | StreamingHttpResponse:
    """All that the run has printed so far, as one text file.

    What is no longer kept is said in its place. What is missing for another reason breaks the answer off.
    """
    found = await _open(request, uid)
    if isinstance(found, HttpResponse):
        return found
    execution_id, head = found
    no_longer_kept = _("[Events %(first)d to %(last)d are no longer kept.]")

    async def body() -> AsyncIterator[bytes]:
        after, gone = 0, head.dropped_seq
        while after < head.last_seq:
            if after < gone:
                yield (no_longer_kept % {"first": after + 1, "last": gone} + "\n").encode()
                after = gone
                continue
            frames = await sync_to_async(read_page)(
                execution_id, after=after, up_to=head.last_seq, size=2**18
            )
            if not frames:
                gone = (await sync_to_async(head_of)(execution_id)).dropped_seq
                if gone <= after:
                    raise LookupError(f"Execution {execution_id} has no event {after + 1}.")
                continue
            after = frames[-1].seq
            events = (json.loads(each.text)["data"] for each in frames if each.kind == "log")
            lines = [line for data in events for line in data["lines"]]
            if lines:
                yield ("\n".join(lines) + "\n").encode()

    response = streaming(body(), "text/plain; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{uid}.log"'
    return response


@_reading
async def artifact_download(
    request: HttpRequest, uid: UUID, artifact: UUID
) -> HttpResponse | StreamingHttpResponse:
    """One file of a run, as an attachment that no browser runs."""
    found = await _open(request, uid)
    if isinstance(found, HttpResponse):
        return found
    kept = await Artifact.objects.filter(execution=found[0], uid=artifact).afirst()
    if kept is None:
        return answer(404, _("Not found."), code="not_found")
    file_name = kept.name.rsplit("/", 1)[-1]
    address = objects().download_address(
        kept.storage_key, file_name=file_name, content_type=kept.content_type
    )
    if address is not None:
        return HttpResponseRedirect(address, headers={"Cache-Control": "no-store"})
    try:
        file = await sync_to_async(default_storage.open)(kept.storage_key)
    except FileNotFoundError:
        message = _("The file is no longer in storage.")
        return answer(404, message, code="artifact_gone")
    except Unavailable as error:
        return refused(error)

    response = streaming(_Pieces(file), kept.content_type)
    name = content_disposition_header(as_attachment=True, filename=file_name)
    response["Content-Disposition"] = name or "attachment"
    response["Content-Length"] = str(kept.size)
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response


def streaming(body: AsyncIterable[bytes], content_type: str) -> StreamingHttpResponse:
    """A response that proxies pass on at once and nobody keeps."""
    return StreamingHttpResponse(
        body,
        content_type=content_type,
        headers={"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"},
    )


def _actor(request: HttpRequest) -> Actor | None:
    """Who asks, as of now: of a session that has ended meanwhile the request itself knows nothing."""
    if request.headers.get("Authorization"):
        return identify(request)
    return actor_of_session(request.session.session_key)


@sync_to_async
def _open(request: HttpRequest, uid: UUID) -> tuple[int, Head] | HttpResponse:
    try:
        actor = _actor(request)
    except Unavailable as error:
        return refused(error)
    if actor is None:
        return answer(401, _("Sign in, or send an API key."), code="not_authenticated")
    execution = Execution.objects.visible_to(actor).filter(uid=uid).only("pk").first()
    if execution is None:
        return answer(404, _("Not found."), code="not_found")
    return execution.pk, head_of(execution.pk)
