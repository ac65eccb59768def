"""Enterprises and their members over REST."""

from collections.abc import Collection, Iterable
from typing import Any

import django_filters
from django.db.models import OuterRef, QuerySet, Subquery
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from accounts.actors import Actor, actor_of
from accounts.addresses import LOCATION, ByNumber, created
from accounts.filters import SwitchFilter, number_asked
from accounts.refusals import NotFound
from accounts.validation import checked
from enterprises import services
from enterprises.access import (
    enterprises_allowing,
    permissions_in_enterprise,
    require_in_enterprise,
)
from enterprises.models import Enterprise, EnterpriseRole, EnterpriseUser, ServiceType
from enterprises.permissions import DEFAULTS


class EnterpriseSerializer(serializers.ModelSerializer[Enterprise]):
    creator = serializers.CharField(source="creator_id", read_only=True)
    expired = serializers.BooleanField(read_only=True)
    role = serializers.IntegerField(
        source="my_role",
        read_only=True,
        allow_null=True,
        help_text="The caller's: 1 officer, 2 governor, 3 staff; null for an operator who is no member.",
    )
    last_visit_time = serializers.DateTimeField(
        source="my_last_visit", read_only=True, allow_null=True, help_text="The caller's."
    )

    class Meta:
        model = Enterprise
        fields = [
            "id",
            "name",
            "logo_url",
            "avatar_url",
            "service_type",
            "creator",
            "expire_time",
            "expired",
            "deleted",
            "create_time",
            "role",
            "last_visit_time",
        ]
        read_only_fields = fields


class NewEnterprise(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=50)
    service_type = serializers.ChoiceField(
        ServiceType.choices, default=ServiceType.TEAM, help_text="1 team, 2 enterprise."
    )
    logo_url = serializers.CharField(max_length=1024, allow_blank=True, default="")
    avatar_url = serializers.CharField(max_length=1024, allow_blank=True, default="")


class EnterpriseChange(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=50, required=False)
    logo_url = serializers.CharField(max_length=1024, allow_blank=True, required=False)
    avatar_url = serializers.CharField(max_length=1024, allow_blank=True, required=False)


class EnterpriseMemberSerializer(serializers.ModelSerializer[EnterpriseUser]):
    user = serializers.CharField(source="user_id", read_only=True, help_text="The user's uid.")
    username = serializers.CharField(source="user.username", read_only=True)

    class Meta:
        model = EnterpriseUser
        fields = ["user", "username", "nickname", "role", "create_time"]
        read_only_fields = fields


class NewEnterpriseRole(serializers.Serializer[Any]):
    role = serializers.ChoiceField(EnterpriseRole.choices, help_text="2 governor, 3 staff.")


class Chosen(serializers.Serializer[Any]):
    user = serializers.CharField(max_length=128, help_text="The uid of a member.")


def answers(allowed: Collection[str], asked: Iterable[str]) -> dict[str, bool]:
    """Each permission, and whether it is among the allowed."""
    return {key: key in allowed for key in sorted(asked)}


def shown_to(enterprises: QuerySet[Enterprise], actor: Actor) -> QuerySet[Any]:
    """With what they are to `actor`."""
    mine = EnterpriseUser.objects.filter(enterprise=OuterRef("pk"), user=actor.user)
    return enterprises.annotate(
        my_role=Subquery(mine.values("role")[:1]),
        my_last_visit=Subquery(mine.values("last_visit_time")[:1]),
    )


class EnterprisesAsked(django_filters.FilterSet):
    """Which enterprises: those that I see, or those that I may restore."""

    deleted = SwitchFilter(help_text="Those that I may restore instead.")

    class Meta:
        model = Enterprise
        fields: list[str] = []

    def filter_queryset(self, queryset: Any) -> Any:
        actor = actor_of(self.request)
        deleted = self.form.cleaned_data["deleted"]
        return shown_to(
            services.restorable_enterprises(actor) if deleted else _visible(actor), actor
        )


def _visible(actor: Actor) -> QuerySet[Enterprise]:
    return enterprises_allowing(actor, "enterprise.view")


class EnterpriseViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ByNumber[Enterprise]):
    """The enterprises that the caller belongs to; all of them for operators."""

    serializer_class = EnterpriseSerializer
    queryset = Enterprise.objects.none()
    filterset_class = EnterprisesAsked

    def get_queryset(self) -> QuerySet[Any]:
        if self.action == "list":
            return Enterprise.objects.none()  # its filters say which
        actor = actor_of(self.request)
        hidden = self.action == "restore"
        found = services.restorable_enterprises(actor) if hidden else _visible(actor)
        return shown_to(found, actor)

    def filter_queryset(self, queryset: Any) -> Any:
        """For the list alone: what a request names by its id is not filtered."""
        return super().filter_queryset(queryset) if self.action == "list" else queryset

    def _shown(self, enterprise: Enterprise) -> Response:
        actor = actor_of(self.request)
        fresh = shown_to(Enterprise.objects.filter(pk=enterprise.pk), actor).get()
        return Response(EnterpriseSerializer(fresh).data)

    @extend_schema(
        request=NewEnterprise, responses={201: EnterpriseSerializer}, parameters=[LOCATION]
    )
    def create(self, request: Request) -> Response:
        """Found an enterprise: the caller becomes its officer."""
        given = checked(NewEnterprise(data=request.data))
        made = services.create_enterprise(by=actor_of(request), **given)
        return created(self._shown(made).data, "enterprise-detail", made.pk)

    @extend_schema(request=EnterpriseChange, responses=EnterpriseSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        enterprise = self.get_object()
        given = checked(EnterpriseChange(data=request.data))
        services.change_enterprise(enterprise, by=actor_of(request), **given)
        return self._shown(enterprise)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Hide it with all that is in it, and cancel the runs that wait there."""
        services.delete_enterprise(self.get_object(), by=actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses=EnterpriseSerializer)
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, pk: str) -> Response:
        """Show a deleted one again, with all that was in it: for its officer, and for operators."""
        return self._shown(services.restore_enterprise(self.get_object(), by=actor_of(request)))

    @extend_schema(request=None, responses={204: None})
    @action(detail=True, methods=["post"])
    def visit(self, request: Request, pk: str) -> Response:
        """Remember that the caller works in it now: see `last_visit_time` and `last/`."""
        services.visit_enterprise(self.get_object(), by=actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(responses=EnterpriseSerializer, filters=False)
    @action(detail=False, pagination_class=None)
    def last(self, request: Request) -> Response:
        """The one that the caller visited last; 404 where there is none."""
        visited = self.get_queryset().exclude(my_last_visit=None).order_by("-my_last_visit", "-pk")
        enterprise = visited.first()
        if enterprise is None:
            raise NotFound(_("Not found."))
        return Response(EnterpriseSerializer(enterprise).data)

    @extend_schema(
        responses=inline_serializer(
            "EnterprisePermissionsOfMine",
            {"permissions": serializers.DictField(child=serializers.BooleanField())},
        ),
        filters=False,
    )
    @action(detail=True, pagination_class=None)
    def permissions(self, request: Request, pk: str) -> Response:
        """What the caller may do in the enterprise, and what not, in one answer."""
        allowed = permissions_in_enterprise(actor_of(request), self.get_object())
        return Response({"permissions": answers(allowed, DEFAULTS)})

    @extend_schema(request=None, responses={204: None})
    @action(detail=True, methods=["post"])
    def leave(self, request: Request, pk: str) -> Response:
        """End the caller's membership, and those in its spaces. The spaces that they owned go to the officer."""
        services.leave_enterprise(self.get_object(), by=actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=Chosen, responses=EnterpriseSerializer)
    @action(detail=True, methods=["post"])
    def transfer(self, request: Request, pk: str) -> Response:
        """Make another member the officer; the officer of before becomes a governor."""
        enterprise = self.get_object()
        uid = checked(Chosen(data=request.data))["user"]
        services.transfer_enterprise(enterprise, uid, by=actor_of(request))
        return self._shown(enterprise)

    @extend_schema(
        responses=EnterpriseMemberSerializer(many=True),
        parameters=[OpenApiParameter("role", type=int, description="Only those of this role.")],
        filters=False,
    )
    @action(detail=True)
    def members(self, request: Request, pk: str) -> Response:
        """The members, newest first."""
        enterprise = self.get_object()
        require_in_enterprise(actor_of(request), "member.list", enterprise=enterprise)
        members: QuerySet[Any] = enterprise.members.select_related("user")
        role = number_asked(request, "role")
        if role is not None:
            members = members.filter(role=role)
        page: Any = self.paginate_queryset(members)
        return self.get_paginated_response(EnterpriseMemberSerializer(page, many=True).data)


class EnterpriseMemberViewSet(GenericViewSet[Any]):
    """One member of an enterprise."""

    queryset = Enterprise.objects.none()
    serializer_class = EnterpriseMemberSerializer

    def get_queryset(self) -> QuerySet[Enterprise]:
        return _visible(actor_of(self.request))

    @extend_schema(request=NewEnterpriseRole, responses=EnterpriseMemberSerializer)
    def partial_update(self, request: Request, pk: int, member: str) -> Response:
        """Give a member another role."""
        enterprise = self.get_object()
        role = EnterpriseRole(int(checked(NewEnterpriseRole(data=request.data))["role"]))
        changed = services.change_member_role(enterprise, member, role, by=actor_of(request))
        return Response(EnterpriseMemberSerializer(changed).data)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: int, member: str) -> Response:
        """End a membership, and those in its spaces. The spaces that they owned go to the officer."""
        services.remove_member(self.get_object(), member, by=actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)
