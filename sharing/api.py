"""Shares over REST: making and ending them, and what whoever has the key may read."""

from typing import Any

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from accounts.actors import actor_of
from accounts.addresses import LOCATION, created
from accounts.refusals import NotFound
from accounts.validation import checked, invalid
from executions.api import EVENT_PAGES, ExecutionSerializer, event_page
from executions.models import Execution
from robots.api import ParametersField
from robots.models import Robot
from sharing import services
from sharing.models import Share, ShareType
from sharing.unkept import unkept


class ShareSerializer(serializers.ModelSerializer[Share]):
    key = serializers.CharField(source="share_key", read_only=True)
    type = serializers.IntegerField(
        source="share_type", read_only=True, help_text="10 a robot, 11 an execution."
    )
    active = serializers.BooleanField(source="is_act", read_only=True)

    class Meta:
        model = Share
        fields = ["key", "type", "active", "expire_time", "create_time"]
        read_only_fields = fields


class NewShare(serializers.Serializer[Any]):
    robot = serializers.UUIDField(required=False)
    execution = serializers.UUIDField(required=False)
    days = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=services.MOST_DAYS,
        help_text="How long it lasts; until it is switched off unless given.",
    )


class SharedRobotSerializer(serializers.ModelSerializer[Robot]):
    version = serializers.IntegerField(
        source="enabled_version.number", read_only=True, allow_null=True
    )
    parameters = ParametersField(source="enabled_version.parameters")

    class Meta:
        model = Robot
        fields = ["name", "description", "version", "parameters", "updated_at"]
        read_only_fields = fields


class SharedExecutionSerializer(ExecutionSerializer):
    """An execution, without who asked for it and where."""

    class Meta(ExecutionSerializer.Meta):
        fields = [
            "robot_name",
            "version",
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
            "requested_at",
            "started_at",
            "finished_at",
        ]
        read_only_fields = fields


class SharedSerializer(serializers.Serializer[Any]):
    type = serializers.IntegerField(source="share_type", help_text="10 a robot, 11 an execution.")
    expire_time = serializers.DateTimeField(allow_null=True)
    robot = SharedRobotSerializer(required=False)
    execution = SharedExecutionSerializer(required=False)


class Shares(mixins.ListModelMixin, GenericViewSet[Share]):
    """The caller's shares."""

    serializer_class = ShareSerializer
    queryset = Share.objects.none()

    def get_queryset(self) -> QuerySet[Share]:
        actor = actor_of(self.request)
        if not actor.in_own_scope("share.create"):
            return Share.objects.none()
        return Share.objects.ours().filter(sharer=actor.user)

    @extend_schema(request=NewShare, responses={201: ShareSerializer}, parameters=[LOCATION])
    def create(self, request: Request) -> Response:
        """Share one robot or one execution: whoever has the key may read it."""
        given = checked(NewShare(data=request.data))
        actor = actor_of(request)
        if ("robot" in given) == ("execution" in given):
            raise invalid("body", _("Share one thing: a robot or an execution."))
        what: Robot | Execution
        if "robot" in given:
            robots = Robot.objects.visible_to(actor).select_related("space__enterprise")
            what = get_object_or_404(robots, uid=given["robot"])
        else:
            runs = Execution.objects.visible_to(actor).select_related("space__enterprise")
            what = get_object_or_404(runs, uid=given["execution"])
        made = services.share(what, by=actor, days=given.get("days"))
        return created(ShareSerializer(made).data, "share", made.share_key)

    @extend_schema(request=None)
    def off(self, request: Request, key: str) -> Response:
        """End a share: one's own, or one of a space in which one may share."""
        ended = services.switch_off(services.named(key), by=actor_of(request))
        return Response(ShareSerializer(ended).data)

    @extend_schema(request=None)
    def on(self, request: Request, key: str) -> Response:
        """Let one's own share be read again, under the same key."""
        begun = services.switch_on(services.named(key), by=actor_of(request))
        return Response(ShareSerializer(begun).data)


class Shared(GenericViewSet[Share]):
    """What a share shows, to whoever has its key. Nobody needs to be signed in."""

    authentication_classes = []
    permission_classes = [AllowAny]
    pagination_class = None
    serializer_class = SharedSerializer
    queryset = Share.objects.none()

    def retrieve(self, request: Request, key: str) -> HttpResponseBase:
        """The robot or the execution."""
        found, what = services.shared(key)
        body: dict[str, Any] = {"type": found.share_type, "expire_time": found.expire_time}
        if isinstance(what, Robot):
            body["robot"] = SharedRobotSerializer(what).data
        else:
            body["execution"] = SharedExecutionSerializer(what).data
        return unkept(Response(body))

    @extend_schema(
        parameters=[
            OpenApiParameter("after", description="The cursor: the last sequence number you have."),
            OpenApiParameter("limit", type=int, description="1 to 1000 events."),
        ],
        responses=EVENT_PAGES,
    )
    def events(self, request: Request, key: str) -> HttpResponseBase:
        """A page of the events of a shared execution."""
        found, what = services.shared(key)
        if found.share_type != ShareType.EXECUTION:
            raise NotFound(_("Not found."))
        return unkept(event_page(what.pk, request))
