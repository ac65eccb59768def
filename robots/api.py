"""Robots and their versions over REST."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, BinaryIO

import django_filters
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from accounts.actors import actor_of
from accounts.addresses import LOCATION, created
from accounts.validation import checked
from robots import services, uploads
from robots.models import Robot, RobotVersion
from robots.passwords import concealed
from robots.uploads import DirectUpload
from spaces.access import spaces_allowing
from spaces.api import SpaceFilter
from spaces.models import Space


class ParametersField(serializers.JSONField):
    """The schema of what a version takes, without what it says of passwords."""

    def __init__(self, **options: Any) -> None:
        text = (
            "JSON Schema (2020-12) of the parameters; empty takes any object. "
            "Defaults of passwords are not in it."
        )
        super().__init__(read_only=True, help_text=text, **options)

    def to_representation(self, value: Any) -> Any:
        return concealed(value)


class RobotSerializer(serializers.ModelSerializer[Robot]):
    id = serializers.UUIDField(source="uid", read_only=True)
    space_name = serializers.CharField(source="space.name", read_only=True)
    enabled_version = serializers.IntegerField(
        source="enabled_version.number", read_only=True, allow_null=True
    )
    parameters = ParametersField(source="enabled_version.parameters")

    class Meta:
        model = Robot
        fields = [
            "id",
            "name",
            "description",
            "space",
            "space_name",
            "enabled_version",
            "parameters",
            "created_at",
            "updated_at",
        ]
        read_only_fields = fields


class NewRobot(serializers.Serializer[Any]):
    space = serializers.IntegerField(help_text="The id of the space that will own it.")
    name = serializers.CharField(max_length=100)
    description = serializers.CharField(max_length=500, allow_blank=True, default="")


class RobotChange(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=100, required=False)
    description = serializers.CharField(max_length=500, allow_blank=True, required=False)


class VersionSerializer(serializers.ModelSerializer[RobotVersion]):
    robot = serializers.UUIDField(source="robot.uid", read_only=True)
    parameters = ParametersField()
    created_by = serializers.CharField(source="created_by.username", read_only=True)
    enabled = serializers.SerializerMethodField()
    tasks = serializers.SerializerMethodField()
    warnings = serializers.SerializerMethodField()

    class Meta:
        model = RobotVersion
        fields = [
            "robot",
            "number",
            "kind",
            "file_name",
            "digest",
            "size",
            "parameters",
            "tasks",
            "warnings",
            "note",
            "enabled",
            "created_by",
            "created_at",
        ]
        read_only_fields = fields

    def get_enabled(self, version: RobotVersion) -> bool:
        return version.robot.enabled_version_id == version.pk

    def get_tasks(self, version: RobotVersion) -> list[str]:
        return [task["name"] for task in version.manifest["tasks"]]

    def get_warnings(self, version: RobotVersion) -> list[str]:
        return list(version.manifest["warnings"])


class NewVersion(serializers.Serializer[Any]):
    package = serializers.FileField(
        required=False, help_text="A zip with a robot.yaml, a single .py or a single .robot."
    )
    upload = serializers.CharField(
        required=False, max_length=1024, help_text="In place of the package: an upload's token."
    )
    note = serializers.CharField(max_length=500, allow_blank=True, default="")
    enable = serializers.BooleanField(default=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("package" in attrs) == ("upload" in attrs):
            message = _("Send either the package or the token of its upload.")
            raise serializers.ValidationError({"package": [message]})
        return attrs


class NewUpload(serializers.Serializer[Any]):
    file_name = serializers.CharField(max_length=255)


class UploadSerializer(serializers.Serializer[DirectUpload]):
    upload = serializers.CharField(source="token", help_text="Publish with it within an hour.")
    url = serializers.CharField(help_text="Post the form and then `file` here, as multipart.")
    form = serializers.DictField(source="fields", child=serializers.CharField())
    expires_at = serializers.DateTimeField()


class EnabledVersion(serializers.Serializer[Any]):
    version = serializers.IntegerField(
        allow_null=True, help_text="The number to enable; null lets the robot rest."
    )


class RobotFilter(django_filters.FilterSet):
    space = SpaceFilter()
    name = django_filters.CharFilter(max_length=100)
    name__icontains = django_filters.CharFilter(
        field_name="name", lookup_expr="icontains", max_length=100
    )

    class Meta:
        model = Robot
        fields: list[str] = []


class RobotViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet[Robot]):
    """Robots: create, describe, publish versions, enable one of them."""

    serializer_class = RobotSerializer
    queryset = Robot.objects.none()
    lookup_field = "uid"
    lookup_value_converter = "uuid"
    filterset_class = RobotFilter

    def get_queryset(self) -> QuerySet[Robot]:
        visible = Robot.objects.visible_to(actor_of(self.request))
        return visible.select_related("space__enterprise", "enabled_version")

    @extend_schema(request=NewRobot, responses={201: RobotSerializer}, parameters=[LOCATION])
    def create(self, request: Request) -> Response:
        given = checked(NewRobot(data=request.data))
        actor = actor_of(request)
        visible = spaces_allowing(actor, "space.view").select_related("enterprise")
        space: Space = get_object_or_404(visible, pk=given["space"])
        robot = services.create_robot(
            space=space, name=given["name"], description=given["description"], by=actor
        )
        return created(RobotSerializer(robot).data, "api-robot-detail", robot.uid)

    @extend_schema(request=RobotChange, responses=RobotSerializer)
    def partial_update(self, request: Request, uid: str) -> Response:
        robot = self.get_object()
        given = checked(RobotChange(data=request.data))
        services.describe_robot(
            robot,
            by=actor_of(request),
            name=given.get("name"),
            description=given.get("description"),
        )
        return Response(RobotSerializer(robot).data)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, uid: str) -> Response:
        services.delete_robot(self.get_object(), by=actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(methods=["GET"], responses=VersionSerializer(many=True), filters=False)
    @extend_schema(
        methods=["POST"],
        request={"multipart/form-data": NewVersion},
        responses={201: VersionSerializer},
    )
    @action(detail=True, methods=["get", "post"], parser_classes=[MultiPartParser])
    def versions(self, request: Request, uid: str) -> Response:
        """List the published versions, newest first, or publish another one."""
        robot = self.get_object()
        if request.method != "POST":
            published: QuerySet[Any] = robot.versions.select_related("created_by", "robot")
            page: Any = self.paginate_queryset(published)
            return self.get_paginated_response(VersionSerializer(page, many=True).data)
        given = checked(NewVersion(data=request.data))
        actor = actor_of(request)
        source: AbstractContextManager[tuple[BinaryIO, str]]
        if "upload" in given:
            source = uploads.received(given["upload"], robot=robot, by=actor)
        else:
            source = nullcontext((given["package"], given["package"].name))
        with source as (file, file_name):
            version = services.publish_version(
                robot=robot,
                file=file,
                file_name=file_name,
                by=actor,
                note=given["note"],
                enable=given["enable"],
            )
        version.robot = robot
        return Response(VersionSerializer(version).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=NewUpload, responses={201: UploadSerializer})
    @action(detail=True, methods=["post"])
    def uploads(self, request: Request, uid: str) -> Response:
        """Where to store a package by yourself, past the platform; then publish it by its token."""
        given = checked(NewUpload(data=request.data))
        offered = uploads.offer(
            self.get_object(), file_name=given["file_name"], by=actor_of(request)
        )
        return Response(UploadSerializer(offered).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=EnabledVersion, responses=RobotSerializer)
    @action(detail=True, methods=["post"])
    def enable(self, request: Request, uid: str) -> Response:
        """Choose the version that new runs use: a newer one, or an older one to roll back."""
        robot = self.get_object()
        number = checked(EnabledVersion(data=request.data))["version"]
        version = None if number is None else get_object_or_404(robot.versions, number=number)
        services.enable_version(robot, version, by=actor_of(request))
        return Response(RobotSerializer(robot).data)
