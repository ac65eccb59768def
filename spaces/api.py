"""Spaces and their members over REST; how one becomes a member is in `joining`."""

from typing import Any

import django_filters
from django.db.models import OuterRef, QuerySet, Subquery
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from accounts.actors import Actor, actor_of
from accounts.addresses import LOCATION, ByNumber, created
from accounts.filters import NumberFilter, SwitchFilter
from accounts.refusals import NotFound
from accounts.validation import checked
from enterprises.access import enterprises_allowing, permissions_in_enterprise
from enterprises.api import Chosen, answers
from enterprises.models import Enterprise, EnterprisePermission
from enterprises.permissions import DEFAULTS as ENTERPRISE_DEFAULTS
from spaces import services
from spaces.access import known_spaces, permissions_in, spaces_allowing
from spaces.models import Space, SpacePermission, SpaceQuerySet, SpaceRole, SpaceUser
from spaces.permissions import DEFAULTS


class SpaceSerializer(serializers.ModelSerializer[Space]):
    creator = serializers.CharField(source="creator_id", read_only=True)
    role = serializers.IntegerField(
        source="my_role",
        read_only=True,
        allow_null=True,
        help_text="The caller's: 1 owner, 2 admin, 3 member; null for who is no member.",
    )
    last_visit_time = serializers.DateTimeField(
        source="my_last_visit", read_only=True, allow_null=True, help_text="The caller's."
    )

    class Meta:
        model = Space
        fields = [
            "id",
            "name",
            "description",
            "avatar_url",
            "type",
            "enterprise",
            "creator",
            "deleted",
            "create_time",
            "role",
            "last_visit_time",
        ]
        read_only_fields = fields


class NewSpace(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=50)
    enterprise = serializers.IntegerField(
        allow_null=True, default=None, help_text="The id of the enterprise; null is a personal one."
    )
    description = serializers.CharField(max_length=2000, allow_blank=True, default="")
    avatar_url = serializers.CharField(max_length=1024, allow_blank=True, default="")


class SpaceChange(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=50, required=False)
    description = serializers.CharField(max_length=2000, allow_blank=True, required=False)
    avatar_url = serializers.CharField(max_length=1024, allow_blank=True, required=False)


class SpaceMemberSerializer(serializers.ModelSerializer[SpaceUser]):
    user = serializers.CharField(source="user_id", read_only=True, help_text="The user's uid.")
    username = serializers.CharField(source="user.username", read_only=True)

    class Meta:
        model = SpaceUser
        fields = ["user", "username", "nickname", "role", "create_time", "last_visit_time"]
        read_only_fields = fields


class NewSpaceRole(serializers.Serializer[Any]):
    role = serializers.ChoiceField(SpaceRole.choices, help_text="2 admin, 3 member.")


class SpaceFilter(NumberFilter):
    """`?space=ID` of a list. One that may not be seen gives the empty list that an absent one gives."""

    def __init__(self) -> None:
        super().__init__(field_name="space__id")


class SpacesAsked(django_filters.FilterSet):
    """Which spaces: mine, unless all of an enterprise, or those that I may restore, are asked for."""

    enterprise = NumberFilter(help_text="Only those of this enterprise.")
    personal = SwitchFilter(help_text="Only personal ones, or only others.")
    all = SwitchFilter(
        help_text="With `enterprise`: those that I am not in as well, where my role lists them."
    )
    deleted = SwitchFilter(help_text="Those that I may restore instead.")

    class Meta:
        model = Space
        fields: list[str] = []

    def filter_queryset(self, queryset: Any) -> Any:
        wanted = self.form.cleaned_data
        actor = actor_of(self.request)
        everything = wanted["all"] and wanted["enterprise"] is not None
        if wanted["deleted"]:
            spaces = services.restorable_spaces(actor)
        elif everything:
            spaces = Space.objects.alive()
        else:
            spaces = spaces_allowing(actor, "space.view")
        if wanted["enterprise"] is not None:
            deed = "space.list_all" if everything else "space.list_mine"
            listed = enterprises_allowing(actor, deed).filter(pk=wanted["enterprise"])
            spaces = spaces.filter(enterprise__in=listed.values("pk"))
        if wanted["personal"] is not None:
            spaces = spaces.filter(enterprise__isnull=wanted["personal"])
        return shown_to(spaces, actor)


def shown_to(spaces: SpaceQuerySet, actor: Actor) -> QuerySet[Any]:
    """With what they are to `actor`."""
    mine = SpaceUser.objects.filter(space=OuterRef("pk"), user=actor.user)
    return spaces.annotate(
        my_role=Subquery(mine.values("role")[:1]),
        my_last_visit=Subquery(mine.values("last_visit_time")[:1]),
    )


_ANSWERS = serializers.DictField(child=serializers.BooleanField())


class SpaceViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ByNumber[Space]):
    """The spaces of the caller, and of the enterprises that list them to the caller."""

    serializer_class = SpaceSerializer
    queryset = Space.objects.none()
    filterset_class = SpacesAsked

    def get_queryset(self) -> QuerySet[Any]:
        actor = actor_of(self.request)
        if self.action == "list":
            return Space.objects.none()  # its filters say which
        if self.action == "restore":
            found = services.restorable_spaces(actor)
        elif self.action == "last":
            found = spaces_allowing(actor, "space.view")
        else:
            found = known_spaces(actor)
        return shown_to(found, actor).select_related("enterprise")

    def filter_queryset(self, queryset: Any) -> Any:
        """For the list alone: what a request names by its id is not filtered."""
        return super().filter_queryset(queryset) if self.action == "list" else queryset

    def _shown(self, space: Space) -> Response:
        fresh = shown_to(Space.objects.filter(pk=space.pk), actor_of(self.request)).get()
        return Response(SpaceSerializer(fresh).data)

    @extend_schema(request=NewSpace, responses={201: SpaceSerializer}, parameters=[LOCATION])
    def create(self, request: Request) -> Response:
        """Make a space: the caller becomes its owner."""
        given = checked(NewSpace(data=request.data))
        actor = actor_of(request)
        key = given.pop("enterprise")
        enterprise: Enterprise | None = None
        if key is not None:
            visible = enterprises_allowing(actor, "enterprise.view")
            enterprise = get_object_or_404(visible, pk=key)
        made = services.create_space(by=actor, enterprise=enterprise, **given)
        return created(self._shown(made).data, "space-detail", made.pk)

    @extend_schema(request=SpaceChange, responses=SpaceSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        space = self.get_object()
        services.change_space(
            space, by=actor_of(request), **checked(SpaceChange(data=request.data))
        )
        return self._shown(space)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Hide it with all that is in it, and cancel the runs that wait there."""
        services.delete_space(self.get_object(), by=actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses=SpaceSerializer)
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, pk: str) -> Response:
        """Show a deleted one again, with all that was in it."""
        return self._shown(services.restore_space(self.get_object(), by=actor_of(request)))

    @extend_schema(request=None, responses={204: None})
    @action(detail=True, methods=["post"])
    def visit(self, request: Request, pk: str) -> Response:
        """Remember that the caller works in it now: see `last_visit_time` and `last/`."""
        services.visit_space(self.get_object(), by=actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(responses=SpaceSerializer, filters=False)
    @action(detail=False, pagination_class=None)
    def last(self, request: Request) -> Response:
        """The one that the caller visited last; 404 where there is none."""
        visited = self.get_queryset().exclude(my_last_visit=None)
        space = visited.order_by("-my_last_visit", "-pk").first()
        if space is None:
            raise NotFound(_("Not found."))
        return Response(SpaceSerializer(space).data)

    @extend_schema(
        responses=inline_serializer(
            "SpacePermissionsOfMine",
            {
                "permissions": _ANSWERS,
                "enterprise_permissions": serializers.DictField(
                    child=serializers.BooleanField(),
                    help_text="In the enterprise that the space belongs to; empty for a personal space.",
                ),
            },
        ),
        filters=False,
    )
    @action(detail=True, pagination_class=None)
    def permissions(self, request: Request, pk: str) -> Response:
        """What the caller may do in the space, and what not, in one answer."""
        space, actor = self.get_object(), actor_of(request)
        house: dict[str, bool] = {}
        if space.enterprise is not None:
            house = answers(permissions_in_enterprise(actor, space.enterprise), ENTERPRISE_DEFAULTS)
        mine = answers(permissions_in(actor, space), DEFAULTS)
        return Response({"permissions": mine, "enterprise_permissions": house})

    @extend_schema(request=None, responses={204: None})
    @action(detail=True, methods=["post"])
    def leave(self, request: Request, pk: str) -> Response:
        """End the caller's membership."""
        services.leave_space(self.get_object(), by=actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=Chosen, responses=SpaceSerializer)
    @action(detail=True, methods=["post"])
    def transfer(self, request: Request, pk: str) -> Response:
        """Make another member the owner; the owner of before becomes an admin."""
        space = self.get_object()
        uid = checked(Chosen(data=request.data))["user"]
        services.transfer_space(space, uid, by=actor_of(request))
        return self._shown(space)


class SpaceMemberViewSet(GenericViewSet[Any]):
    """One member of a space."""

    queryset = Space.objects.none()
    serializer_class = SpaceMemberSerializer

    def get_queryset(self) -> SpaceQuerySet:
        return known_spaces(actor_of(self.request))

    @extend_schema(request=NewSpaceRole, responses=SpaceMemberSerializer)
    def partial_update(self, request: Request, pk: int, member: str) -> Response:
        """Give a member another role."""
        space = self.get_object()
        role = SpaceRole(int(checked(NewSpaceRole(data=request.data))["role"]))
        changed = services.change_member_role(space, member, role, by=actor_of(request))
        return Response(SpaceMemberSerializer(changed).data)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: int, member: str) -> Response:
        """End a membership."""
        services.remove_member(self.get_object(), member, by=actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class _PermissionSerializer(serializers.ModelSerializer[Any]):
    description = serializers.SerializerMethodField(help_text="In the caller's language.")

    def get_description(self, row: Any) -> str:
        return _(row.description) if row.description else ""


class EnterprisePermissionSerializer(_PermissionSerializer):
    class Meta:
        model = EnterprisePermission
        fields = [
            *("permission_key", "module", "description"),
            *("officer", "governor", "staff", "available_expired"),
        ]
        read_only_fields = fields


class SpacePermissionSerializer(_PermissionSerializer):
    class Meta:
        model = SpacePermission
        fields = [
            *("permission_key", "module", "point", "description"),
            *("owner", "admin", "member", "available_expired"),
        ]
        read_only_fields = fields


class PermissionTables(GenericViewSet[Any]):
    """Who may do what, by role."""

    queryset = SpacePermission.objects.none()
    serializer_class = SpacePermissionSerializer
    pagination_class = None

    @extend_schema(
        responses=inline_serializer(
            "PermissionTables",
            {
                "enterprise": EnterprisePermissionSerializer(many=True),
                "space": SpacePermissionSerializer(many=True),
            },
        )
    )
    def retrieve(self, request: Request) -> Response:
        """Both tables, whole: what each role of an enterprise and of a space may do."""
        house, spaces = EnterprisePermission.objects.all(), SpacePermission.objects.all()
        return Response(
            {
                "enterprise": EnterprisePermissionSerializer(house, many=True).data,
                "space": SpacePermissionSerializer(spaces, many=True).data,
            }
        )
