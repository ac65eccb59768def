"""The API keys of a space over REST."""

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from accounts.actors import actor_of
from accounts.models import KeyState
from accounts.validation import checked
from spaces import keys
from spaces.access import known_spaces
from spaces.models import Space, SpaceKey


class SpaceKeySerializer(serializers.ModelSerializer[SpaceKey]):
    id = serializers.IntegerField(source="pk", read_only=True)
    name = serializers.CharField(source="key.name", read_only=True)
    prefix = serializers.CharField(
        source="key.prefix", read_only=True, help_text="Its first eight characters."
    )
    scopes = serializers.ListField(
        source="key.scopes", child=serializers.CharField(), read_only=True
    )
    user = serializers.CharField(
        source="key.user.uid", read_only=True, help_text="The uid of who made it: it acts for them."
    )
    username = serializers.CharField(source="key.user.username", read_only=True)
    state = serializers.ChoiceField(KeyState.choices, source="key.state", read_only=True)
    created_at = serializers.DateTimeField(source="key.created_at", read_only=True)
    expires_at = serializers.DateTimeField(source="key.expires_at", read_only=True, allow_null=True)
    revoked_at = serializers.DateTimeField(source="key.revoked_at", read_only=True, allow_null=True)
    last_used_at = serializers.DateTimeField(
        source="key.last_used_at", read_only=True, allow_null=True, help_text="To the minute."
    )

    class Meta:
        model = SpaceKey
        fields = [
            *("id", "name", "prefix", "scopes", "user", "username", "state"),
            *("created_at", "expires_at", "revoked_at", "last_used_at"),
        ]
        read_only_fields = fields


class MadeKeySerializer(SpaceKeySerializer):
    secret = serializers.CharField(
        read_only=True, help_text="The key itself. No other answer has it."
    )

    class Meta(SpaceKeySerializer.Meta):
        fields = [*SpaceKeySerializer.Meta.fields, "secret"]
        read_only_fields = fields


class NewKey(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=100)
    scopes = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        help_text="Permissions of a space. Unless given, all that the caller may do there.",
    )
    days = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=keys.MOST_DAYS,
        help_text="How long it is valid; until it is revoked unless given.",
    )


class SpaceKeys(GenericViewSet[Any]):
    """The API keys of a space: for who may manage them."""

    queryset = Space.objects.none()
    serializer_class = SpaceKeySerializer

    def place(self) -> Space:
        spaces = known_spaces(actor_of(self.request)).select_related("enterprise")
        return get_object_or_404(spaces, pk=self.kwargs["pk"])

    @extend_schema(responses=SpaceKeySerializer(many=True))
    def list(self, request: Request, pk: int) -> Response:
        """All of them, newest first, also those that open nothing any more."""
        page: Any = self.paginate_queryset(keys.keys_of(self.place(), by=actor_of(request)))
        return self.get_paginated_response(SpaceKeySerializer(page, many=True).data)

    @extend_schema(request=NewKey, responses={201: MadeKeySerializer})
    def create(self, request: Request, pk: int) -> Response:
        """Make one. It acts for the caller, in this space alone; this answer alone shows it."""
        space = self.place()
        made, secret = keys.make_key(
            space, by=actor_of(request), **checked(NewKey(data=request.data))
        )
        made.secret = secret  # type: ignore[attr-defined]
        answer = Response(MadeKeySerializer(made).data, status=status.HTTP_201_CREATED)
        answer["Cache-Control"] = "no-store"
        return answer

    @extend_schema(request=None, responses=SpaceKeySerializer)
    def revoke(self, request: Request, pk: int, key: int) -> Response:
        """End one, whoever made it."""
        actor = actor_of(request)
        held = keys.key_to_revoke(self.place(), key, by=actor)
        keys.revoke_key(held, by=actor)
        return Response(SpaceKeySerializer(held).data)
