"""Executions over REST: request, look, follow by page, cancel, run again, fetch what was left."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import django_filters
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.cache import get_conditional_response, patch_cache_control, patch_vary_headers
from django_filters.fields import IsoDateTimeField
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    inline_serializer,
)
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from accounts.actors import actor_of
from accounts.addresses import LOCATION
from accounts.filters import SwitchFilter
from accounts.pagination import size_of_page
from accounts.validation import checked
from executions import services
from executions.choices import FailureReason, Origin, PendingReason, Status
from executions.events import Head, head_of, read_page
from executions.history import History, keys_of
from executions.live import Cursor
from executions.models import Artifact, Execution, robots_watched_by
from executions.waiting import wait_of
from robots.models import Robot
from robots.passwords import masked
from spaces.api import SpaceFilter

_MAX_EVENTS = 1000
_SHOWN_WITH = ("robot", "version", "requested_by", "rerun_of", "space__enterprise")
_ATTEMPTS = ("retry__failed", "retried_as__execution")
_IDEMPOTENCY = OpenApiParameter(
    "Idempotency-Key",
    location=OpenApiParameter.HEADER,
    description="The same key again returns the run of the first request instead of starting another.",
)


class ExecutionSerializer(serializers.ModelSerializer[Execution]):
    id = serializers.UUIDField(source="uid", read_only=True)
    robot = serializers.UUIDField(source="robot.uid", read_only=True)
    robot_name = serializers.CharField(source="robot.name", read_only=True)
    version = serializers.IntegerField(source="version.number", read_only=True)
    requested_by = serializers.CharField(source="requested_by.username", read_only=True)
    rerun_of = serializers.UUIDField(source="rerun_of.uid", read_only=True, allow_null=True)
    params = serializers.SerializerMethodField(help_text="Passwords are masked.")
    pending_reason = serializers.ChoiceField(
        PendingReason.choices, read_only=True, allow_blank=True, help_text="Empty unless it waits."
    )
    failure_reason = serializers.ChoiceField(
        FailureReason.choices, read_only=True, allow_blank=True, help_text="Empty unless it failed."
    )

    class Meta:
        model = Execution
        fields = [
            "id",
            "robot",
            "robot_name",
            "version",
            "space",
            "task",
            "params",
            "status",
            "pending_reason",
            "failure_reason",
            "message",
            "exit_code",
            "result",
            "progress",
            "progress_message",
            "requested_by",
            "requested_at",
            "started_at",
            "finished_at",
            "cancel_requested_at",
            "timeout_seconds",
            "rerun_of",
            "origin",
            "tier",
            "cpu_seconds",
            "memory_peak",
        ]
        read_only_fields = fields

    def get_params(self, execution: Execution) -> dict[str, Any]:
        return masked(execution.version.parameters, execution.params)


class WatchedSerializer(ExecutionSerializer):
    """One execution, with its place among the attempts of what it is to do."""

    attempt = serializers.SerializerMethodField(help_text="1, or which attempt a retry is.")
    retry_of = serializers.SerializerMethodField(help_text="The attempt before, which failed.")
    retried_as = serializers.SerializerMethodField(help_text="The attempt that followed it.")

    class Meta(ExecutionSerializer.Meta):
        fields = [*ExecutionSerializer.Meta.fields, "attempt", "retry_of", "retried_as"]
        read_only_fields = fields

    def get_attempt(self, execution: Execution) -> int:
        return execution.retry.attempt if hasattr(execution, "retry") else 1

    def get_retry_of(self, execution: Execution) -> UUID | None:
        return execution.retry.failed.uid if hasattr(execution, "retry") else None

    def get_retried_as(self, execution: Execution) -> UUID | None:
        follows = hasattr(execution, "retried_as")
        return execution.retried_as.execution.uid if follows else None


#: For the answer to each request: a new serializer would work out all of its fields anew.
_shown, _shown_again = ExecutionSerializer(), WatchedSerializer()
_FIRST_ATTEMPT = {"attempt": 1, "retry_of": None, "retried_as": None}


class NewExecution(serializers.Serializer[Any]):
    robot = serializers.UUIDField()
    params = serializers.DictField(required=False)
    version = serializers.IntegerField(
        required=False, min_value=1, help_text="A version's number; the enabled one unless given."
    )
    task = serializers.CharField(required=False, allow_blank=True, max_length=255)
    timeout = serializers.IntegerField(
        required=False, min_value=1, max_value=86_400, help_text="Time limit in seconds."
    )
    priority = serializers.IntegerField(
        default=0, min_value=-100, max_value=100, help_text="The higher, the earlier it starts."
    )


class Priority(serializers.Serializer[Any]):
    priority = serializers.IntegerField(min_value=-100, max_value=100)


class BlockerSerializer(serializers.Serializer[Any]):
    type = serializers.CharField(source="scope.label", help_text="robot, space, enterprise or pool")
    id = serializers.CharField()
    name = serializers.CharField()
    running = serializers.IntegerField(help_text="How many of its runs have a place now.")
    most = serializers.IntegerField(allow_null=True, help_text="How many may have one.")


class WaitSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField()
    message = serializers.CharField(source="reason.label")
    priority = serializers.IntegerField()
    ahead = serializers.IntegerField(
        help_text="How many come first of those that wait for the same; 1000 is that many or more."
    )
    estimate_seconds = serializers.IntegerField(
        source="estimate", allow_null=True, help_text="About how long it will wait; null: unknown."
    )
    blocked_by = BlockerSerializer(allow_null=True, help_text="What is at its limit.")


class Rerun(serializers.Serializer[Any]):
    params = serializers.DictField(required=False, help_text="Instead of those of the first run.")
    version = serializers.ChoiceField(
        ["same", "enabled"],
        default="same",
        help_text="The version that ran, or the one that is enabled now.",
    )


class ArtifactSerializer(serializers.ModelSerializer[Artifact]):
    id = serializers.UUIDField(source="uid", read_only=True)
    url = serializers.SerializerMethodField()

    class Meta:
        model = Artifact
        fields = ["id", "name", "size", "content_type", "sha256", "created_at", "url"]
        read_only_fields = fields

    def get_url(self, artifact: Artifact) -> str:
        return reverse("artifact-download", args=[artifact.execution.uid, artifact.uid])


class MomentField(IsoDateTimeField):
    """A time whose UTC is a time as well: at the edges of the calendar it may lie beyond them."""

    def to_python(self, value: Any) -> datetime | None:
        moment: datetime | None = super().to_python(value)
        try:
            return moment and moment.astimezone(UTC)
        except OverflowError:
            raise ValidationError(self.error_messages["invalid"], code="invalid") from None


class MomentFilter(django_filters.IsoDateTimeFilter):
    field_class = MomentField


class ExecutionFilter(django_filters.FilterSet):
    space = SpaceFilter()
    status = django_filters.MultipleChoiceFilter(choices=Status.choices)
    robot = django_filters.UUIDFilter(field_name="robot__uid")
    requested_after = MomentFilter(field_name="requested_at", lookup_expr="gte")
    requested_before = MomentFilter(field_name="requested_at", lookup_expr="lt")
    mine = SwitchFilter(field_name="requested_by", help_text="Only those I requested.")

    class Meta:
        model = Execution
        fields: list[str] = []

    def filter_queryset(self, queryset: Any) -> Any:
        """What is asked for as a history, instead of a queryset that is filtered."""
        wanted = self.form.cleaned_data
        actor = actor_of(self.request)
        robots = robots_watched_by(actor)
        if wanted["space"] is not None:
            robots = robots.filter(space__id=wanted["space"])
        if wanted["robot"] is not None:
            robots = robots.filter(uid=wanted["robot"])
        return History(
            rows=Execution.objects.select_related(*_SHOWN_WITH),
            robots=keys_of(robots),
            statuses=wanted["status"],
            requested_by=actor.user if wanted["mine"] else None,
            since=wanted["requested_after"],
            until=wanted["requested_before"],
        )


_EVENT_PAGE = inline_serializer(
    "EventPage",
    {
        "events": serializers.ListField(child=serializers.DictField()),
        "last_seq": serializers.IntegerField(),
        "first_available": serializers.IntegerField(),
        "epoch": serializers.IntegerField(),
        "reset": serializers.BooleanField(),
        "closed": serializers.BooleanField(),
    },
)
#: What `event_page` answers, for the description.
EVENT_PAGES: Any = {
    200: _EVENT_PAGE,
    304: OpenApiResponse(description="The page is the one whose `ETag` came in `If-None-Match`."),
}


class ExecutionViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet[Execution]):
    """Runs of robots."""

    serializer_class = WatchedSerializer
    queryset = Execution.objects.none()
    filterset_class = ExecutionFilter
    lookup_field = "uid"
    lookup_value_converter = "uuid"

    def get_serializer_class(self) -> type[ExecutionSerializer]:
        return ExecutionSerializer if self.action == "list" else WatchedSerializer

    def get_queryset(self) -> QuerySet[Execution]:
        if self.action == "list":
            return Execution.objects.none()  # its filters make it a history
        visible = Execution.objects.visible_to(actor_of(self.request))
        return visible.select_related(*_SHOWN_WITH, *_ATTEMPTS)

    def filter_queryset(self, queryset: Any) -> Any:
        """For the list alone: what a request names by its id is not filtered."""
        return super().filter_queryset(queryset) if self.action == "list" else queryset

    @extend_schema(
        request=NewExecution,
        responses={201: WatchedSerializer, 200: WatchedSerializer},
        parameters=[_IDEMPOTENCY, LOCATION],
    )
    def create(self, request: Request) -> Response:
        """Request a run. Follow it at its `/events/`, its `/stream` or its websocket."""
        given = checked(NewExecution(data=request.data))
        actor = actor_of(request)
        robot = Robot.objects.find_visible_to(actor, given["robot"])
        if robot is None:
            raise Http404
        version = None
        if "version" in given:
            version = get_object_or_404(robot.versions, number=given["version"])
        requested = services.request_execution(
            robot=robot,
            by=actor,
            origin=Origin.API,
            params=given.get("params"),
            version=version,
            task=given.get("task", ""),
            timeout_seconds=given.get("timeout"),
            priority=given["priority"],
            idempotency_key=request.headers.get("Idempotency-Key"),
        )
        return _requested(requested)

    @extend_schema(responses={200: WaitSerializer, 204: None}, filters=False)
    @action(detail=True, pagination_class=None)
    def queue(self, request: Request, uid: UUID) -> Response:
        """Why the run waits, what is before it, and about how long it will be; 204 if it does not wait."""
        wait = wait_of(self.get_object())
        if wait is None:
            return Response(status=status.HTTP_204_NO_CONTENT)
        return Response(WaitSerializer(wait).data)

    @extend_schema(request=Priority, responses={204: None})
    @action(detail=True, methods=["post"])
    def priority(self, request: Request, uid: UUID) -> Response:
        """Let a waiting run wait with another priority."""
        given = checked(Priority(data=request.data))
        services.set_priority(self.get_object(), given["priority"], by=actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses={204: None})
    @action(detail=True, methods=["post"], url_path="run-next")
    def run_next(self, request: Request, uid: UUID) -> Response:
        """Let a waiting run be the next one that starts where it waits."""
        services.run_next(self.get_object(), by=actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses={200: WatchedSerializer, 202: WatchedSerializer})
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, uid: UUID) -> Response:
        """Ask for the end of a run: 200 if it has ended, 202 while its runner stops it."""
        execution = self.get_object()
        ended = services.cancel_execution(execution, by=actor_of(request))
        return Response(
            self.get_serializer(execution).data,
            status=status.HTTP_200_OK if ended else status.HTTP_202_ACCEPTED,
        )

    @extend_schema(
        request=Rerun,
        responses={201: WatchedSerializer, 200: WatchedSerializer},
        parameters=[_IDEMPOTENCY, LOCATION],
    )
    @action(detail=True, methods=["post"])
    def rerun(self, request: Request, uid: UUID) -> Response:
        """Request what ran again: the same version, with the same parameters or with others."""
        given = checked(Rerun(data=request.data))
        requested = services.rerun_execution(
            self.get_object(),
            by=actor_of(request),
            origin=Origin.API,
            params=given.get("params"),
            enabled_version=given["version"] == "enabled",
            idempotency_key=request.headers.get("Idempotency-Key"),
        )
        return _requested(requested)

    @extend_schema(
        parameters=[
            OpenApiParameter("after", description="The cursor: the last sequence number you have."),
            OpenApiParameter("limit", type=int, description=f"1 to {_MAX_EVENTS} events."),
        ],
        responses=EVENT_PAGES,
        filters=False,
    )
    @action(detail=True, pagination_class=None)
    def events(self, request: Request, uid: UUID) -> HttpResponseBase:
        """A page of events after `after`. The stream is complete once `closed` and you have `last_seq`.

        With `reset`, the cursor was not of this stream, and the page is its first one: forget what you have.
        Events before `first_available` are no longer kept. The answer has an `ETag`; that of a closed
        stream may be used again for a minute without asking.
        """
        return event_page(self.get_object().pk, request)

    @extend_schema(responses=ArtifactSerializer(many=True), filters=False)
    @action(detail=True, pagination_class=None)
    def artifacts(self, request: Request, uid: UUID) -> Response:
        """The files that the run has left."""
        found = self.get_object().artifacts.select_related("execution")
        return Response(ArtifactSerializer(found, many=True).data)


def event_page(execution_id: int, request: Request) -> HttpResponseBase:
    cursor = Cursor.parse(request.query_params.get("after", ""))
    count = size_of_page(request.query_params.get("limit", ""), most=_MAX_EVENTS, unless_given=200)
    head = head_of(execution_id)
    etag = f'"{head.epoch}-{head.dropped_seq}-{head.last_seq}-{head.closed:d}-{cursor}-{count}"'
    known = get_conditional_response(request, etag=etag)
    if known is not None:
        return _cacheable(known, etag, head)
    reset = not cursor.is_of(head)
    after = max(0 if reset else cursor.seq, head.dropped_seq)
    frames = read_page(execution_id, after=after, up_to=head.last_seq, size=2**20, count=count)
    if not frames and after < head.last_seq and head_of(execution_id) != head:
        return event_page(execution_id, request)  # retention has removed it meanwhile, and said so
    # The frames are JSON already: joining them spares parsing and writing every line again.
    body = (
        f'{{"events":[{",".join(each.text for each in frames)}],"last_seq":{head.last_seq},'
        f'"first_available":{head.dropped_seq + 1},'
        f'"epoch":{head.epoch},"reset":{json.dumps(reset)},"closed":{json.dumps(head.closed)}}}'
    )
    return _cacheable(HttpResponse(body, content_type="application/json"), etag, head)


def _requested(requested: services.Requested) -> Response:
    execution = requested.execution
    if requested.created:
        body = {**_shown.to_representation(execution), **_FIRST_ATTEMPT}
    else:  # it may have been tried again meanwhile
        body = _shown_again.to_representation(execution)
    code = status.HTTP_201_CREATED if requested.created else status.HTTP_200_OK
    where = reverse("execution-detail", args=[execution.uid])
    return Response(body, status=code, headers={"Location": where})


def _cacheable(answer: HttpResponseBase, etag: str, head: Head) -> HttpResponseBase:
    """Never by others: what a reader may see is the reader's own. A closed stream changes by retention alone."""
    answer["ETag"] = etag
    patch_cache_control(
        answer, private=True, **({"max_age": 60} if head.closed else {"no_cache": True})
    )
    patch_vary_headers(answer, ["Authorization", "Cookie"])
    return answer
